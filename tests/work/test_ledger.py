"""The ledger: whole entries of the plan at hand, and nothing else."""

from __future__ import annotations

import errno
import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from lumilab.work.ledger import ANSWER, Ledger, failure_notes
from lumilab.work.phases import Done


def enter(ledger: Ledger, number: int, text: str = "text", **answer: Any) -> Done:
    with ledger.writing(number) as folder:
        (folder / "deep").mkdir()
        (folder / "deep" / "file").write_text(text)
        return ledger.enter(number, folder, answer)


def test_an_entry_is_there_with_its_files_and_its_answer(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "phase", "plan")
    assert ledger.entries(range(3)) == {}
    done = enter(ledger, 1, count=3, pair=(1, 2))
    assert done == Done(tmp_path / "phase" / "1", {"count": 3, "pair": [1, 2]})
    assert (done.folder / "deep" / "file").read_text() == "text"
    assert ledger.entries(range(3)) == {1: done}
    assert os.listdir(tmp_path / "phase") == ["1"]  # noqa: PTH208 - hidden names too


def test_a_task_that_fails_leaves_nothing(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path, "plan")
    with pytest.raises(KeyError), ledger.writing(0) as folder:
        (folder / "half").write_text("half")
        raise KeyError
    assert list(tmp_path.iterdir()) == []


def test_an_answer_that_json_cannot_say_is_no_entry(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path, "plan")
    for answer in (float("nan"), object()):
        with pytest.raises((TypeError, ValueError)):
            enter(ledger, 0, answer=answer)
    assert list(tmp_path.iterdir()) == []


def damage_answer(entry: Path) -> None:
    (entry / ANSWER).write_bytes((entry / ANSWER).read_bytes()[:-2])


def damage_kind(entry: Path) -> None:
    (entry / ANSWER).write_text("[]")


def damage_length(entry: Path) -> None:
    (entry / "deep" / "file").write_text("tex")


def damage_more(entry: Path) -> None:
    (entry / "deep" / "other").write_text("")


def damage_plan(entry: Path) -> None:
    record = json.loads((entry / ANSWER).read_text())
    (entry / ANSWER).write_text(json.dumps(record | {"plan": "other"}))


@pytest.mark.parametrize("damage", [damage_answer, damage_kind, damage_length, damage_more, damage_plan, shutil.rmtree])
def test_a_damaged_entry_does_not_count_and_is_replaced(tmp_path: Path, damage: Any) -> None:
    ledger = Ledger(tmp_path, "plan")
    enter(ledger, 0)
    whole = enter(ledger, 1)
    damage(tmp_path / "1")
    assert set(ledger.entries(range(2))) == {0}
    assert enter(ledger, 1) == whole
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0", "1"]
    damage(tmp_path / "1")
    ledger.sweep(2)
    assert [path.name for path in tmp_path.iterdir()] == ["0"]


def test_who_comes_second_with_the_same_task_leaves_the_first(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path, "plan")
    with ledger.writing(0) as slow:
        (slow / "file").write_text("slow")
        first = enter(ledger, 0, "quick", who="quick")
        assert ledger.enter(0, slow, {"who": "slow"}) == first
    assert (first.folder / "deep" / "file").read_text() == "quick"
    assert [path.name for path in tmp_path.iterdir()] == ["0"]


def test_sweeping_takes_what_does_not_count(tmp_path: Path) -> None:
    old, ledger = Ledger(tmp_path, "old"), Ledger(tmp_path, "plan")
    for number in (0, 1, 2):
        enter(old, number)
    for number in (1, 7):
        enter(ledger, number)  # replaces 1; 7 is beyond the tasks
    ledger.note_failure(0, {"what": "it failed"})
    (tmp_path / ".1.doing-0a").mkdir()
    (tmp_path / "unrelated").mkdir()
    ledger.sweep(3)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["1", "unrelated"]


def test_a_rank_sweeps_its_own_numbers_only(tmp_path: Path) -> None:
    old, ledger = Ledger(tmp_path, "old"), Ledger(tmp_path, "plan")
    for number in range(4):
        enter(old, number)
        (tmp_path / f".{number}.doing-0a").mkdir()
        ledger.note_failure(number, {})
    ledger.sweep(4, rank=1, world_size=2)
    kept = [".0.doing-0a", ".2.doing-0a", "0", "0.failed.json", "2", "2.failed.json"]
    assert sorted(path.name for path in tmp_path.iterdir()) == kept


def test_notes_of_failures_are_found_again(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "phase", "plan")
    ledger.note_failure(12, {"what": "it failed"})
    (tmp_path / "phase" / "3.failed.json").write_text("half a no")
    ((path, number, note),) = failure_notes(tmp_path.iterdir())
    assert (path.name, number, note["what"], note["plan"]) == ("12.failed.json", 12, "it failed", "plan")


def test_a_full_disk_is_told_with_its_place(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "phase", "plan")
    with pytest.raises(OSError, match="phase") as caught, ledger.writing(0):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert caught.value.filename == str(tmp_path / "phase")
    assert list((tmp_path / "phase").iterdir()) == []
