"""What all tests share: one thread per process, repeatable hypothesis runs, and the folder of real data."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock
from hypothesis import HealthCheck, settings
from tiny_pipeline import lumi_process, write_pipeline
from xdist.scheduler import LoadFileScheduling

# Before torch is imported: several test processes share the cores, and sums in one thread have one order.
for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

# No deadline: a slow machine is not a failure. Derandomised: a commit's result does not change by itself.
settings.register_profile(
    "lumilab", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
settings.load_profile("lumilab")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadFileScheduling | None:
    """Files are handed out whole, and those of the filters together: what one of them compiles (half a minute in a
    fresh clone), the others find, while in two processes at once each would compile it all."""
    if config.getvalue("dist") != "loadfile":
        return None
    together = "tests/corpus/filters/"

    class WholeFiles(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return together if nodeid.startswith(together) else super()._split_scope(nodeid)

    return WholeFiles(config, log)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Public datasets beside the checkout, for tests on real text; a test that asks for it is skipped without it."""
    folder = Path(__file__).resolve().parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("there is no ../shared/data beside this checkout")
    return folder


@pytest.fixture
def link() -> Callable[[Path, Path], None]:
    """Makes the first path a symbolic link to the second; where that is forbidden the test is skipped."""

    def make(path: Path, target: Path) -> None:
        try:
            path.symlink_to(target, target_is_directory=target.is_dir())
        except OSError as error:
            pytest.skip(f"no symbolic links here: {error}")

    return make


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """A folder with a recipe and its finished run in `run`, only to be read: all test processes share it."""
    base = tmp_path_factory.getbasetemp()
    shared = base if worker_id == "master" else base.parent  # each process of several has a folder below the parent
    folder, done = shared / "finished", shared / "finished.done"
    with FileLock(shared / "finished.lock"):
        if not done.exists():
            shutil.rmtree(folder, ignore_errors=True)  # where another process did not get to the end
            lumi_process("run", write_pipeline(folder), "--out", "run", cwd=folder, check=0)
            done.touch()
    return folder


@pytest.fixture
def copy(finished: Path, tmp_path: Path) -> Path:
    """The same, to be changed freely."""
    shutil.copytree(finished, tmp_path / "copy")
    return tmp_path / "copy"
