"""`lumi plan` as a person uses it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from command_line import lumi
from tiny_corpus import quiet_context
from tiny_pipeline import write_pipeline

from lumilab.artifact import Artifact
from lumilab.errors import ConfigError
from lumilab.pipeline import forecast as forecasting
from lumilab.pipeline.forecast import Figure, Terms, forecast
from lumilab.recipe import load_recipe
from lumilab.recipe.training import TrainingConfig


def figures_of(recipe: Path, folder: Path, *words: str, **terms: Any) -> dict[tuple[str, str], Figure]:
    loaded = load_recipe(str(recipe), list(words)).recipe
    found = forecast(loaded, folder, Terms(**{"probe": False, **terms}), quiet_context()[0])
    return {(figure.section, figure.name): figure for figure in found}


def test_the_command_prints_every_section_and_measures(tmp_path: Path) -> None:
    recipe = write_pipeline(tmp_path)
    done = lumi("plan", recipe, "--price", "2.5", cwd=tmp_path, check=0)
    for word in ("Size", "Tokens", "Operations", "Memory", "Time", "Disk", "measured: median of", "cost", "estimated"):
        assert word in done.stdout
    assert not (tmp_path / "runs").exists(), "a plan makes nothing"
    done = lumi("plan", recipe, "--json", "--no-probe", cwd=tmp_path, check=0)
    figures = {(each["section"], each["name"]): each for each in json.loads(done.stdout)["figures"]}
    assert figures["Tokens", "of the run"]["value"] == 24 * 4 * 64
    assert figures["Time", "of the training"]["value"] is None
    assert all(each["how"] for each in figures.values())


def test_tokens_are_counted_where_the_dataset_is_and_estimated_where_not(finished: Path, tmp_path: Path) -> None:
    recipe = finished / "recipe.yaml"
    counted = figures_of(recipe, finished / "run")["Tokens", "in the dataset"]
    dataset = Artifact.open(next(finished.glob("run/dataset/[!.]*")))
    assert counted.value == dataset.manifest.statistics["train"]["tokens"]
    assert "counted" in counted.how
    estimated = figures_of(recipe, tmp_path / "none")["Tokens", "in the dataset"]
    assert "estimated" in estimated.how
    assert estimated.value == pytest.approx(
        0.8 * sum(path.stat().st_size for path in (finished / "texts").iterdir()) / 4
    )
    assert figures_of(recipe, finished / "run", "dataset.window=32")["Tokens", "in the dataset"].value != counted.value


def test_time_and_cost_of_another_machine(tmp_path: Path) -> None:
    recipe = write_pipeline(tmp_path)
    figures = figures_of(recipe, tmp_path / "none", tokens_per_second=100.0, price=3.0, devices=2)
    assert figures["Time", "of the training"].value == 24 * 4 * 64 / 200
    assert figures["Time", "cost"].value == pytest.approx(24 * 4 * 64 / 200 / 3600 * 2 * 3)
    assert {"Memory of each of 2, DDP", "Memory of each of 2, FSDP2"} <= {section for section, _ in figures}


def test_where_the_size_of_passes_is_open_the_plan_has_what_fits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = write_pipeline(tmp_path)
    words = ("pretrain.batch_size=64", "pretrain.device=cpu")
    name = ("Memory", "at most at once")
    whole, eight = (
        figures_of(recipe, tmp_path / "none", *words, *more)[name].value or 0
        for more in ((), ("pretrain.micro_batch_size=8",))
    )
    for room, expected in ((whole * 1.5, whole), (eight * 1.5, eight)):
        monkeypatch.setattr(forecasting, "most_memory", lambda device, sharers=1, room=room: room)
        probed: list[TrainingConfig] = []
        monkeypatch.setattr(
            forecasting, "measure", lambda model, size, training, *_, probed=probed, **__: probed.append(training)
        )
        found = figures_of(recipe, tmp_path / "none", *words, "pretrain.micro_batch_size=auto", probe=True)
        assert found[name].value == expected
        # What is measured is what would be trained.
        assert [training.micro_batch_size for training in probed] == [found["Memory", "windows at once"].value]


def test_a_depth_can_be_planned(tmp_path: Path) -> None:
    done = lumi("plan", "tiny", "--no-probe", "--depth", "2", cwd=tmp_path, check=0)
    assert "2 blocks" in done.stdout


def test_a_device_that_is_not_here_is_planned_for_and_not_measured(tmp_path: Path) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a GPU here")
    recipe = write_pipeline(tmp_path)
    words = ("pretrain.device=cuda", "pretrain.dtype=auto")
    figures = figures_of(recipe, tmp_path / "none", *words, probe=True)
    assert figures["Time", "of the training"].value is None
    here = figures_of(recipe, tmp_path / "none")
    name = ("Memory", "activations")
    assert (figures[name].value or 0) < (here[name].value or 0), "bfloat16, and no attention weights kept"


def test_files_that_are_not_here_leave_the_rest_known(tmp_path: Path) -> None:
    recipe = write_pipeline(tmp_path)
    figures = figures_of(recipe, tmp_path / "none", 'corpus.sources.0.paths=["nowhere"]')
    assert figures["Tokens", "in the dataset"].value is None
    assert "unknown" in figures["Tokens", "in the dataset"].how
    assert figures["Size", "parameters"].value


@pytest.mark.parametrize(
    ("terms", "says"),
    [
        ({"devices": 3}, "cannot be shared by 3 devices"),
        ({"price": 0.0}, "--price"),
        ({"tokens_per_second": -1.0}, "--t"),
    ],
)
def test_terms_that_make_no_sense_are_refused(tmp_path: Path, terms: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        figures_of(write_pipeline(tmp_path), tmp_path / "none", **terms)


def test_a_bad_recipe_ends_with_its_mistake_and_no_traceback(tmp_path: Path) -> None:
    done = lumi("plan", write_pipeline(tmp_path), "model.layer=3", cwd=tmp_path)
    assert done.returncode == 2
    assert "layers" in done.stderr
    assert "Traceback" not in done.stderr
