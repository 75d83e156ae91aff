"""Memory: limits read as the system states them, the micro-batch that fits, and a process that really runs out."""

from __future__ import annotations

import os
import subprocess
import sys
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_training import CONFIG, Counting, fresh_model

from lumilab.training import memory, micro_batches
from lumilab.training.learner import Learner
from lumilab.training.memory import _group_limits
from lumilab.training.micro_batches import largest_micro_batch
from lumilab.training.objective import Batch, summed_cross_entropy

GIGABYTE = 2**30


def test_the_limits_of_all_groups_above_count_in_the_unified_layout(tmp_path: Path) -> None:
    (tmp_path / "membership").write_text("0::/batch/job\n")
    group = tmp_path / "fs" / "batch" / "job"
    group.mkdir(parents=True)
    (group / "memory.max").write_text("max\n")
    (group / "memory.current").write_text("70\n")
    (group.parent / "memory.max").write_text("1000\n")
    (group.parent / "memory.current").write_text("100\n")
    assert list(_group_limits(tmp_path / "membership", tmp_path / "fs")) == [900]


def test_the_limit_of_the_memory_controller_counts_in_the_older_layout(tmp_path: Path) -> None:
    (tmp_path / "membership").write_text("12:cpu,cpuacct:/job\n4:memory:/job\n0::/\n")
    group = tmp_path / "fs" / "memory" / "job"
    group.mkdir(parents=True)
    (group / "memory.limit_in_bytes").write_text("5000\n")
    (group / "memory.usage_in_bytes").write_text("1000\n")
    assert list(_group_limits(tmp_path / "membership", tmp_path / "fs")) == [4000]
    assert list(_group_limits(tmp_path / "nothing", tmp_path / "fs")) == []


def test_there_is_more_memory_than_is_taken() -> None:
    cpu = torch.device("cpu")
    assert 2**20 < memory.resident() < memory.most_memory(cpu)


def test_processes_on_one_machine_share_what_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "_group_limits", lambda: iter([8 * GIGABYTE]))
    monkeypatch.setattr(memory, "_own_limits", lambda: iter([]))
    monkeypatch.setattr(memory, "resident", lambda: GIGABYTE)
    monkeypatch.setattr(memory.psutil, "virtual_memory", lambda: SimpleNamespace(available=10 * GIGABYTE))
    assert [memory.most_memory(torch.device("cpu"), count) // GIGABYTE for count in (1, 4)] == [9, 3]


def test_a_peak_is_that_of_the_block() -> None:
    cpu = torch.device("cpu")
    with memory.peak_watched(cpu) as peak:
        torch.ones(2**26).sum()  # a quarter of a gigabyte
        before = peak()
    if not memory.PEAK_RESET.exists():
        pytest.skip("there is only the peak of the whole process here")
    with memory.peak_watched(cpu) as peak:
        torch.ones(2**20).sum()
        assert before - peak() > 2**27


@pytest.fixture(scope="module")
def learner() -> Learner:
    return Learner(fresh_model(), CONFIG, torch.float32)


@settings(max_examples=40)
@given(st.integers(1, 96), st.integers(1, 120), st.integers(1, 20), st.integers(1, 120))
def test_the_size_found_is_the_largest_that_fits(learner: Learner, batch: int, room: int, base: int, most: int) -> None:
    """Passes that take base + rows gigabytes, on a device that gives memory to at most so many rows, whatever it said
    before: brute force over the divisors says what fits."""

    def peak(learner: Learner, loss_of: object, batch: Batch, rows: int) -> int:
        if rows > most:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate too much")
        return (base + rows) * GIGABYTE

    rows = torch.zeros((batch, 4), dtype=torch.int64)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(micro_batches, "_peak_of_passes", peak)
        patch.setattr(micro_batches, "_taken_without_windows", lambda learner: base * GIGABYTE)
        patch.setattr(micro_batches, "most_memory", lambda device, sharers: int((base + room) / 0.9 * GIGABYTE) + 2**24)
        found = largest_micro_batch(learner, partial(summed_cross_entropy, learner.model), Batch(rows, rows))
    fitting = [size for size in range(1, batch + 1) if batch % size == 0 and size <= min(room, most)]
    assert found == max([*fitting, 1])  # one window is tried in any case


def test_passes_leave_the_learner_as_it_was() -> None:
    learner = Learner(fresh_model(), CONFIG, torch.float32)
    before = {name: tensor.clone() for name, tensor in learner.model.state_dict().items()}
    state = torch.get_rng_state()
    assert largest_micro_batch(learner, partial(summed_cross_entropy, learner.model), Counting(rows=6).batch(0)) == 6
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(tensor, before[name]) for name, tensor in learner.model.state_dict().items())
    assert all(parameter.grad is None for parameter in learner.model.parameters())


LIMITED = """
import resource, sys
from pathlib import Path
import psutil
from tiny_corpus import quiet_context
from tiny_training import Counting, changed, fresh_model, states_in
from lumilab.errors import ResourceError
from lumilab.training.loop import train

folder, room = Path(sys.argv[1]), 300 * 2**20
train(fresh_model(), Counting(), changed(steps=1), states_in(folder / "warm"), quiet_context()[0], seed=1)
resource.setrlimit(resource.RLIMIT_AS, (psutil.Process().memory_info().vms + room,) * 2)
for size in ("auto", None):
    config = changed(steps=2, batch_size=256, micro_batch_size=size, validate_every=9)
    context, said = quiet_context()
    try:
        states, objective = states_in(folder / str(size), config), Counting(rows=256, length=256)
        done = train(fresh_model(), objective, config, states, context, seed=1)
        print(done.micro_batch, done.step)
    except ResourceError as error:
        print(error.exit_code, error)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="limits of a process's memory work on Linux")
def test_a_process_that_runs_out_of_memory_is_told_what_to_change_and_auto_does_it(tmp_path: Path) -> None:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, str(tmp_path)], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    found, refused = done.stdout.splitlines()
    assert refused.startswith("5 Memory ran out while training on 256 windows at once")
    assert "micro_batch_size" in refused and "auto" in refused
    rows, steps = map(int, found.split())
    assert 2 <= rows < 256 and steps == 2
