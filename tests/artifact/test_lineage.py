"""Lineage: from the last artifact back to the raw files, naming exactly what changed."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from lumilab.artifact import (
    Artifact,
    ArtifactBuilder,
    RawFile,
    Step,
    artifacts_below,
    examine,
    raw_files,
    record_raw_files,
    walk,
)
from lumilab.errors import InputError


def publish(target: Path, text: str, replace: bool = False, **inputs: Artifact) -> Artifact:
    with ArtifactBuilder(target, kind=target.name, config={}, inputs=inputs) as builder:
        builder.write_bytes("data", text.encode())
        return builder.publish(replace=replace)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """raw files -> corpus -> tokenizer, and both -> dataset."""
    raw = tmp_path / "raw"
    (raw / "b").mkdir(parents=True)
    (raw / "a.txt").write_text("alpha")
    (raw / "b" / "c.txt").write_text("gamma")
    folder = tmp_path / "run"
    with ArtifactBuilder(folder / "corpus", kind="corpus", config={}) as builder:
        builder.write_bytes("data", b"alpha gamma")
        files = [RawFile.of("texts", raw, path) for path in (raw / "b" / "c.txt", raw / "a.txt")]
        record_raw_files(builder, files, {"texts": raw})
        corpus = builder.publish()
    tokenizer = publish(folder / "tokenizer", "ids", corpus=corpus)
    publish(folder / "dataset", "tokens", corpus=corpus, tokenizer=tokenizer)
    return folder


def problems(*paths: Path) -> list[str]:
    return [f"{step.name}: {problem}" for step in walk(*paths) for problem in step.problems]


def test_a_whole_run_is_walked_once_and_found_whole(run: Path) -> None:
    steps = list(walk(run / "dataset"))
    assert [(step.name, step.path.name, step.raw_count) for step in steps] == [
        ("dataset", "dataset", 0),
        ("corpus", "corpus", 2),
        ("tokenizer", "tokenizer", 0),
    ]
    assert problems(run / "dataset") == []
    assert len(list(walk(*artifacts_below(run)))) == 3


def test_raw_files_are_listed_in_order_with_their_hashes(run: Path) -> None:
    listed = list(raw_files(Artifact.open(run / "corpus")))
    assert [(file.root, file.name, file.size) for file in listed] == [("texts", "a.txt", 5), ("texts", "b/c.txt", 5)]
    assert list(raw_files(Artifact.open(run / "dataset"))) == []


def test_where_the_raw_files_were_is_not_part_of_the_digest(run: Path, tmp_path: Path) -> None:
    shutil.copytree(tmp_path / "raw", tmp_path / "copy of raw")
    with ArtifactBuilder(tmp_path / "again", kind="corpus", config={}) as builder:
        builder.write_bytes("data", b"alpha gamma")
        folder = tmp_path / "copy of raw"
        files = [RawFile.of("texts", folder, path) for path in (folder / "a.txt", folder / "b" / "c.txt")]
        record_raw_files(builder, files, {"texts": folder})
        assert builder.publish().digest == Artifact.open(run / "corpus").digest


def test_a_changed_raw_file_is_named(run: Path, tmp_path: Path) -> None:
    changed = tmp_path / "raw" / "b" / "c.txt"
    changed.write_text("Gamma")
    assert problems(run / "dataset") == [f"corpus: {changed} is a raw file that has changed since it was read"]


def test_a_removed_raw_file_is_named(run: Path, tmp_path: Path) -> None:
    removed = tmp_path / "raw" / "a.txt"
    removed.unlink()
    assert problems(run / "dataset") == [f"corpus: {removed} is a raw file that is no longer there"]


def test_a_raw_file_that_became_a_folder_is_named(run: Path, tmp_path: Path) -> None:
    removed = tmp_path / "raw" / "a.txt"
    removed.unlink()
    removed.mkdir()
    (found,) = problems(run / "dataset")
    assert found.startswith(f"corpus: {removed} is a raw file that")


@pytest.mark.parametrize("role", ["dataset", "tokenizer", "corpus"])
def test_a_damaged_artifact_anywhere_is_named(run: Path, role: str) -> None:
    path = run / role / "data"
    path.write_bytes(b"!" + path.read_bytes()[1:])
    assert problems(run / "dataset") == [f"{role}: {path} has other content than was published (SHA-256 differs)"]


def test_damage_and_changed_raw_files_are_both_named(run: Path, tmp_path: Path) -> None:
    (run / "corpus" / "data").write_bytes(b"x")
    (tmp_path / "raw" / "a.txt").write_text("other")
    assert len(problems(run / "corpus")) == 2


def test_a_damaged_list_of_raw_files_is_named_and_not_believed(run: Path) -> None:
    path = run / "corpus" / "raw.jsonl"
    path.write_bytes(path.read_bytes().replace(b'"size":5', b'"size":6'))
    assert problems(run / "dataset") == [f"corpus: {path} has other content than was published (SHA-256 differs)"]


def test_a_missing_input_is_named(run: Path) -> None:
    shutil.rmtree(run / "tokenizer")
    assert problems(run / "dataset") == [f"tokenizer: {run / 'tokenizer'} is missing or has no manifest.json"]


def test_a_damaged_manifest_of_an_input_is_named(run: Path) -> None:
    path = run / "corpus" / "manifest.json"
    path.write_bytes(path.read_bytes().replace(b'"kind": "corpus"', b'"kind": "cOrpus"'))
    assert problems(run / "dataset") == [f"corpus: {path} is damaged: The manifest is not as it was written"]


def test_another_artifact_in_the_place_of_an_input_is_named(run: Path) -> None:
    shutil.rmtree(run / "tokenizer")
    publish(run / "tokenizer", "other ids")
    assert problems(run / "dataset") == [
        f"tokenizer: {run / 'tokenizer'} is another artifact than the one that was used (digest differs)"
    ]


def test_an_input_rebuilt_between_two_uses_cannot_suit_both(run: Path) -> None:
    """The dataset and the model disagree about the tokenizer, which is met first by the one it suits."""
    tokenizer = publish(run / "tokenizer", "other ids", replace=True)
    model = publish(run / "model", "weights", tokenizer=tokenizer, dataset=Artifact.open(run / "dataset"))
    assert problems(run / "model") == [
        f"tokenizer: {run / 'tokenizer'} is another artifact than the one that was used (digest differs)"
    ]
    assert [step.name for step in walk(model.path)] == ["model", "dataset", "tokenizer", "corpus", "tokenizer"]


def test_a_run_that_was_moved_is_still_proven(run: Path, tmp_path: Path) -> None:
    run.rename(tmp_path / "moved")
    steps = list(walk(tmp_path / "moved" / "dataset"))
    assert len(steps) == 3
    assert all(step.problems == [] for step in steps)


def test_a_path_that_is_no_artifact_is_a_problem_with_a_name(tmp_path: Path) -> None:
    (step,) = walk(tmp_path / "nothing")
    assert isinstance(step, Step)
    assert step.artifact is None
    assert step.name
    assert [problem.what for problem in step.problems] == ["is missing or has no manifest.json"]


def test_a_raw_file_of_an_unrecorded_root_is_a_problem(tmp_path: Path) -> None:
    with ArtifactBuilder(tmp_path / "corpus", kind="corpus", config={}) as builder:
        record_raw_files(builder, [RawFile("texts", "a.txt", 1, "00" * 32)], {})
        builder.publish()
    (found,) = problems(tmp_path / "corpus")
    assert "where it was is not recorded" in found


def test_examining_looks_at_the_artifact_alone(run: Path, tmp_path: Path) -> None:
    (tmp_path / "raw" / "a.txt").unlink()
    assert examine(run / "corpus").problems == []
    (run / "corpus" / "data").write_bytes(b"ALPHA gamma")
    assert [problem.path for problem in examine(run / "corpus").problems] == [run / "corpus" / "data"]
    assert examine(run / "dataset").problems == []


def test_artifacts_below_finds_them_all_but_not_what_is_being_built(run: Path) -> None:
    shutil.copytree(run / "corpus", run / ".corpus.building-12")
    assert [path.name for path in artifacts_below(run)] == ["corpus", "dataset", "tokenizer"]
    assert artifacts_below(run / "corpus") == [run / "corpus"]


@pytest.mark.parametrize(("make", "says"), [("nothing", "no such folder"), ("folder", "No artifact"), ("file", "No")])
def test_artifacts_below_nothing_is_bad_input(tmp_path: Path, make: str, says: str) -> None:
    path = tmp_path / "here"
    if make == "folder":
        path.mkdir()
    elif make == "file":
        path.write_bytes(b"")
    with pytest.raises(InputError, match=says):
        artifacts_below(path)
