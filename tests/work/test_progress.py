"""Progress: the same facts for a person and for a log file."""

from __future__ import annotations

import io
import time
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from lumilab.work import progress
from lumilab.work.progress import Reporter, Task, format_bytes, format_count, format_seconds


class Clock:
    """A clock that only moves when it is told to."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr(progress, "time", SimpleNamespace(monotonic=lambda: self.now))


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def plain() -> tuple[Reporter, io.StringIO]:
    out = io.StringIO()
    return Reporter(Console(file=out, width=200, highlight=False, soft_wrap=True)), out


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "0"), (7, "7"), (950, "950"), (12.34, "12.3"), (0.5, "0.5"), (99.96, "100"), (999.4, "999"),
        (999.5, "1k"), (1000, "1k"), (1234, "1.23k"), (12_345, "12.3k"), (99_960, "100k"), (999_499, "999k"),
        (999_500, "1M"), (4_560_000, "4.56M"), (7.89e9, "7.89G"), (5e12, "5000G"), (-1234, "-1.23k"),
    ],
)  # fmt: skip
def test_counts(number: float, text: str) -> None:
    assert format_count(number) == text


@given(st.floats(0.01, 1e12))
def test_counts_are_right_to_half_a_percent(number: float) -> None:
    text = format_count(number)
    letter = text[-1] if text[-1].isalpha() else ""
    assert float(text.removesuffix(letter)) * {"": 1, "k": 1e3, "M": 1e6, "G": 1e9}[letter] == pytest.approx(
        number, rel=0.0051
    )


def test_bytes() -> None:
    assert [format_bytes(size) for size in (512, 4_200, 1.3e9)] == ["512 B", "4.2 kB", "1.3 GB"]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0.0 s"), (0.44, "0.4 s"), (9.94, "9.9 s"), (9.96, "10 s"), (59.4, "59 s"), (59.6, "1 min 00 s"),
        (200, "3 min 20 s"), (3599, "59 min 59 s"), (3599.6, "1 h 00 min"), (7500, "2 h 05 min"),
    ],
)  # fmt: skip
def test_durations(seconds: float, text: str) -> None:
    assert format_seconds(seconds) == text


def test_rate_and_remaining_time(clock: Clock) -> None:
    task = Task("reading", 100, "documents", lambda task: None)
    clock.now += 10
    task.advance(20, loss="2.31")
    assert task.rate() == pytest.approx(2)
    assert task.describe() == "2 documents/s · 40 s left · loss 2.31"


def test_bytes_are_shown_as_a_person_reads_them(clock: Clock) -> None:
    task = Task("reading", 4_000_000, "bytes", lambda task: None)
    clock.now += 2
    task.advance(3_000_000)
    assert task.describe() == "1.5 MB/s · 0.7 s left"
    assert task.summary() == "reading: 3 MB in 2.0 s (1.5 MB/s)"


def test_the_rate_of_continued_work_counts_only_the_new(clock: Clock) -> None:
    task = Task("training", 1000, "steps", lambda task: None)
    task.start_at(900)
    clock.now += 10
    task.advance(50)
    assert task.done == 950
    assert task.rate() == pytest.approx(5)
    assert task.describe() == "5 steps/s · 10 s left"
    assert task.summary() == "training: 50 steps in 10 s (5 steps/s), 900 steps done before"


def test_before_anything_is_done_the_time_is_told_and_no_rate(clock: Clock) -> None:
    task = Task("reading", 100, "bytes", lambda task: None)
    clock.now += 12
    assert task.describe() == "12 s so far"


def test_one_of_something_is_said_so(clock: Clock) -> None:
    task = Task("numbering", 1, "tables", lambda task: None)
    task.advance(1)
    assert task.summary() == "numbering: 1 table in 0.0 s"


def test_nothing_new_took_no_time(clock: Clock) -> None:
    task = Task("reading", 3, "files", lambda task: None)
    task.start_at(3)
    assert task.summary() == "reading: 3 files done before"


def test_a_task_without_an_end_promises_none(clock: Clock) -> None:
    task = Task("reading", None, "documents", lambda task: None)
    clock.now += 1
    task.advance(3)
    assert task.describe() == "3 documents/s"


def test_a_finished_task_has_no_time_left(clock: Clock) -> None:
    task = Task("reading", 3, "documents", lambda task: None)
    clock.now += 1
    task.advance(3)
    assert "left" not in task.describe()


def test_showing_is_rare_however_often_work_advances(clock: Clock) -> None:
    shown: list[int] = []
    task = Task("reading", None, "documents", lambda task: shown.append(task.done))
    for _ in range(1000):
        clock.now += 0.001
        task.advance()
    assert task.done == 1000
    assert 9 <= len(shown) <= 11


def test_a_log_file_gets_plain_lines_every_few_seconds(clock: Clock) -> None:
    reporter, out = plain()
    with reporter.task("reading", total=100, unit="documents") as task:
        for _ in range(50):
            clock.now += 1
            task.advance(2, kept="all")
    lines = out.getvalue().splitlines()
    assert lines[0].startswith("  reading 20%: 2 documents/s · 40 s left · kept all")
    assert lines[-1] == "  reading: 100 documents in 50 s (2 documents/s) · kept all"
    assert len(lines) == 6
    assert "\x1b" not in out.getvalue()


def test_plain_lines_reach_the_file_at_once(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    reporter, out = plain()
    flushes: list[float] = []
    monkeypatch.setattr(out, "flush", lambda: flushes.append(clock.now))
    with reporter.task("reading", unit="documents") as task:
        clock.now += 11
        flushes.clear()
        task.advance()
        assert flushes


def test_a_short_task_is_one_line(clock: Clock) -> None:
    reporter, out = plain()
    with reporter.task("writing", total=3, unit="files") as task:
        task.advance(3)
    assert out.getvalue() == "  writing: 3 files in 0.0 s\n"


def test_a_failed_task_claims_nothing(clock: Clock) -> None:
    reporter, out = plain()
    with pytest.raises(KeyError), reporter.task("writing", total=3, unit="files"):
        raise KeyError
    assert out.getvalue() == ""


def test_text_is_shown_as_it_is() -> None:
    reporter, out = plain()
    reporter.say("[bold]x[/bold] [a, b] :smile: " + "long " * 80, style="bold")
    assert out.getvalue() == "[bold]x[/bold] [a, b] :smile: " + "long " * 80 + "\n"


def test_a_terminal_gets_a_live_line_and_the_same_summary() -> None:
    out = io.StringIO()
    reporter = Reporter(Console(file=out, width=100, force_terminal=True, highlight=False))
    with reporter.task("outer", total=2, unit="files") as outer:
        with reporter.task("inner", total=5, unit="lines") as inner:
            inner.advance(5)
        reporter.say("a line above")
        outer.advance(2)
        time.sleep(0.15)
    text = out.getvalue()
    assert "a line above" in text
    assert "inner: 5 lines in" in text
    assert "outer: 2 files in" in text
    assert "\x1b" in text


def test_a_live_task_ends_with_its_error() -> None:
    reporter = Reporter(Console(file=io.StringIO(), width=100, force_terminal=True))
    with pytest.raises(KeyError), reporter.task("outer"):
        raise KeyError
    with reporter.task("again") as task:
        task.advance()


def test_eighty_columns_hold_rate_and_remaining_time(clock: Clock) -> None:
    out = io.StringIO()
    reporter = Reporter(Console(file=out, width=80, force_terminal=True, highlight=False))
    with reporter.task("Joining duplicates in clusters", total=100_000, unit="documents") as task:
        clock.now += 60
        task.advance(9_990)
        clock.now += 1
        task.advance(10)
        time.sleep(0.25)  # the line is drawn ten times a second
    assert "164 documents/s · 9 min 09 s left" in out.getvalue()
