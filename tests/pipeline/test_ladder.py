"""The ladder: which rungs, what they foretell, and that nothing finished is done twice."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import pytest
from command_line import lumi
from tiny_corpus import quiet_context
from tiny_pipeline import RECIPE, kill_tree, start_lumi, write_pipeline

from lumilab.artifact import Artifact
from lumilab.errors import ConfigError, InputError
from lumilab.pipeline import ladder
from lumilab.pipeline.ladder import affordable, climb_in_run, possible_rungs
from lumilab.recipe import Recipe, load_recipe

WORDS = [
    "model.layers=5", "model.heads=5", "model.kv_heads=5", "model.head_dim=8", "model.width=40", "model.context=32",
    "dataset.window=32", "pretrain.batch_size=1", "pretrain.steps=400", "pretrain.log_every=50",
]  # fmt: skip


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a recipe and its run up to the dataset."""
    folder = tmp_path_factory.mktemp("ladder")
    path = write_pipeline(folder, RECIPE)
    lumi("run", path, *WORDS, "--until", "dataset", "--out", folder / "run", cwd=folder, check=0)
    return folder


def recipe_in(folder: Path, *more: str) -> Recipe:
    return load_recipe(str(folder / "recipe.yaml"), [*WORDS, *more]).recipe


def test_rungs_are_the_recipes_model_in_smaller() -> None:
    recipe = load_recipe("tiny", ["pretrain.steps=5000"]).recipe
    rungs = list(possible_rungs(recipe, 8192))
    assert [rung.layers for rung in rungs] == sorted(rung.layers for rung in rungs)
    assert all(one.compute < two.compute for one, two in pairwise(rungs))
    whole = 5000 * 8 * 512 / 6_819_840  # tokens a parameter
    for rung in rungs:
        model = rung.model(recipe.model)
        assert (model.head_dim, model.context) == (recipe.model.head_dim, recipe.model.context)
        assert model.width / model.heads == recipe.model.width / recipe.model.heads
        assert rung.tokens / rung.parameters == pytest.approx(whole, rel=0.02)
        assert rung.layers < 6 or rung.heads < 4


def test_a_rungs_training_is_the_recipes_at_another_length() -> None:
    weights = [{"weights": {"python": 1.0}, "tokens": 40_960}, {"weights": {"python": 2.0}}]
    recipe = load_recipe("tiny", [f"pretrain.mixture.phases={json.dumps(weights)}", "pretrain.sample_every=5"]).recipe
    shorter = ladder.training_of(recipe.pretrain, 100)
    assert [phase.tokens for phase in shorter.mixture.phases] == [4_096, None], "phases keep their share of the run"
    assert (shorter.steps, shorter.validate_every, shorter.sample_every) == (100, 100, 0)
    kept = ("batch_size", "optimizer", "schedule", "document_mask", "dtype")
    assert all(getattr(shorter, name) == getattr(recipe.pretrain, name) for name in kept)


def test_the_chosen_rungs_fit_the_budget_and_reach_as_far_as_they_can() -> None:
    possible = list(possible_rungs(load_recipe("tiny", ["pretrain.steps=5000"]).recipe, 8192))
    everything = sum(rung.compute for rung in possible)
    plenty = affordable(possible, everything)
    assert plenty is not None
    assert (plenty[0], plenty[-1], len(plenty)) == (possible[0], possible[-1], 4)
    less = affordable(possible, everything / 8)
    assert less is not None
    assert sum(rung.compute for rung in less) <= everything / 8
    assert affordable(possible, possible[0].compute) is None


def test_a_ladder_stopped_anywhere_goes_on_and_a_finished_one_is_not_run_again(
    packed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe, run = recipe_in(packed), packed / "run"
    trained: list[int] = []

    def counted(config, *rest):  # type: ignore[no-untyped-def]
        trained.append(config.steps)
        if len(trained) == 2:
            raise KeyboardInterrupt
        return pretrain(config, *rest)

    pretrain = ladder.pretrain
    monkeypatch.setattr(ladder, "pretrain", counted)
    with pytest.raises(KeyboardInterrupt):
        climb_in_run(recipe, run, "1h", quiet_context()[0])
    result = climb_in_run(recipe, run, "1h", quiet_context()[0])
    steps = [rung["steps"] for rung in result["rungs"]]
    assert trained == [steps[0], steps[1], *steps[1:]], "the first rung was finished, so it is trained once"
    assert climb_in_run(recipe, run, "1h", quiet_context()[0]) == result
    assert len(trained) == len(steps) + 1
    (stored,) = run.glob("ladder/*/prediction-1h.json")
    assert json.loads(stored.read_bytes()) == result
    assert result["prediction"]["lowest"] <= result["prediction"]["loss"] <= result["prediction"]["highest"]
    losses = [rung["loss"] for rung in result["rungs"]]
    assert losses[-1] < losses[0]
    assert result["compute"] > result["rungs"][-1]["compute"]


def test_what_cannot_have_a_ladder_is_told_so(packed: Path, tmp_path: Path) -> None:
    context = quiet_context()[0]
    with pytest.raises(ConfigError, match=r"too short for a ladder.*take about"):
        climb_in_run(recipe_in(packed), packed / "run", "0.001s", context)
    with pytest.raises(ConfigError, match="no length of time"):
        climb_in_run(recipe_in(packed), packed / "run", "ten", context)
    with pytest.raises(ConfigError, match="A ladder needs 3 sizes"):
        climb_in_run(recipe_in(packed, "pretrain.steps=24"), packed / "run", "1h", context)
    with pytest.raises(InputError, match="lumi pack"):
        climb_in_run(recipe_in(packed), tmp_path / "elsewhere", "1h", context)


@pytest.mark.long
def test_a_ladder_killed_in_the_middle_ends_as_one_that_was_not(packed: Path) -> None:
    words = ("plan", packed / "recipe.yaml", *WORDS, "seed=7", "--fit", "--no-probe", "--budget", "2h", "--out")
    words = (*words, packed / "run")
    process = start_lumi(*words, cwd=packed)
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("Rung of") and list(packed.glob("run/ladder/*/*/final/manifest.json")):
            break
    kill_tree(process.pid)
    before = {path: Artifact.open(path.parent).digest for path in packed.glob("run/ladder/*/*/final/manifest.json")}
    times = {path: path.stat().st_mtime_ns for path in before}
    lumi(*words, cwd=packed, check=0)
    assert {path: path.stat().st_mtime_ns for path in before} == times
    (stored,) = packed.glob("run/ladder/*/prediction-2h.json")
    killed = json.loads(stored.read_bytes())
    context = quiet_context()[0]
    made = {stage: Artifact.open(next(packed.glob(f"run/{stage}/[!.]*"))) for stage in ("dataset", "tokenizer")}
    fresh = packed / "fresh"
    place = fresh / stored.parent.relative_to(packed / "run")
    place.mkdir(parents=True)
    (place / "rungs-2h.json").write_bytes((stored.parent / "rungs-2h.json").read_bytes())
    whole = ladder.climb(recipe_in(packed), fresh, made["dataset"], made["tokenizer"], "2h", context)
    assert whole == killed
