"""`lumi eval` as people run it: on a run, on two models, on an export, against an earlier result, killed."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from command_line import lumi
from tiny_pipeline import digests

pytest.importorskip("lm_eval", reason="lm-eval is not installed")


@pytest.fixture(scope="module")
def benchmarks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("benchmarks")
    for name, row in {
        "piqa": {"goal": "Feed the cat", "sol1": "with fish", "sol2": "with a wooden bridge", "label": 0},
        "boolq": {"passage": "A cat is old.", "question": "is the cat old", "answer": True},
        "wikitext": {"page": " = Cats = \n \n The cat watches the moon . A river follows seven letters . \n"},
    }.items():
        (folder / name).mkdir()
        rows = [
            {key: f"{number} {value}" if isinstance(value, str) else value for key, value in row.items()}
            for number in range(12)
        ]
        (folder / name / "test.jsonl").write_text("".join(json.dumps(one) + "\n" for one in rows))
    return folder


def test_a_run_is_measured_and_its_result_kept(copy: Path, benchmarks: Path) -> None:
    words = ("eval", "run", "--suite", "piqa,boolq:8,perplexity:2,wikitext", "--data", benchmarks)
    done = lumi(*words, cwd=copy, check=0)
    assert "always yes: 100.0 %" in done.stdout and "token_perplexity" in done.stdout
    (file,) = (copy / "run" / "evaluation_results").glob("results_*.json")
    figures = json.loads(file.read_text())
    assert {"results", "n-samples", "versions", "n-shot", "higher_is_better", "lumilab", "date"} <= figures.keys()
    assert figures["n-samples"]["boolq"] == {"original": 12, "effective": 8}
    assert figures["lumilab"]["remembered"] == 0
    assert "acc" in (file.parent / file.name.replace("results", "summary").replace("json", "md")).read_text()
    again = lumi(*words, cwd=copy, check=0)
    newest = max((copy / "run" / "evaluation_results").glob("results_*.json"))
    second = json.loads(newest.read_text())
    assert second["lumilab"]["asked"] == 0 and second["results"] == figures["results"]
    assert "boolq" in again.stdout
    assert lumi("eval", "run", "--history", cwd=copy, check=0).stdout.count("piqa") >= 2


def test_a_model_and_its_export_are_not_different(copy: Path, benchmarks: Path) -> None:
    lumi("export", "hf", "run", "exported", cwd=copy, check=0)
    done = lumi("eval", "run", "exported", "--suite", "piqa,boolq", "--data", benchmarks, cwd=copy, check=0)
    assert "not different (95 %)" in done.stdout
    values = [json.loads(file.read_text())["results"] for file in copy.rglob("results_*.json")]
    assert len(values) == 2
    for task in ("piqa", "boolq"):
        assert values[0][task] == pytest.approx(values[1][task])
    assert (copy / "evaluation_results" / "comparison.md").is_file()


def test_a_gate_lets_pass_what_is_not_worse_and_stops_what_is(copy: Path, benchmarks: Path) -> None:
    words = ("eval", "run", "--suite", "perplexity", "--data", benchmarks)
    lumi(*words, "--out", "first", cwd=copy, check=0)
    gate = ("--out", "second", "--against", "first", "--fail-if-worse")
    assert "not different" in lumi(*words, *gate, cwd=copy, check=0).stdout
    (file,) = (copy / "first").glob("results_*.json")
    file.write_text(json.dumps(_better(json.loads(file.read_text()))))
    (samples,) = (copy / "first").glob("samples_*.jsonl")
    samples.unlink()
    failed = lumi(*words, *gate, cwd=copy, check=6)
    assert "worse" in failed.stdout and "fell" in failed.stderr


def _better(figures: dict[str, dict[str, dict[str, float]]]) -> dict[str, dict[str, dict[str, float]]]:
    found = figures["results"]["perplexity"]
    found["bits_per_byte,none"] /= 2
    found["bits_per_byte_stderr,none"] = 1e-9
    return figures


def test_killed_it_goes_on_where_it_was(copy: Path, benchmarks: Path) -> None:
    big = copy / "big"
    shutil.copytree(benchmarks, big)
    rows = [{"goal": f"{n} " * (n % 40 + 1), "sol1": "a " * 20, "sol2": "b " * 20, "label": 0} for n in range(300)]
    (big / "piqa" / "test.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    words = [sys.executable, "-m", "lumilab", "eval", "run", "--suite", "piqa", "--data", str(big)]
    with subprocess.Popen(words, cwd=copy, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        answers = copy / "run" / "evaluation_results" / "answers"
        while not any(file.stat().st_size > 5_000 for file in answers.glob("*")) and process.poll() is None:
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
    lumi("eval", "run", "--suite", "piqa", "--data", big, cwd=copy, check=0)
    resumed = _only_result(copy)
    assert resumed["lumilab"]["remembered"] > 0
    shutil.rmtree(copy / "run" / "evaluation_results")
    lumi("eval", "run", "--suite", "piqa", "--data", big, cwd=copy, check=0)
    whole = _only_result(copy)
    assert whole["lumilab"]["remembered"] == 0
    assert resumed["lumilab"]["asked"] + resumed["lumilab"]["remembered"] == whole["lumilab"]["asked"]
    assert resumed["results"] == whole["results"]


def _only_result(folder: Path) -> dict[str, Any]:
    (file,) = (folder / "run" / "evaluation_results").glob("results_*.json")
    found: dict[str, Any] = json.loads(file.read_text())
    return found


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        pytest.param(
            ("run", "--suite", "hellaswagg", "--data", "."), 2, "There is no task hellaswagg", marks=pytest.mark.long
        ),
        (("run", "--suite", "piqa", "--data", "."), 3, "There is no data of piqa"),
        (("run", "--suite", "piqa:many"), 2, "no number of items"),
        (("run", "--fail-if-worse"), 2, "Worse than what?"),
        (("run", "--against", "nothing.json"), 3, "no result of an evaluation"),
        (("run", "--suite", "perplexity"), 2, "Which texts are to be read?"),
        (("run",), 2, "Which texts are to be read?"),  # before the hub is asked for the other tasks of the suite
        (("run", "--text", "recipe.none"), 3, "no such file"),
        (("texts",), 3, "not an artifact"),
    ],
)
def test_mistakes_are_explained(copy: Path, words: tuple[str, ...], code: int, said: str) -> None:
    refused = lumi("eval", *words, cwd=copy, check=code)
    assert said.lower() in " ".join(refused.stderr.split()).lower()
    assert "Traceback" not in refused.stderr


def test_benchmarks_while_training_are_logged_and_change_nothing(copy: Path, benchmarks: Path) -> None:
    before = digests(copy / "run")["pretrain"]
    suite = f"pretrain.suite={{tasks: [piqa, 'boolq:3', 'perplexity:1'], data: {benchmarks}, every: 12}}"
    words = ("run", "recipe.yaml", suite, "--until", "pretrain", "--force", "pretrain", "--out", "run")
    done = lumi(*words, cwd=copy, check=0)
    assert "piqa/acc" in done.stdout
    assert digests(copy / "run")["pretrain"] == before
    (log,) = (copy / "run" / "checkpoints" / "pretrain").glob("*/log.jsonl")
    events = [json.loads(line) for line in log.read_text().splitlines()]
    suites = {event["step"]: event for event in events if event["event"] == "suite"}
    assert sorted(suites) == [12, 24]
    checkpoint = log.parent / "final"
    lumi("eval", checkpoint, "--suite", "piqa,boolq:3,perplexity:1", "--data", benchmarks, "--out", "found", cwd=copy)
    (file,) = (copy / "found").glob("results_*.json")
    results = json.loads(file.read_text())["results"]
    for task, metric in (("piqa", "acc"), ("boolq", "acc"), ("perplexity", "word_perplexity")):
        assert suites[24][f"{task}/{metric}"] == pytest.approx(results[task][f"{metric},none"], rel=1e-4)


def test_a_suite_that_cannot_be_is_refused_before_training(copy: Path) -> None:
    words = ("run", "recipe.yaml", "pretrain.suite={tasks: [piqa], data: texts}", "--until", "pretrain")
    refused = lumi(*words, "--force", "pretrain", "--out", "run", cwd=copy, check=3)
    assert "There is no data of piqa" in refused.stderr
