"""Packing: nothing lost, nothing cut, and close to the fewest windows possible."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lumilab.posttraining.packing import pack


@given(st.lists(st.integers(1, 64), max_size=300))
def test_every_item_is_in_one_window_that_holds_it(lengths: list[int]) -> None:
    windows = pack(lengths, 64)
    assert sorted(index for window in windows for index in window) == list(range(len(lengths)))
    assert all(0 < sum(lengths[index] for index in window) <= 64 for window in windows)


@given(st.lists(st.integers(1, 64), min_size=1, max_size=300))
def test_few_windows_are_needed(lengths: list[int]) -> None:
    # Johnson 1974: best-fit decreasing needs at most 11/9 of the best possible, plus a constant.
    fewest = -(-sum(lengths) // 64)
    at_least = max(fewest, sum(length > 32 for length in lengths))
    assert len(pack(lengths, 64)) <= 11 / 9 * max(at_least, brute_lower_bound(lengths)) + 4


def brute_lower_bound(lengths: list[int]) -> int:
    """Martello and Toth's L2 bound: items over half need a window each, and leave little for the middle ones."""
    best = 0
    for small in range(1, 33):
        large = [length for length in lengths if length > 64 - small]
        half = [length for length in lengths if 32 < length <= 64 - small]
        middle = [length for length in lengths if small <= length <= 32]
        rest = sum(middle) - (64 * len(half) - sum(half))
        best = max(best, len(large) + len(half) + max(0, -(-rest // 64)))
    return best


def test_the_fullest_window_with_room_is_taken() -> None:
    # 6 leaves 4, 7 leaves 3; the 3 goes to the window that it fills.
    assert pack([6, 3, 7], 10) == [[2, 1], [0]]


def test_it_is_a_function_of_the_lengths() -> None:
    lengths = [number * 37 % 50 + 1 for number in range(200)]
    assert pack(lengths, 64) == pack(list(lengths), 64)


@pytest.mark.parametrize("length", [0, 65])
def test_an_item_that_does_not_fit_is_refused(length: int) -> None:
    with pytest.raises(ValueError, match="1 to 64"):
        pack([3, length], 64)
