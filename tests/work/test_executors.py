"""Who does the phases, by name; and the room stays light."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from lumilab.errors import ConfigError
from lumilab.work.context import WorkContext
from lumilab.work.executors import workers_for
from lumilab.work.local import LocalWorkers
from lumilab.work.on_ray import RayWorkers
from lumilab.work.ranks import Rank, RankWorkers


def test_each_executor_has_its_workers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SLURM_ARRAY_TASK_ID", raising=False)
    monkeypatch.delenv("SLURM_PROCID", raising=False)
    context = WorkContext()
    local = workers_for("local", tmp_path, context, 3)
    assert isinstance(local, LocalWorkers)
    assert local.leave()
    assert isinstance(workers_for("ray", tmp_path, context), RayWorkers)
    assert isinstance(workers_for("ranks", tmp_path, context, rank=Rank(1, 2)), RankWorkers)
    with pytest.raises(ConfigError, match="Nothing says which rank this is"):
        workers_for("ranks", tmp_path, context)
    monkeypatch.setenv("SLURM_PROCID", "1")
    monkeypatch.setenv("SLURM_NTASKS", "2")
    assert isinstance(workers_for("ranks", tmp_path, context), RankWorkers)
    assert list(tmp_path.iterdir()) == []


def test_none_of_them_loads_what_only_tasks_need() -> None:
    program = "import sys, lumilab.work.executors; print({'ray', 'numpy', 'torch', 'pydantic'} & set(sys.modules))"
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert said.stdout == "set()\n"
