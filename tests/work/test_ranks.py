"""Ranks that share a folder: each does its part, all get everything, and none waits for one that has failed."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import tiny_phases
from rich.console import Console
from tiny_phases import begun, orders, phase

from lumilab.errors import ConfigError, InputError, Interrupted, LumiError
from lumilab.work import ranks
from lumilab.work.context import WorkContext
from lumilab.work.ledger import Ledger
from lumilab.work.progress import Reporter
from lumilab.work.ranks import Rank, RankWorkers
from lumilab.work.stopping import StopRequest

BUILDER = Path(__file__).with_name("builder.py")


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ranks, "POLL", 0.05)
    monkeypatch.setattr(ranks, "PULSE", 0.01)


def rank_of(folder: Path, rank: int, world_size: int, **rest: Any) -> tuple[RankWorkers, StopRequest, io.StringIO]:
    said, stop = io.StringIO(), StopRequest()
    context = WorkContext(Reporter(Console(file=said, width=200)), stop)
    return RankWorkers(folder, context, Rank(rank, world_size), 1, **rest), stop, said


def squares(done: Any) -> list[int]:
    return [one.answer["square"] for one in done]


# --- the work ----------------------------------------------------------------------------------------------------


def test_each_rank_does_its_part_and_gets_everything(tmp_path: Path) -> None:
    def part(rank: int) -> tuple[list[str], list[int], list[int], bool]:
        diary = tmp_path / f"diary-{rank}"
        workers = rank_of(tmp_path / "work", rank, 3)[0]
        first = workers.run(phase(orders(7), name="first"))
        # The diary is left out of the plan's first phase so that all ranks have one plan.
        diary.write_text("".join(f"{one.folder.name} 0\n" for one in first))
        second = workers.run(phase(orders(5), name="second"))
        return begun(diary), squares(first), squares(second), workers.leave()

    with ThreadPoolExecutor(3) as pool:
        results = list(pool.map(part, range(3)))
    assert [result[:3] for result in results] == [
        ([str(n) for n in range(7)], [n**2 for n in range(7)], [n**2 for n in range(5)])
    ] * 3
    assert [result[3] for result in results] == [True, False, False]


def test_a_rank_does_its_own_numbers_only(tmp_path: Path) -> None:
    diary = tmp_path / "diary"
    plan = phase(orders(7, diary=diary))
    workers, stop, said = rank_of(tmp_path / "work", 1, 3)
    threading.Timer(0.5, stop.request, args=(signal.SIGTERM,)).start()
    with pytest.raises(Interrupted):
        workers.run(plan)
    assert begun(diary) == ["order-1", "order-4"]
    assert "Squaring (rank 1 of 3): 7 numbers" in said.getvalue()
    for rank in (0, 2):
        Ledger(tmp_path / "work" / "squares", "another plan").note_failure(rank, {})  # of no concern
    rest = [rank_of(tmp_path / "work", rank, 3)[0] for rank in (0, 2)]
    with ThreadPoolExecutor(2) as pool:
        assert [squares(done) for done in pool.map(lambda workers: workers.run(plan), rest)] == [
            [n**2 for n in range(7)]
        ] * 2
    assert sorted(begun(diary)) == [f"order-{n}" for n in range(7)]
    assert squares(rank_of(tmp_path / "work", 1, 3)[0].run(plan)) == [n**2 for n in range(7)]


def test_who_waits_says_for_whom(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lumilab.work.progress.PLAIN_INTERVAL", 0.2)
    workers, stop, said = rank_of(tmp_path, 0, 3)
    threading.Timer(1, stop.request, args=(signal.SIGTERM,)).start()
    with pytest.raises(Interrupted):
        workers.run(phase(orders(4)))
    assert "Waiting for other ranks (squares) 0%: " in said.getvalue()
    assert "missing from ranks 1, 2" in said.getvalue()


def test_results_of_another_plan_are_waited_for_and_left_to_their_rank(tmp_path: Path) -> None:
    one = rank_of(tmp_path, 0, 1)[0]
    one.run(phase(orders(3)))
    workers, stop, _ = rank_of(tmp_path, 0, 2)
    threading.Timer(0.4, stop.request, args=(signal.SIGTERM,)).start()
    with pytest.raises(Interrupted):
        workers.run(phase(orders(2)))
    # Rank 0 has taken away 2, which is beyond, and made 0 anew; 1 is not its own.
    assert sorted(os.listdir(tmp_path / "squares")) == ["0", "1"]  # noqa: PTH208


def test_leaving_is_waited_for_by_the_first_rank_only(tmp_path: Path) -> None:
    first, second = rank_of(tmp_path, 0, 2)[0], rank_of(tmp_path, 1, 2)[0]
    with ThreadPoolExecutor(1) as pool:
        leaving: Future[bool] = pool.submit(first.leave)
        time.sleep(0.2)
        assert not leaving.done()
        assert second.leave() is False
        assert leaving.result(timeout=30) is True


def test_who_is_started_again_has_not_left(tmp_path: Path) -> None:
    assert rank_of(tmp_path, 1, 2)[0].leave() is False
    rank_of(tmp_path, 1, 2)
    first, stop, _ = rank_of(tmp_path, 0, 2)
    threading.Timer(0.3, stop.request, args=(signal.SIGTERM,)).start()
    with pytest.raises(Interrupted):
        first.leave()


# --- failures ----------------------------------------------------------------------------------------------------


def fail(folder: Path, function: Any = tiny_phases.mistaken) -> None:
    """Rank 1 of 2 fails in the task of order 3."""
    with pytest.raises((LumiError, KeyError)):
        rank_of(folder, 1, 2)[0].run(phase(orders(4), function))


def test_a_failure_ends_the_waiting_of_the_others(tmp_path: Path) -> None:
    waiting = rank_of(tmp_path, 0, 2)[0]
    with ThreadPoolExecutor(1) as pool:
        result = pool.submit(waiting.run, phase(orders(4), tiny_phases.mistaken))
        fail(tmp_path)
        with pytest.raises(InputError) as caught:
            result.result(timeout=30)
    assert str(caught.value) == "Rank 1 failed: This input is no good. Where: order-3. To mend it: take another."


def test_a_defect_of_another_rank_is_told_in_words(tmp_path: Path) -> None:
    waiting = rank_of(tmp_path, 0, 2)[0]
    fail(tmp_path, tiny_phases.defective)
    with pytest.raises(LumiError, match="Rank 1 failed: KeyError: 'a defect'") as caught:
        waiting.run(phase(orders(4), tiny_phases.defective))
    assert caught.value.exit_code == 1


def test_an_earlier_failure_is_believed_only_after_a_while(tmp_path: Path) -> None:
    """All ranks are started again: one that is quicker must not stumble over what another is about to take away."""
    fail(tmp_path)
    early, stop, _ = rank_of(tmp_path, 0, 2, grace=30)
    threading.Timer(0.5, stop.request, args=(signal.SIGTERM,)).start()
    with pytest.raises(Interrupted):
        early.run(phase(orders(4), tiny_phases.mistaken))
    with pytest.raises(InputError, match="Rank 1 failed"):
        rank_of(tmp_path, 0, 2, grace=0)[0].run(phase(orders(4), tiny_phases.mistaken))


def test_a_rank_that_is_started_again_takes_its_notes_away(tmp_path: Path) -> None:
    fail(tmp_path)
    assert list(tmp_path.glob("squares/3.failed.json"))
    rank_of(tmp_path, 0, 2)
    assert list(tmp_path.glob("squares/3.failed.json"))
    rank_of(tmp_path, 1, 2)
    assert not list(tmp_path.glob("squares/*.failed.json"))


def test_a_rank_that_is_stopped_has_not_failed(tmp_path: Path) -> None:
    workers, stop, _ = rank_of(tmp_path, 1, 2)
    threading.Timer(0.3, stop.request, args=(signal.SIGTERM,)).start()
    with pytest.raises(Interrupted):
        workers.run(phase(orders(4, 600)))
    assert not list(tmp_path.glob("squares/*"))


# --- real processes ----------------------------------------------------------------------------------------------


def start(folder: Path, rank: int, **settings: Any) -> subprocess.Popen[str]:
    words = {"folder": str(folder), "count": 5, "phases": 2, "rank": rank, "world_size": 2} | settings
    environment = os.environ | {"PYTHONPATH": str(BUILDER.parents[1])}
    return subprocess.Popen(
        [sys.executable, BUILDER, json.dumps(words)], env=environment, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def test_two_processes_share_the_work_though_one_is_killed_and_started_again(tmp_path: Path) -> None:
    diary = tmp_path / "diary"
    settings: dict[str, Any] = {"diary": str(diary), "seconds": 0.1}
    first, second = start(tmp_path / "work", 0, **settings), start(tmp_path / "work", 1, **settings)
    deadline = time.monotonic() + 60
    while not {"order-1"} & set(begun(diary)):
        assert time.monotonic() < deadline and second.poll() is None
        time.sleep(0.01)
    second.kill()
    second.communicate()
    again = start(tmp_path / "work", 1, **settings)
    results = [process.communicate(timeout=60) for process in (first, again)]
    assert [complaint for _, complaint in results] == ["", ""]
    said = [json.loads(out.splitlines()[-1]) for out, _ in results]
    assert [one["publishes"] for one in said] == [True, False]
    for one in said:
        assert [[answer["square"] for answer in answers] for answers in one["answers"]] == [[0, 1, 4, 9, 16]] * 2
    # At most the task in which it was killed was done twice.
    assert len(begun(diary)) <= 2 * 5 + 1


# --- which rank --------------------------------------------------------------------------------------------------


def array(number: int, first: int, last: int, step: int, count: int) -> dict[str, str]:
    names = {"ID": number, "MIN": first, "MAX": last, "STEP": step, "COUNT": count}
    return {f"SLURM_ARRAY_TASK_{name}": str(value) for name, value in names.items()}


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        (array(0, 0, 7, 1, 8), Rank(0, 8)), (array(4, 1, 4, 1, 4), Rank(3, 4)), (array(9, 5, 13, 4, 3), Rank(1, 3)),
        (array(2, 0, 3, 1, 4) | {"SLURM_PROCID": "0", "SLURM_NTASKS": "1"}, Rank(2, 4)),
        ({"SLURM_PROCID": "3", "SLURM_NTASKS": "5"}, Rank(3, 5)),
    ],
)  # fmt: skip
def test_slurm_says_which_rank(environment: dict[str, str], expected: Rank) -> None:
    assert Rank.from_slurm(environment) == expected


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({}, "no task of a Slurm array and no process of `srun`"),
        (array(5, 1, 7, 1, 3), "not evenly spaced"), (array(1, 1, 7, 1, 3), "not evenly spaced"),
        ({"SLURM_ARRAY_TASK_ID": "3"}, "SLURM_ARRAY_TASK_MIN"),
        ({"SLURM_PROCID": "5", "SLURM_NTASKS": "5"}, "no rank 5 among 5"),
    ],
)  # fmt: skip
def test_what_slurm_cannot_say_is_refused(environment: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Rank.from_slurm(environment)
