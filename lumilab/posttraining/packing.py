"""Several conversations in one training window, each as if it were alone.

Best-fit decreasing bin packing (Johnson 1974; for language models Ding et al. 2024, "Fewer Truncations Improve Language
Modeling"): from the longest on, each conversation goes into the fullest window that still has room. Nothing is cut, and
little is padding. The result is a function of the lengths alone.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Sequence


def pack(lengths: Sequence[int], window: int) -> list[list[int]]:
    """Which items share a window.

    Args:
        lengths: of the items, each 1 to `window`.
        window: what the lengths in a window may add up to.

    Returns:
        The indices in each window. Every item is in exactly one.

    Raises:
        ValueError: an item does not fit a window.
    """
    if lengths and not 1 <= min(lengths) <= max(lengths) <= window:
        raise ValueError(f"lengths must be 1 to {window}")
    windows: list[list[int]] = []
    with_room: dict[int, list[int]] = {}  # free places -> windows that have as many
    rooms: list[int] = []  # the keys of `with_room`, ascending
    for index in sorted(range(len(lengths)), key=lambda index: (-lengths[index], index)):
        length = lengths[index]
        place = bisect_left(rooms, length)
        if place == len(rooms):
            room, chosen = window, len(windows)
            windows.append([])
        else:
            room = rooms[place]
            chosen = with_room[room].pop()
            if not with_room[room]:
                del with_room[room], rooms[place]
        windows[chosen].append(index)
        left = room - length
        if left:
            if left not in with_room:
                with_room[left] = []
                insort(rooms, left)
            with_room[left].append(chosen)
    return windows
