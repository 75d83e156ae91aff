"""Small tasks for the tests of work: top-level functions, because workers find them by name."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lumilab.work.phases import Phase
from lumilab.work.stopping import StopRequest


@dataclass(frozen=True)
class Order:
    """`seconds` of work on `value`; where a `diary` is given, each task that begins adds a line to it."""

    name: str
    value: int
    seconds: float = 0.0
    diary: Path | None = None


def square(order: Order, folder: Path, stop: StopRequest) -> dict[str, Any]:
    """Writes the square into a file and answers with it and with a tuple, which JSON knows only as a list."""
    if order.diary is not None:
        with order.diary.open("a") as diary:
            diary.write(f"{order.name}\n")
    deadline = time.monotonic() + order.seconds
    while time.monotonic() < deadline:
        stop.check()
        time.sleep(0.002)
    (folder / "deep").mkdir()
    (folder / "deep" / "square.txt").write_text(str(order.value**2))
    return {"square": order.value**2, "pair": (order.name, order.value), "part": 0.1 * order.value}


def phase(orders: Sequence[Order], function: Any = square, name: str = "squares", **rest: Any) -> Phase:
    sizes = [1 + order.value % 5 for order in orders]
    return Phase(name, "Squaring", function, orders, sizes, unit="numbers", **rest)


def orders(count: int, seconds: float = 0.0, diary: Path | None = None) -> list[Order]:
    return [Order(f"order-{value}", value, seconds, diary) for value in range(count)]
