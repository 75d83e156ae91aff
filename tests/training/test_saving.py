"""Saving in the background: one at a time, a copy of the moment, and nothing that goes wrong is lost."""

from __future__ import annotations

import threading

import pytest
import torch

from lumilab.training.saving import Saver
from lumilab.training.stored_tensors import Pieces

Written = dict[str, Pieces]


def pieces(value: float) -> Written:
    return {"model": Pieces({"a": torch.full((3,), value)}, {})}


def test_what_is_written_is_what_was_there_when_it_was_asked_for() -> None:
    go_on, written = threading.Event(), []
    source = pieces(1.0)

    def write(found: Written) -> None:
        go_on.wait(10)
        written.append(found["model"].tensors["a"].clone())

    with Saver("yes") as saver:
        saver.save(source, write)
        source["model"].tensors["a"].fill_(2.0)  # training goes on
        go_on.set()
    assert torch.equal(written[0], torch.full((3,), 1.0))


def test_there_is_never_more_than_one_under_way() -> None:
    at_once, most, order = 0, 0, []

    def write(found: Written) -> None:
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        order.append(found["model"].tensors["a"][0].item())
        at_once -= 1

    with Saver("yes") as saver:
        for number in range(5):
            saver.save(pieces(float(number)), write)
    assert most == 1 and order == [0.0, 1.0, 2.0, 3.0, 4.0]


def fail(found: Written) -> None:
    raise OSError("no space")


def test_a_failure_comes_out_at_the_next_save_or_at_the_end() -> None:
    with Saver("yes") as saver:
        saver.save(pieces(1.0), fail)
        with pytest.raises(OSError, match="no space"):
            saver.save(pieces(2.0), fail)
    with pytest.raises(OSError, match="no space"), Saver("yes") as saver:
        saver.save(pieces(1.0), fail)


def test_a_failure_comes_out_when_asked_for() -> None:
    failed = threading.Event()

    def write(found: Written) -> None:
        failed.set()
        raise OSError("no space")

    def save_and_look(saver: Saver) -> None:
        saver.save(pieces(1.0), write)
        failed.wait(10)
        while True:
            saver.check()

    with Saver("yes") as saver, pytest.raises(OSError, match="no space"):
        save_and_look(saver)


def test_without_a_thread_it_is_done_at_once() -> None:
    with Saver("no") as saver, pytest.raises(OSError, match="no space"):
        saver.save(pieces(1.0), fail)
