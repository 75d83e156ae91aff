"""A log that is read while it grows: half lines, files that are replaced, lines that are none; its figures by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from told_run import step, write_log

from lumilab.artifact import write_atomically
from lumilab.report.log import LOG_FILE, History, unseen
from lumilab.training import telemetry

EVENTS = st.lists(
    st.builds(lambda number, text: {"event": "e", "step": number, "text": text}, st.integers(0, 99), st.text())
)


def told(folder: Path, *events: dict[str, Any]) -> History:
    history = History(write_log(folder, events))
    history.follow()
    return history


@given(EVENTS, st.data())
def test_a_log_read_in_any_pieces_is_the_log(tmp_path_factory: Any, events: list[dict[str, Any]], data: Any) -> None:
    whole = "".join(json.dumps(event, ensure_ascii=False) + "\n" for event in events).encode()
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=4)))
    path = tmp_path_factory.mktemp("log") / "log.jsonl"
    history = History(path)
    history.follow()
    for start, end in zip([0, *cuts], [*cuts, len(whole)], strict=True):
        with path.open("ab") as file:
            file.write(whole[start:end])
        history.follow()
        assert history.events == events[: len(history.events)]
    assert history.events == events


def test_a_log_that_was_cut_to_a_saved_step_is_read_anew(tmp_path: Path) -> None:
    history = told(tmp_path, step(1, 5.0, 1.0), step(2, 4.0, 2.0))
    write_atomically(history.path, (json.dumps(step(1, 5.0, 1.0)) + "\n").encode())
    history.follow()
    assert [event["step"] for event in history.events] == [1]
    before = [step(1, 5.0, 1.0), step(2, 4.0, 2.0)]
    assert unseen(before, [step(1, 5.0, 1.0), step(2, 4.5, 2.0)]) == [step(2, 4.5, 2.0)]


def test_the_log_has_the_name_that_training_gives_it() -> None:
    assert LOG_FILE == telemetry.LOG_FILE


def test_lines_that_are_no_events_are_passed_over(tmp_path: Path) -> None:
    history = History(tmp_path / "log.jsonl")
    lines = ["nonsense", "[1]", '{"event": "step"}', '{"event": 1, "step": 2}', "\x00", json.dumps(step(3, 1.0, 1.0))]
    history.path.write_text("\n".join(lines) + "\n")
    history.follow()
    assert [event["step"] for event in history.events] == [3]


def test_time_in_training_is_that_of_all_processes(tmp_path: Path) -> None:
    # 10 s, then a second process that began its clock anew: 4 s and, at the end, 9 s.
    history = told(tmp_path, step(1, 1.0, 5.0), step(2, 1.0, 10.0), step(3, 1.0, 4.0), step(5, 1.0, 9.0))
    assert history.seconds == 19.0
    assert history.seconds_per_step() == (5.0 + 5.0) / (1 + 2)
    assert told(tmp_path / "none").seconds_per_step() is None


def test_curves_are_of_the_finite_numbers_and_measures_are_named_once(tmp_path: Path) -> None:
    history = told(tmp_path, step(1, 1.0, 1.0, **{"rewards/chosen": 2}), step(2, 2.0, 2.0, extra=True, mfu=0.5))
    assert history.curve("step", "mfu") == [(2.0, 0.5)]
    assert history.measures("step", ("event", "step")) == [
        *("loss", "smoothed_loss", "learning_rate", "gradient_norm", "tokens", "skipped", "tokens_per_second"),
        *("memory", "seconds", "rewards/chosen", "mfu"),
    ]
