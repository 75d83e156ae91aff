"""A corpus built by several processes and killed with SIGKILL at random moments ends in the very same bytes."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import pytest
from command_line import lumi
from many_sources import corpus_of, write_sources
from tiny_pipeline import kill_at_random


@pytest.mark.long
def test_killed_twenty_times_the_corpus_is_the_same(tmp_path: Path) -> None:
    recipe = write_sources(tmp_path)
    started = time.monotonic()
    lumi("corpus", "build", recipe, "corpus.workers=1", "--out", tmp_path / "whole", cwd=tmp_path, check=0)
    seconds = time.monotonic() - started
    expected = corpus_of(tmp_path / "whole").digest
    run = tmp_path / "run"

    def finished() -> None:
        assert corpus_of(run).digest == expected
        shutil.rmtree(run)

    command = ("corpus", "build", recipe, "--out", run)
    kill_at_random(*command, cwd=tmp_path, kills=20, seconds=seconds, finished=finished)
    lumi(*command, cwd=tmp_path, check=0)
    assert corpus_of(run).digest == expected
    assert list(corpus_of(run).problems()) == []
    assert [path.name for path in (run / "corpus").iterdir() if path.is_dir()] == [corpus_of(run).path.name]
