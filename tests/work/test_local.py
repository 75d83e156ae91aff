"""Workers on this machine against a plain loop, whatever is there already and whatever goes wrong."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import signal
import tempfile
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import tiny_phases
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console
from tiny_phases import Order, begun, orders, phase, processes

from lumilab.errors import InputError, Interrupted, ResourceError
from lumilab.work.context import WorkContext
from lumilab.work.jobs import Job, largest_first
from lumilab.work.ledger import ANSWER, Ledger
from lumilab.work.local import LocalWorkers
from lumilab.work.progress import Reporter
from lumilab.work.stopping import StopRequest

posix = pytest.mark.skipif(os.name == "nt", reason="Windows has no POSIX signals")
both = pytest.mark.parametrize("workers", [1, 2])


def context() -> tuple[WorkContext, io.StringIO]:
    said = io.StringIO()
    return WorkContext(Reporter(Console(file=said, width=200)), StopRequest()), said


def local(folder: Path, workers: int, **rest: Any) -> LocalWorkers:
    return LocalWorkers(folder, context()[0], workers, **rest)


def expected(orders: list[Order]) -> list[dict[str, Any]]:
    """What a plain loop makes of them."""
    return [
        {"square": order.value**2, "pair": [order.name, order.value], "part": 0.1 * order.value} for order in orders
    ]


@both
def test_the_results_are_those_of_a_plain_loop_in_its_order(tmp_path: Path, workers: int) -> None:
    done = local(tmp_path, workers).run(phase(orders(8, 0.01)))
    assert [one.answer for one in done] == expected(orders(8))
    assert [(one.folder / "deep" / "square.txt").read_text() for one in done] == [str(n**2) for n in range(8)]
    assert sorted(os.listdir(tmp_path / "squares")) == [str(number) for number in range(8)]  # noqa: PTH208


@both
def test_a_phase_without_orders(tmp_path: Path, workers: int) -> None:
    assert local(tmp_path, workers).run(phase([])) == []


@pytest.fixture(scope="module")
def scratch() -> Any:
    folder = Path(tempfile.mkdtemp())
    yield folder
    shutil.rmtree(folder)


@settings(max_examples=15)
@given(
    values=st.lists(st.integers(0, 99), max_size=6), lost=st.sets(st.integers(0, 5)), hurt=st.sets(st.integers(0, 5))
)
def test_what_is_lost_or_damaged_is_done_again_and_nothing_else(
    scratch: Path, values: list[int], lost: set[int], hurt: set[int]
) -> None:
    shutil.rmtree(scratch)
    scratch.mkdir()
    diary = scratch / "diary"
    plan = phase([Order(str(number), value, diary=diary) for number, value in enumerate(values)])
    first = local(scratch / "work", 1).run(plan)
    diary.write_text("")
    missing = {number for number in lost | hurt if number < len(values)}
    for number in missing:
        if number in hurt:
            (first[number].folder / ANSWER).write_text('{"plan": "half')
        else:
            shutil.rmtree(first[number].folder)
    assert local(scratch / "work", 1).run(plan) == first
    assert [one.answer for one in first] == expected(list(plan.orders))
    assert begun(diary) == [str(number) for number in sorted(missing)]


@both
def test_another_plan_never_meets_old_results(tmp_path: Path, workers: int) -> None:
    diary = tmp_path / "diary"
    for values in ([1, 2, 3, 4], [1, 2, 9], [5, 1, 2, 9, 7]):
        plan = [Order(str(value), value, diary=diary) for value in values]
        done = local(tmp_path / "work", workers).run(phase(plan))
        assert [one.answer for one in done] == expected(plan)
        assert sorted(os.listdir(tmp_path / "work" / "squares")) == [str(n) for n in range(len(plan))]  # noqa: PTH208
    assert len(begun(diary)) == 4 + 3 + 5
    local(tmp_path / "work", workers).run(phase(plan))
    assert len(begun(diary)) == 12
    local(tmp_path / "work", workers, basis="the raw files are others").run(phase(plan))
    assert len(begun(diary)) == 17


def test_a_changed_phase_takes_along_those_after_it(tmp_path: Path) -> None:
    diary = tmp_path / "diary"
    second = phase([Order("second", 1, diary=diary)], name="second")
    for value in (1, 2, 2):
        workers = local(tmp_path / "work", 1)
        workers.run(phase([Order("first", value)], name="first"))
        workers.run(second)
        workers.run(second)
    assert begun(diary) == ["second", "second"]


def test_several_processes_share_the_work_and_the_largest_begin(tmp_path: Path) -> None:
    diary = tmp_path / "diary"
    plan = [Order(str(size), size, 0.05, diary) for size in (1, 4, 2, 3)]
    local(tmp_path / "work", 2).run(phase(plan))
    # One process may be through with its first before the other has started, so each is looked at on its own.
    first = dict(reversed([line.split()[::-1] for line in diary.read_text().splitlines()]))
    assert set(first.values()) == {"4", "3"}
    assert len(processes(diary)) == 2
    assert os.getpid() not in processes(diary)


@given(st.lists(st.integers(0, 9)))
def test_largest_first_and_equals_in_their_order(sizes: list[int]) -> None:
    ledger = Ledger(Path("none"), "")
    jobs = [Job(number, "", size, tiny_phases.square, None, ledger) for number, size in enumerate(sizes)]
    assert [job.number for job in largest_first(jobs)] == sorted(range(len(sizes)), key=lambda number: -sizes[number])


# --- what a person sees ------------------------------------------------------------------------------------------


@both
def test_progress_counts_everything_and_shows_the_facts(tmp_path: Path, workers: int) -> None:
    def facts(answers: Any) -> dict[str, str]:
        return {"sum": str(sum(answer["square"] for answer in answers))}

    work, said = context()
    plan = phase(orders(5), facts=facts)
    for _ in range(2):
        LocalWorkers(tmp_path, work, workers).run(plan)
    first, again = said.getvalue().splitlines()
    assert re.fullmatch(r"  Squaring: 15 numbers in \d.* s.* · sum 30", first)
    assert again == "  Squaring: 15 numbers done before · sum 30"


def test_tasks_neither_print_into_nor_read_from_the_pipes_of_their_process(tmp_path: Path) -> None:
    done = local(tmp_path, 2).run(phase(orders(3), tiny_phases.chatty))
    assert [one.answer for one in done] == [{"read": "", "threads": "1"}] * 3


# --- failures ----------------------------------------------------------------------------------------------------


@both
def test_a_mistake_of_the_user_comes_home_whole(tmp_path: Path, workers: int) -> None:
    with pytest.raises(InputError) as caught:
        local(tmp_path, workers).run(phase(orders(6), tiny_phases.mistaken))
    assert str(caught.value) == "This input is no good. Where: order-3. To mend it: take another."
    assert all(path.name.isdecimal() and path.name != "3" for path in (tmp_path / "squares").iterdir())


@both
def test_a_defect_keeps_its_kind_and_its_traceback(tmp_path: Path, workers: int) -> None:
    with pytest.raises(KeyError, match="a defect") as caught:
        local(tmp_path, workers).run(phase(orders(6), tiny_phases.defective))
    if workers > 1:
        (note,) = caught.value.__notes__
        assert note.startswith("In task 4 of 6 of 'squares' (order-3):\nTraceback")
        assert "in defective\n" in note


def test_an_error_that_cannot_be_pickled_comes_as_its_words(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="OddError: an odd defect"):
        local(tmp_path, 2).run(phase(orders(6), tiny_phases.defective_oddly))


@both
def test_an_answer_that_json_cannot_say_is_a_defect(tmp_path: Path, workers: int) -> None:
    with pytest.raises(TypeError, match="not JSON serializable"):
        local(tmp_path, workers).run(phase(orders(2), tiny_phases.speechless))


@posix
def test_a_worker_that_dies_is_reported_with_its_task(tmp_path: Path) -> None:
    with pytest.raises(ResourceError) as caught:
        local(tmp_path, 2).run(phase(orders(6), tiny_phases.deadly))
    assert "ended by SIGKILL in the middle of a task" in str(caught.value)
    assert "task 4 of 6 of 'squares' (order-3)" in str(caught.value)
    assert "use fewer workers" in str(caught.value)
    # Once the reason is gone, what was done is still there.
    assert [one.answer for one in local(tmp_path, 2).run(phase(orders(6)))] == expected(orders(6))


def test_a_function_that_workers_cannot_find_is_a_defect_and_no_hang(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    function = tiny_phases.square
    plan = phase(orders(2))
    vanished = replace(plan, function=type(function)(function.__code__, {"__name__": "vanished"}, "vanished"))
    with pytest.raises(Exception, match="vanished"):
        local(tmp_path / "work", 2).run(vanished)
    assert not program.exists()


# --- stopping ----------------------------------------------------------------------------------------------------


@both
def test_a_stop_is_honoured_in_the_middle_of_tasks(tmp_path: Path, workers: int) -> None:
    work, _ = context()
    plan = phase([*orders(2), *(Order(f"long-{n}", n, 600) for n in (3, 4))])
    threading.Timer(0.7, work.stop.request, args=(signal.SIGINT,)).start()
    with pytest.raises(Interrupted) as caught:
        LocalWorkers(tmp_path, work, workers).run(plan)
    assert caught.value.exit_code == 130
    assert all(path.name in ("0", "1") for path in (tmp_path / "squares").iterdir())


def test_who_is_stopped_before_beginning_does_nothing(tmp_path: Path) -> None:
    work, _ = context()
    work.stop.request(signal.SIGTERM)
    with pytest.raises(Interrupted):
        LocalWorkers(tmp_path, work, 2).run(phase(orders(2)))
    assert not (tmp_path / "squares").exists()


def test_workers_that_never_look_are_killed_in_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lumilab.work.processes.PATIENCE", 0.5)
    work, _ = context()
    threading.Timer(0.7, work.stop.request, args=(signal.SIGINT,)).start()
    with pytest.raises(Interrupted):
        LocalWorkers(tmp_path, work, 2).run(phase(orders(2, 600), tiny_phases.deaf))
    assert [one.answer for one in local(tmp_path, 2).run(phase(orders(2)))] == expected(orders(2))


def test_answers_are_json_text_on_the_disk(tmp_path: Path) -> None:
    (done,) = local(tmp_path, 1).run(phase(orders(1)))
    assert json.loads((done.folder / ANSWER).read_text())["answer"] == expected(orders(1))[0]
