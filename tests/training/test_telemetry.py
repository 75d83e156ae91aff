"""The log: cut back on resume, whole after a kill, valid JSON whatever is logged."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lumilab.training.meter import Meter
from lumilab.training.step import Figures
from lumilab.training.telemetry import TrainingLog, cut_log
from lumilab.training.time_limit import TimeLimit, parse_duration


def figures(loss: float, tokens: int, skipped: bool = False) -> Figures:
    return Figures(step=0, tokens=tokens, share=1.0, loss=loss, norm=0.5, trained=tokens, skipped=skipped)


def lines(path: Path) -> list[int]:
    return [json.loads(line)["step"] for line in path.read_text().splitlines()]


def test_what_came_after_the_step_is_cut_off(tmp_path: Path) -> None:
    for start, end in ((0, 6), (4, 9)):
        with TrainingLog(tmp_path, start) as log:
            for step in range(start + 1, end + 1):
                log.write("step", step, loss=1.0 / step)
    assert lines(tmp_path / "log.jsonl") == [1, 2, 3, 4, 5, 6, 7, 8, 9]
    with TrainingLog(tmp_path, 4) as log:
        assert (log.last("step") or {})["loss"] == 0.25
        assert log.last("validation") is None
    assert lines(tmp_path / "log.jsonl") == [1, 2, 3, 4]


def test_how_much_is_to_be_done_is_told_once_and_again_when_it_changes(tmp_path: Path) -> None:
    for start, steps in ((0, 8), (2, 8), (4, 12), (5, 12)):
        with TrainingLog(tmp_path, start) as log:
            log.begin(start, steps=steps, hardware="cpu")
            for step in range(start + 1, start + 4):
                log.write("step", step, loss=1.0)
    events = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    begun = [event for event in events if event["event"] == "begin"]
    assert begun == [
        {"event": "begin", "step": 0, "steps": 8, "hardware": "cpu"},
        {"event": "begin", "step": 4, "steps": 12, "hardware": "cpu"},
    ]
    assert [event["step"] for event in events if event["event"] == "step"] == [1, 2, 3, 4, 5, 6, 7, 8]


def test_a_line_that_a_kill_cut_short_is_dropped(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    path.write_bytes(b'{"event":"step","step":1}\n{"event":"step","step":2}\n{"event":"st')
    assert [event["step"] for event in cut_log(path, 9)] == [1, 2]
    assert path.read_bytes() == b'{"event":"step","step":1}\n{"event":"step","step":2}\n'
    whole_but_open = path.read_bytes() + b'{"event":"step","step":3}'
    path.write_bytes(whole_but_open)
    assert [event["step"] for event in cut_log(path, 9)] == [1, 2]


def test_a_log_that_needs_no_cut_is_not_touched(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    path.write_bytes(b'{"event":"step","step":1}\n')
    before = path.stat()
    assert len(cut_log(path, 5)) == 1
    assert (path.stat().st_ino, path.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_numbers_that_json_lacks_become_null(tmp_path: Path) -> None:
    with TrainingLog(tmp_path, 0) as log:
        log.write("step", 1, loss=float("nan"), gradient_norm=float("inf"), text="naïve 东京")
    line = json.loads((tmp_path / "log.jsonl").read_text(encoding="utf-8"), parse_constant=pytest.fail)
    assert line == {"event": "step", "step": 1, "loss": None, "gradient_norm": None, "text": "naïve 东京"}


@given(st.lists(st.floats(0, 100), min_size=1, max_size=50))
def test_the_smoothed_loss_lies_between_the_losses(losses: list[float]) -> None:
    meter = Meter()
    for loss in losses:
        meter.count(figures(loss, 10))
    assert meter.smoothed is not None
    assert min(losses) - 1e-9 <= meter.smoothed <= max(losses) + 1e-9


def test_smoothing_goes_on_where_it_was() -> None:
    whole, first = Meter(), Meter()
    for loss in (5.0, 4.0):
        whole.count(figures(loss, 1))
        first.count(figures(loss, 1))
    second = Meter(first.smoothed)
    for loss in (3.0, 2.0):
        whole.count(figures(loss, 1))
        second.count(figures(loss, 1))
    assert second.smoothed == whole.smoothed


def test_speed_counts_tokens_and_leaves_pauses_out(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    meter = Meter(learning_rate=0.002)
    meter.count(figures(1.0, 600))
    now[0] += 5
    meter.pause(2)
    assert meter.lap() == pytest.approx(200)
    now[0] += 1
    meter.count(figures(1.0, 50))
    assert meter.lap({"wiki": 0.75, "code": 0.25}) == pytest.approx(50)
    assert meter.seconds == 6
    facts = meter.facts()
    assert facts.pop("memory").endswith("B")
    assert facts == {
        "loss": "1.000",
        "smoothed": "1.000",
        "tokens/s": "50",
        "MFU": "unknown",
        "gradient": "0.50",
        "lr": "0.002",
        "wiki": "75 %",
        "code": "25 %",
    }


def test_the_share_of_a_known_peak_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    meter = Meter(operations=2e9, peak=1e12)
    meter.count(figures(1.0, 400))
    now[0] += 2
    meter.lap()
    assert meter.mfu == pytest.approx(200 * 2e9 / 1e12) and meter.facts()["MFU"] == "40.0 %"


def test_a_skipped_loss_is_not_smoothed_in() -> None:
    meter = Meter()
    meter.count(figures(2.0, 10))
    meter.count(figures(float("nan"), 10, skipped=True))
    assert meter.smoothed == 2.0


@pytest.mark.parametrize(("text", "seconds"), [("45s", 45), ("1.5m", 90), ("2h", 7200), ("1d", 86400), ("0s", 0)])
def test_durations(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


def test_a_limit_is_reached_when_its_time_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [10.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    limit, none = TimeLimit("30s"), TimeLimit(None)
    now[0] += 29.9
    assert not limit.reached
    now[0] += 0.1
    assert limit.reached and not none.reached
