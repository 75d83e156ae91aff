"""One finished run for the commands that look at runs."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from tiny_pipeline import lumi, write_pipeline


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a recipe and its finished run in `run`."""
    folder = tmp_path_factory.mktemp("commands")
    lumi("run", write_pipeline(folder), "--out", folder / "run", cwd=folder, check=0)
    return folder


@pytest.fixture
def copy(finished: Path, tmp_path: Path) -> Path:
    """The same, to be changed freely."""
    shutil.copytree(finished, tmp_path / "copy")
    return tmp_path / "copy"
