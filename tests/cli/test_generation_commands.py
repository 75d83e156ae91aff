"""Generating from the terminal: one model, several side by side, and choosing among them."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from lumilab.cli.app import app
from lumilab.cli.picking import model_choices
from lumilab.errors import ConfigError
from lumilab.inference.checkpoints import memory_warning, models_of, runs_below
from lumilab.inference.engine import Engine


@pytest.fixture
def lumi(finished: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Runs a command in this process, in the folder of the finished run."""
    monkeypatch.chdir(finished)
    return lambda *words: CliRunner().invoke(app, [str(word) for word in words])


def state_of(run: Path) -> Path:
    return sorted(run.glob("checkpoints/pretrain/*/step_*"))[-1]


def test_generate_takes_every_way_of_sampling(lumi: Callable[..., Result]) -> None:
    prompt = ("generate", "run", "--prompt", "the river", "--max-tokens", "12", "--seed", "3")
    plain = lumi(*prompt)
    assert plain.stdout.startswith("the river") and "tokens/s" in plain.stderr
    assert lumi(*prompt).stdout == plain.stdout
    other = ("--presence-penalty", "2", "--frequency-penalty", "1", "--logit-bias", "300=5", "--min-p", "0.01")
    assert lumi(*prompt, *other).stdout != plain.stdout
    answer = plain.stdout.removeprefix("the river").strip("\n")
    stop = answer[len(answer) // 2 : len(answer) // 2 + 2]
    stopped = lumi(*prompt, "--stop", stop, "--quantize", "none").stdout
    assert stopped.strip("\n") == "the river" + answer[: answer.index(stop)]


def test_prompt_lookup_gives_the_greedy_text(lumi: Callable[..., Result]) -> None:
    greedy = ("generate", "run", "--prompt", "the river the river", "--max-tokens", "25", "--temperature", "0")
    expected = lumi(*greedy).stdout
    assert lumi(*greedy, "--prompt-lookup").stdout == expected
    refused = lumi(*greedy[:-1], "0.5", "--prompt-lookup")
    assert isinstance(refused.exception, ConfigError) and "temperature" in str(refused.exception)


def test_a_bias_is_an_id_and_a_number(lumi: Callable[..., Result]) -> None:
    for word in ("5", "a=1", "5=x"):
        done = lumi("generate", "run", "--prompt", "a", "--logit-bias", word)
        assert isinstance(done.exception, ConfigError) and "1234=-100" in str(done.exception)


def test_compare_shows_each_model_and_ranks_them(finished: Path, lumi: Callable[..., Result]) -> None:
    state = state_of(finished / "run")
    words = ("compare", "run", state, "--prompt", "the river", "--max-tokens", "10", "--quantize", "int8")
    shown = lumi(*words).stdout
    assert shown.count("the river") == 2
    ranking = shown[shown.index("tokens/s") :].splitlines()[1:3]
    assert {line.split()[1] for line in ranking} == {"run/sft/final", f"run/pretrain/{state.name}"}


def test_a_state_of_training_can_be_generated_from(finished: Path, lumi: Callable[..., Result]) -> None:
    engine = Engine.load(state_of(finished / "run"))
    assert engine.tokenizer.identity == Engine.load(state_of(finished / "run").parent / "final").tokenizer.identity
    assert lumi("generate", state_of(finished / "run"), "--prompt", "x").stdout.startswith("x")


def test_models_are_listed_newest_first_with_their_marks(finished: Path, tmp_path: Path) -> None:
    for name in ("older", "newer"):
        shutil.copytree(finished / "run", tmp_path / name)
    for file in (tmp_path / "newer").rglob("manifest.json"):
        os.utime(file, (time.time() + 100, time.time() + 100))
    (tmp_path / "empty").mkdir()
    assert [run.name for run in runs_below(tmp_path)] == ["newer", "older"]
    models = models_of(tmp_path / "older")
    assert {model.stage for model in models} == {"pretrain", "sft"}
    assert [model.changed for model in models] == sorted((model.changed for model in models), reverse=True)
    for model in models:
        for name, said in (("best", model.best), ("latest", model.latest)):
            pointer = model.path.parent / name
            assert said == (pointer.exists() and pointer.read_text().strip() == model.name)
    styles = {title[0][0] for choice in model_choices(models) for title in [choice.title]}
    assert "class:best" in styles


@pytest.mark.parametrize(("needed", "warned"), [(1, False), (2**60, True)])
def test_a_model_too_large_for_the_memory_is_warned_of(needed: int, warned: bool) -> None:
    assert bool(memory_warning(needed)) == warned
