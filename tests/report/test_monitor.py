"""The monitor: what it says of a run at a moment, that it fits the terminal, and what it prints where there is none."""

from __future__ import annotations

import io
import json
import os
import time
from pathlib import Path

import pytest
from rich.console import Console
from rich.text import Text
from told_run import EVIL, PRETRAIN_EVENTS, checkpoint, step, write_log, write_run

from lumilab.artifact import ArtifactBuilder
from lumilab.errors import InputError
from lumilab.report.monitor import Lines, monitor, packed, printable
from lumilab.report.watch import Watch, happenings, spikes
from lumilab.work.context import WorkContext
from lumilab.work.lock import exclusive, is_held
from lumilab.work.progress import Reporter
from lumilab.work.stopping import StopRequest


def shown(run: Path, width: int = 80, height: int = 24) -> list[str]:
    out = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
    monitor(run, Console(file=out, width=width, height=height, highlight=False), 1.0, once=True)
    out.seek(0)
    return out.read().splitlines()


def at_work() -> WorkContext:
    return WorkContext(Reporter(), StopRequest())


def saved(folder: Path, number: int, steps: int) -> None:
    """A saved state, which says how many steps there are to be."""
    with ArtifactBuilder(
        folder / f"step_{number:06d}", kind="training-state", config={"training": {"steps": steps}}
    ) as state:
        state.publish()


def test_a_finished_run(tmp_path: Path) -> None:
    words = "\n".join(shown(write_run(tmp_path / "run"), width=120, height=40))
    assert "nothing is at work on this run now" in words
    assert "✓ corpus  ✓ tokenizer  ✓ dataset  ✓ pretrain  ✓ pairs  ✓ preference  ✓ evaluation" in words
    assert "preference  step 2 of 2 (100 %) · ended" in words
    assert "loss 0.6000 · smoothed 0.7000 · validation 0.6500 · best 0.6500 at step 2" in words


@pytest.mark.parametrize("size", [(20, 5), (39, 10), (80, 24), (120, 40)])
def test_the_picture_fits_the_terminal(tmp_path: Path, size: tuple[int, int]) -> None:
    run = write_run(tmp_path / "run")
    lines = shown(run, *size)
    assert len(lines) < size[1]
    assert max(map(len, lines)) <= size[0]


@pytest.mark.parametrize("told_by", ["log", "state"])
def test_remaining_time_is_that_of_the_last_steps(tmp_path: Path, told_by: str) -> None:
    folder = tmp_path / "checkpoints/pretrain/m1"
    begun = [{"event": "begin", "step": 0, "steps": 100, "hardware": "Training on cpu"}] if told_by == "log" else []
    log = write_log(folder, [*begun, step(10, 6.0, 20.0), step(20, 5.0, 40.0)])  # 2 s a step
    if told_by == "state":
        saved(folder, 20, steps=100)
    os.utime(log, (time.time() + 3600,) * 2)  # as if it grew at this very moment, however slow this test is
    watch = Watch(tmp_path)
    assert watch.look().seconds_left is None  # nothing is at work
    with exclusive(folder, at_work()):
        now = watch.look()
    assert now.seconds_left == 160.0
    assert now.working == ["pretrain"] and now.training is not None and now.training.steps == 100


def test_a_stage_without_a_log_is_named_while_it_is_at_work(tmp_path: Path) -> None:
    place = tmp_path / "corpus/c0"
    with exclusive(place, at_work()):
        assert is_held(place)
        assert "at work: corpus" in shown(tmp_path)
    assert not is_held(place)
    assert "nothing is at work on this run now" in shown(tmp_path)


def test_the_next_training_is_shown_once_it_logs(tmp_path: Path) -> None:
    first = checkpoint(tmp_path, "pretrain", "m0", {}, steps=20).path.parent
    os.utime(write_log(first, PRETRAIN_EVENTS), (1000, 1000))
    watch = Watch(tmp_path)
    before = watch.look().training
    log = write_log(tmp_path / "checkpoints/sft/s0", [step(1, 3.0, 1.0)])
    after = watch.look().training
    assert before is not None and after is not None
    assert (before.stage, before.finished, after.stage, after.finished) == ("pretrain", True, "sft", False)
    with log.open("a") as file:
        file.write(json.dumps(step(2, 2.5, 2.0))[:20])  # half a line
        file.flush()
        assert watch.look().training.history.step == 1  # type: ignore[union-attr]
        file.write(json.dumps(step(2, 2.5, 2.0))[20:] + "\n")
    assert watch.look().training.history.step == 2  # type: ignore[union-attr]


def test_what_happened_is_told_in_its_order(tmp_path: Path) -> None:
    folder = tmp_path / "checkpoints/pretrain/m0"
    events = [step(number, 5.0 - 0.1 * number, float(number)) for number in range(1, 13)]
    events[8]["loss"] = 50.0
    write_log(folder, [*events, PRETRAIN_EVENTS[4] | {"step": 10}])
    saved(folder, 12, steps=12)
    training = Watch(tmp_path).look().training
    assert training is not None
    assert list(spikes(training.history)) == [(9, 50.0)]
    assert happenings(training) == [
        (9, "loss 50.0000, a spike"),
        (10, "skipped: step 15: loss 99, gradient norm 1000"),
        (12, "state saved"),
    ]


def test_without_a_terminal_each_event_is_a_line_once(tmp_path: Path) -> None:
    folder = tmp_path / "checkpoints/pretrain/m0"
    write_log(folder, [step(1, 5.0, 1.0), step(2, 4.0, 2.0)])
    watch, lines = Watch(tmp_path), Lines()
    first = [line.plain for line in lines.new(watch.look())]
    assert first[0].endswith("nothing is at work on this run now")
    assert len(first) == 2 and first[1].startswith("pretrain step 2 · loss 4.0000 · 102 tokens/s")
    assert not list(lines.new(watch.look()))
    # It went on from step 1, otherwise than before.
    write_log(folder, [step(1, 5.0, 1.0), step(2, 4.5, 2.0), PRETRAIN_EVENTS[1]])
    assert [line.plain.partition(" · ")[2][:12] for line in lines.new(watch.look())] == ["loss 4.5000 ", "validation l"]


def test_no_text_moves_the_cursor() -> None:
    assert printable("a\x1b[2J\tb\n\u202ec") == "a\ufffd[2J b \ufffdc"
    assert printable(EVIL) == EVIL


def test_pieces_are_packed_and_never_cut() -> None:
    lines = [line.plain for line in packed(map(Text, ["aaaa", "bb", "cccccc", "d"]), 9)]
    assert lines == ["aaaa · bb", "cccccc", "d"]


def test_what_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError):
        Watch(tmp_path / "none")
