"""Items made ahead: in order whoever makes them, errors where they belong, and threads that end."""

from __future__ import annotations

import random
import threading
import time

import pytest

from lumilab.dataset.prefetch import Prefetcher


@pytest.mark.parametrize(("workers", "ahead"), [(0, 0), (1, 1), (1, 5), (4, 2), (4, 9)])
def test_items_come_in_the_order_asked_for(workers: int, ahead: int) -> None:
    def make(number: int) -> int:
        time.sleep(random.Random(number).uniform(0, 0.002))  # later items are often finished first
        return number * number

    with Prefetcher(make, workers, ahead) as items:
        assert [items.get(number) for number in range(40)] == [number * number for number in range(40)]
        for number in (7, 8, 9, 3, 100, 101):
            assert items.get(number) == number * number


@pytest.mark.parametrize("workers", [0, 1, 4])
def test_an_error_is_raised_where_its_item_is_asked_for(workers: int) -> None:
    broken = {5}

    def make(number: int) -> int:
        if number in broken:
            raise OSError(f"item {number}")
        return number

    with Prefetcher(make, workers, ahead=8) as items:
        assert [items.get(number) for number in range(5)] == list(range(5))
        for _ in range(2):
            with pytest.raises(OSError, match="item 5"):
                items.get(5)
        broken.clear()
        assert [items.get(number) for number in (5, 6)] == [5, 6]


def test_no_thread_outlives_it() -> None:
    before = set(threading.enumerate())
    with Prefetcher(lambda number: number, 4, 8) as items:
        items.get(0)
        assert set(threading.enumerate()) > before
    assert set(threading.enumerate()) == before
    with pytest.raises(KeyError), Prefetcher(lambda number: number, 4, 8) as items:
        items.get(3)
        raise KeyError("the user's own")
    assert set(threading.enumerate()) == before


def test_it_makes_no_more_than_asked_ahead() -> None:
    made: list[int] = []
    with Prefetcher(made.append, 1, 3) as items:
        items.get(10)
    assert set(made) <= {10, 11, 12, 13}
