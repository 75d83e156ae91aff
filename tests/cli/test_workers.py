"""One corpus, whoever builds it: one, two or four processes, Ray, or ranks that only share a folder."""

from __future__ import annotations

from pathlib import Path

import pytest
from command_line import lumi
from many_sources import corpus_of, write_sources
from tiny_pipeline import start_lumi

RANKS = 3


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("workers")
    build(folder, write_sources(folder), "corpus.workers=1")
    return folder


def build(folder: Path, recipe: Path, *overrides: str) -> Path:
    run = folder / "-".join(overrides)
    lumi("corpus", "build", recipe, *overrides, "--out", run, cwd=folder, check=0)
    return run


@pytest.mark.parametrize(
    "overrides",
    [
        ("corpus.workers=2",),
        pytest.param(("corpus.workers=4",), marks=pytest.mark.long),
        pytest.param(("corpus.executor=ray", "corpus.workers=2"), id="ray", marks=pytest.mark.long),
    ],
)
def test_any_number_of_workers_builds_the_same_bytes(place: Path, overrides: tuple[str, ...]) -> None:
    if "corpus.executor=ray" in overrides:
        pytest.importorskip("ray", reason="Ray is an extra")
    one, other = corpus_of(place / "corpus.workers=1"), corpus_of(build(place, place / "recipe.yaml", *overrides))
    assert other.digest == one.digest
    assert list(other.problems()) == []


@pytest.mark.long
def test_ranks_that_start_in_any_order_build_the_same_bytes(place: Path) -> None:
    run = place / "ranks"
    started = [
        start_lumi(
            *("corpus", "build", place / "recipe.yaml", "--rank", rank, "--world-size", RANKS, "--out", run), cwd=place
        )
        for rank in reversed(range(RANKS))
    ]
    for process in started:
        output, _ = process.communicate(timeout=200)
        assert process.returncode == 0, output
    assert corpus_of(run).digest == corpus_of(place / "corpus.workers=1").digest
