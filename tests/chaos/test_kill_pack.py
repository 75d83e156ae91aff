"""A dataset packed by several processes and killed with SIGKILL at random moments ends in the very same bytes."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path

import pytest
from command_line import lumi
from tiny_corpus import some_documents
from tiny_pipeline import kill_at_random

from lumilab.artifact import Artifact

RECIPE = """\
extends: tiny
name: chaos
corpus:
  deduplicate: none
  shard_documents: 25
  sources:
    - {kind: files, name: one, paths: [one.jsonl]}
    - {kind: files, name: two, paths: [two.jsonl]}
tokenizer: {vocabulary_size: 512, train_characters: 50000}
dataset: {window: 64, shard_tokens: 50000, packing: best_fit}
"""


def write_sources(folder: Path) -> Path:
    """Two sources of many documents, and the recipe for them."""
    for number, name in enumerate(("one", "two")):
        lines = (json.dumps({"text": document.text}) for document in some_documents(500, seed=number, words=400))
        (folder / f"{name}.jsonl").write_text("\n".join(lines), encoding="utf-8")
    recipe = folder / "recipe.yaml"
    recipe.write_text(RECIPE)
    return recipe


def dataset_of(run: Path) -> Artifact:
    """The one dataset of a run."""
    (manifest,) = run.glob("dataset/*/manifest.json")
    return Artifact.open(manifest.parent, kind="dataset")


@pytest.mark.long
def test_killed_twenty_times_the_dataset_is_the_same(tmp_path: Path) -> None:
    recipe, run = write_sources(tmp_path), tmp_path / "run"
    started = time.monotonic()
    lumi("pack", recipe, "dataset.workers=1", "--out", run, cwd=tmp_path, check=0)
    seconds = (time.monotonic() - started) / 2  # about what is left when corpus and tokenizer are there
    expected = dataset_of(run)
    shutil.rmtree(run / "dataset")

    def finished() -> None:
        assert dataset_of(run).digest == expected.digest
        shutil.rmtree(run / "dataset")

    command = ("pack", recipe, "dataset.workers=2", "--out", run)
    kill_at_random(*command, cwd=tmp_path, kills=20, seconds=seconds, finished=finished)
    lumi(*command, cwd=tmp_path, check=0)
    assert dataset_of(run).digest == expected.digest
    assert list(dataset_of(run).problems()) == []
    assert dataset_of(run).manifest.statistics == expected.manifest.statistics
    assert [path.name for path in (run / "dataset").iterdir() if path.is_dir()] == [dataset_of(run).path.name]
