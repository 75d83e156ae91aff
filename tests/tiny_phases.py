"""Small tasks for the tests of work: functions at the top of a module, because workers find them by name."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lumilab.errors import InputError
from lumilab.work.phases import Phase
from lumilab.work.stopping import StopRequest

UNLUCKY = 3  # the value for which the tasks below go wrong


@dataclass(frozen=True)
class Order:
    """Work on `value` for some seconds; where there is a diary, a task that begins adds its name and process to it."""

    name: str
    value: int
    seconds: float = 0.0
    diary: Path | None = None


def orders(count: int, seconds: float = 0.0, diary: Path | None = None) -> list[Order]:
    return [Order(f"order-{value}", value, seconds, diary) for value in range(count)]


def phase(orders: Sequence[Order], function: Any = None, name: str = "squares", **rest: Any) -> Phase:
    sizes = [1 + order.value % 5 for order in orders]
    return Phase(name, "Squaring", function or square, orders, sizes, "numbers", worth_a_line=0.0, **rest)


def begun(diary: Path) -> list[str]:
    """The tasks that have begun, in the order in which they did."""
    return [line.split()[0] for line in diary.read_text().splitlines()] if diary.exists() else []


def processes(diary: Path) -> set[int]:
    """The processes that have begun tasks."""
    return {int(line.split()[1]) for line in diary.read_text().splitlines()} if diary.exists() else set()


def square(order: Order, folder: Path, stop: StopRequest) -> dict[str, Any]:
    """Writes the square into a file and answers with it, and with a tuple, which JSON knows only as a list."""
    _begin(order)
    deadline = time.monotonic() + order.seconds
    while time.monotonic() < deadline:
        stop.check()
        time.sleep(0.002)
    (folder / "deep").mkdir()
    (folder / "deep" / "square.txt").write_text(str(order.value**2))
    return {"square": order.value**2, "pair": (order.name, order.value), "part": 0.1 * order.value}


def _begin(order: Order) -> None:
    if order.diary is not None:
        with order.diary.open("a") as diary:
            diary.write(f"{order.name} {os.getpid()}\n")


def mistaken(order: Order, folder: Path, stop: StopRequest) -> dict[str, Any]:
    if order.value == UNLUCKY:
        (folder / "half").write_text("half")
        raise InputError("This input is no good", where=order.name, mend="take another.")
    return square(order, folder, stop)


class OddError(Exception):
    """Cannot be pickled, as exceptions of many libraries cannot."""

    def __init__(self, first: str, second: object) -> None:
        super().__init__(first)
        self.second = second


def defective(order: Order, folder: Path, stop: StopRequest) -> dict[str, Any]:
    if order.value == UNLUCKY:
        raise KeyError("a defect")
    return square(order, folder, stop)


def defective_oddly(order: Order, folder: Path, stop: StopRequest) -> dict[str, Any]:
    if order.value == UNLUCKY:
        raise OddError("an odd defect", lambda: None)
    return square(order, folder, stop)


def deadly(order: Order, folder: Path, stop: StopRequest) -> dict[str, Any]:
    if order.value == UNLUCKY:
        os.kill(os.getpid(), signal.SIGKILL)
    return square(order, folder, stop)


def deaf(order: Order, folder: Path, stop: StopRequest) -> dict[str, Any]:
    """Never looks whether to stop."""
    _begin(order)
    time.sleep(order.seconds)
    return {}


def chatty(order: Order, folder: Path, stop: StopRequest) -> dict[str, Any]:
    """Uses standard output and input as a library might; says what it read and how many threads it may start."""
    sys.stdout.write("hello from a task\n")
    sys.stdout.flush()
    os.write(1, b"hello from its depths\n")
    return {"read": sys.stdin.read(), "threads": os.environ.get("OMP_NUM_THREADS")}


def speechless(order: Order, folder: Path, stop: StopRequest) -> dict[str, Any]:
    """Answers with what JSON cannot say."""
    return {"answer": object()}
