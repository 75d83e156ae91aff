"""What is stale and why, on a pipeline that was really run."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from command_line import lumi
from tiny_pipeline import digests, lumi_process, write_pipeline

from lumilab.errors import ConfigError, InputError
from lumilab.pipeline.plan import plan
from lumilab.pipeline.records import current_artifact, find_checkpoint
from lumilab.pipeline.run import check_stage_names
from lumilab.recipe import load_recipe

ALL = ["corpus", "tokenizer", "dataset", "conversations", "pretrain", "sft", "evaluation"]


def stale(folder: Path, *overrides: str, force: frozenset[str] = frozenset()) -> dict[str, list[str]]:
    recipe = load_recipe(str(folder / "recipe.yaml"), list(overrides)).recipe
    return {step.stage.name: step.reasons for step in plan(recipe, folder / "run", force=force) if not step.fresh}


def test_everything_is_stale_before_the_first_run(tmp_path: Path) -> None:
    write_pipeline(tmp_path)
    reasons = stale(tmp_path)
    assert list(reasons) == ALL
    assert all(stage[0] == "it was never built" for stage in reasons.values())


def test_nothing_is_stale_after_a_run(finished: Path) -> None:
    assert stale(finished) == {}


def test_a_run_that_is_up_to_date_runs_nothing(copy: Path) -> None:
    before = digests(copy / "run")
    done = lumi("run", "recipe.yaml", "--out", "run", cwd=copy, check=0)
    assert "Nothing to do" in done.stdout
    assert digests(copy / "run") == before


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        (
            "corpus.min_characters=11",
            ["corpus", "tokenizer", "dataset", "conversations", "pretrain", "sft", "evaluation"],
        ),
        ("tokenizer.vocabulary_size=513", ["tokenizer", "dataset", "conversations", "pretrain", "sft", "evaluation"]),
        ("dataset.validation_share=0.25", ["dataset", "pretrain", "sft", "evaluation"]),
        ("model.feed_forward=96", ["pretrain", "sft", "evaluation"]),
        ("pretrain.steps=25", ["pretrain", "sft", "evaluation"]),
        ("conversations.validation_share=0.25", ["conversations", "sft", "evaluation"]),
        ("sft.steps=13", ["sft", "evaluation"]),
        ("evaluation.sampling.max_tokens=9", ["evaluation"]),
        ("seed=8", ["dataset", "conversations", "pretrain", "sft", "evaluation"]),
    ],
)
def test_a_changed_value_makes_its_stage_and_what_follows_stale(
    finished: Path, override: str, expected: list[str]
) -> None:
    reasons = stale(finished, override)
    assert list(reasons) == expected
    key, _, value = override.partition("=")
    assert reasons[expected[0]][0].startswith(f"{key}: ") and f"-> {value}" in reasons[expected[0]][0]


@pytest.mark.parametrize(
    "override", ["pretrain.log_every=3", "pretrain.keep_checkpoints=5", "chat.temperature=0.1", "description=other"]
)
def test_a_runtime_value_makes_nothing_stale(finished: Path, override: str) -> None:
    assert stale(finished, override) == {}


def test_a_changed_raw_file_is_the_reason(copy: Path) -> None:
    with (copy / "texts" / "note.txt").open("a") as file:
        file.write(" One more sentence.")
    assert stale(copy)["corpus"] == ["the raw files changed"]


def test_a_removed_artifact_is_built_again_with_the_same_digest(copy: Path) -> None:
    before = digests(copy / "run")
    shutil.rmtree(copy / "run" / "dataset")
    reasons = stale(copy)
    assert next(iter(reasons)) == "dataset" and "gone" in reasons["dataset"][0]
    done = lumi("run", "recipe.yaml", "--out", "run", cwd=copy, check=0)
    assert "pretrain: up to date" in done.stdout  # the same input again: what follows is not stale after all
    assert digests(copy / "run") == before


def test_a_truncated_file_is_noticed_and_rebuilt(copy: Path) -> None:
    before = digests(copy / "run")
    tokens = next((copy / "run" / "dataset").rglob("tokens-*.npy"))
    tokens.write_bytes(tokens.read_bytes()[:-2])
    assert "damaged" in stale(copy)["dataset"][0]
    lumi("run", "recipe.yaml", "--out", "run", cwd=copy, check=0)
    assert digests(copy / "run") == before


def test_changing_a_value_keeps_the_old_result_and_changing_it_back_finds_it(copy: Path) -> None:
    before = digests(copy / "run")
    lumi("run", "recipe.yaml", "sft.steps=6", "--until", "sft", "--out", "run", cwd=copy, check=0)
    assert digests(copy / "run")["sft"] != before["sft"]
    done = lumi("run", "recipe.yaml", "--out", "run", cwd=copy, check=0)
    assert "Nothing to do" in done.stdout
    assert digests(copy / "run") == before


def test_force_rebuilds_one_stage_to_the_same_digest(copy: Path) -> None:
    before = digests(copy / "run")
    assert stale(copy, force=frozenset({"tokenizer"}))["tokenizer"] == ["it was forced"]
    done = lumi("run", "recipe.yaml", "--force", "tokenizer", "--out", "run", cwd=copy, check=0)
    assert "tokenizer: learn the vocabulary (it was forced)" in done.stdout
    assert "dataset: up to date" in done.stdout
    assert digests(copy / "run") == before


def test_dry_run_says_what_would_run_and_runs_nothing(copy: Path) -> None:
    before = (copy / "run" / "run.json").read_bytes()
    done = lumi("run", "recipe.yaml", "pretrain.steps=25", "--dry-run", "--out", "run", cwd=copy, check=0)
    assert "pretrain.steps: 24 -> 25" in done.stdout
    assert "3 of 7 stages would run" in done.stdout
    assert (copy / "run" / "run.json").read_bytes() == before


def test_until_stops_after_the_stage(tmp_path: Path) -> None:
    write_pipeline(tmp_path)
    lumi("run", "recipe.yaml", "--until", "tokenizer", "--out", "run", cwd=tmp_path, check=0)
    assert list(digests(tmp_path / "run")) == ["corpus", "tokenizer"]
    with pytest.raises(InputError, match="no trained model yet"):
        find_checkpoint(tmp_path / "run")


def test_a_trial_runs_beside_the_real_run(tmp_path: Path) -> None:
    write_pipeline(tmp_path)
    lumi("run", "recipe.yaml", "--test", "--until", "corpus", cwd=tmp_path, check=0)
    assert (tmp_path / "runs" / "tiny-test-test" / "run.json").exists()


@pytest.mark.long  # the kills of tests/chaos compare two folders' digests, too
def test_two_runs_in_different_folders_have_equal_digests(finished: Path, tmp_path: Path) -> None:
    other = tmp_path / "somewhere" / "else"
    lumi("run", write_pipeline(other), "--out", other / "elsewhere", cwd=other, check=0)
    assert digests(other / "elsewhere") == digests(finished / "run")


def test_a_stage_that_fails_ends_the_run_with_its_exit_code_and_keeps_the_rest(copy: Path) -> None:
    (copy / "conversations.jsonl").write_text('{"messages": []}\n')
    done = lumi_process("run", "recipe.yaml", "--out", "run", cwd=copy, check=3)
    assert "Traceback" not in done.stderr
    assert "conversations" in done.stderr
    recipe = load_recipe(str(copy / "recipe.yaml")).recipe
    fresh = [step.stage.name for step in plan(recipe, copy / "run") if step.fresh]
    assert fresh == ["corpus", "tokenizer", "dataset", "pretrain"]


def test_unknown_stage_names_are_refused(finished: Path) -> None:
    recipe = load_recipe(str(finished / "recipe.yaml")).recipe
    with pytest.raises(ConfigError, match="no stage called trian"):
        check_stage_names(recipe, ["trian"])


def test_a_recipe_without_conversations_has_no_chat_stages(tmp_path: Path) -> None:
    write_pipeline(tmp_path)
    assert list(stale(tmp_path, "conversations=null")) == ["corpus", "tokenizer", "dataset", "pretrain", "evaluation"]


def test_records_survive_damage_without_losing_artifacts(copy: Path) -> None:
    (copy / "run" / "run.json").write_text("{not json")
    done = lumi("run", "recipe.yaml", "--out", "run", cwd=copy, check=0)
    assert "Nothing to do" in done.stdout
    assert set(json.loads((copy / "run" / "run.json").read_text())["stages"]) == set(ALL)


def test_find_checkpoint_prefers_the_chat_model(finished: Path) -> None:
    found = find_checkpoint(finished / "run")
    sft = current_artifact(finished / "run", "sft")
    assert sft is not None and found.digest == sft.digest
    assert find_checkpoint(sft.path).digest == sft.digest


def test_find_checkpoint_says_where_it_looked(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no trained model here yet"):
        find_checkpoint(None, runs=tmp_path)
