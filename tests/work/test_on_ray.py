"""The same tasks on Ray: the same results, the same ledger, failures and stops like anywhere else."""

from __future__ import annotations

import os
import pickle
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import tiny_phases
from tiny_phases import begun, orders, phase, processes

from lumilab.errors import ConfigError, InputError, Interrupted, ResourceError
from lumilab.work.context import WorkContext
from lumilab.work.jobs import Outcome
from lumilab.work.local import LocalWorkers
from lumilab.work.on_ray import RayWorkers
from lumilab.work.stopping import StopRequest


@pytest.fixture(scope="module")
def ray() -> Iterator[Any]:
    """Ray, which the first test starts; starting takes seconds."""
    ray = pytest.importorskip("ray", reason="Ray is an extra")
    yield ray
    ray.shutdown()


def on_ray(folder: Path, context: WorkContext | None = None) -> RayWorkers:
    return RayWorkers(folder, context or WorkContext(), 2)


@pytest.mark.long
def test_ray_equals_this_process(ray: Any, tmp_path: Path) -> None:
    diary = tmp_path / "diary"
    before = signal.getsignal(signal.SIGTERM)
    plan = phase(orders(6, 0.05, diary))
    here = LocalWorkers(tmp_path / "here", WorkContext(), 1).run(plan)
    there = on_ray(tmp_path / "there").run(plan)
    assert [one.answer for one in there] == [one.answer for one in here]
    assert [one.folder.name for one in there] == [one.folder.name for one in here]
    assert len(processes(diary) - {os.getpid()}) > 1
    # The ledger is one: what Ray has done is done for local workers too.
    diary.write_text("")
    assert LocalWorkers(tmp_path / "there", WorkContext(), 1).run(plan) == there
    assert begun(diary) == []
    assert signal.getsignal(signal.SIGTERM) == before


@pytest.mark.long
def test_failures_on_ray(ray: Any, tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        on_ray(tmp_path).run(phase(orders(6), tiny_phases.mistaken))
    assert str(caught.value) == "This input is no good. Where: order-3. To mend it: take another."
    with pytest.raises(ResourceError, match=r"A worker of Ray was lost .* task 4 of 6 of 'squares' \(order-3\)"):
        on_ray(tmp_path).run(phase(orders(6), tiny_phases.deadly))
    assert not list(tmp_path.glob("squares/3"))


@pytest.mark.long
def test_a_stop_on_ray_is_honoured_and_nothing_is_left(ray: Any, tmp_path: Path) -> None:
    context, diary = WorkContext(), tmp_path / "diary"

    def ask() -> None:
        while len(begun(diary)) < 2:
            time.sleep(0.05)
        context.stop.request(signal.SIGINT)

    threading.Thread(target=ask, daemon=True).start()
    with pytest.raises(Interrupted):
        on_ray(tmp_path / "work", context).run(phase(orders(4, 600, diary)))
    assert list((tmp_path / "work" / "squares").iterdir()) == []


def test_without_ray_it_is_said_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ConfigError, match=r"pip install 'lumilab\[ray\]'"):
        on_ray(tmp_path).run(phase(orders(2)))


@pytest.mark.parametrize("address", ["127.0.0.1:1", "ray://127.0.0.1:1", "127.0.0.1:port"])
def test_a_cluster_that_does_not_answer_is_a_mistake_of_the_user(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    monkeypatch.setitem(sys.modules, "ray", SimpleNamespace(is_initialized=lambda: False))
    monkeypatch.setenv("RAY_ADDRESS", address)
    with pytest.raises(ConfigError, match="No Ray cluster can be joined: ") as caught:
        on_ray(tmp_path).run(phase(orders(2)))
    assert caught.value.where == f"RAY_ADDRESS={address}"


class _Stranger:
    """Stands for a Ray whose workers write where this process does not see it."""

    exceptions = SimpleNamespace(RayError=OSError)

    def is_initialized(self) -> bool:
        return True

    def cluster_resources(self) -> dict[str, float]:
        return {"CPU": 2.0}

    def remote(self, **options: Any) -> Any:
        def attempt(data: bytes, path: list[str]) -> bytes:
            job = pickle.loads(data)
            with tempfile.TemporaryDirectory() as elsewhere:
                done = replace(job, ledger=replace(job.ledger, folder=Path(elsewhere))).do(StopRequest())
            return pickle.dumps(Outcome(job.number, done))

        return lambda function: SimpleNamespace(remote=attempt)

    def wait(self, references: list[Any], **options: Any) -> tuple[list[Any], list[Any]]:
        return references, []

    def get(self, reference: bytes) -> bytes:
        return reference

    def cancel(self, reference: bytes, **options: Any) -> None:
        pass


def test_a_folder_that_the_cluster_does_not_share_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", _Stranger())
    monkeypatch.setattr("lumilab.work.on_ray.PATIENCE", 0.2)
    with pytest.raises(ConfigError, match="whose result cannot be seen here"):
        on_ray(tmp_path).run(phase(orders(2)))
