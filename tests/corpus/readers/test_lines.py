from __future__ import annotations

import tracemalloc
from collections.abc import Iterator

from hypothesis import example, given
from hypothesis import strategies as st

from lumilab.corpus.readers.lines import split_lines


def blocks(data: bytes, sizes: list[int]) -> Iterator[bytes]:
    """The data in pieces of these sizes, over and over."""
    position = turn = 0
    while position < len(data):
        size = sizes[turn % len(sizes)]
        yield data[position : position + size]
        position += size
        turn += 1


@given(
    data=st.lists(st.sampled_from([b"\n", b"\r\n", b"", b"ab", b"\xff", b"long line " * 3]), max_size=60).map(b"".join),
    sizes=st.lists(st.integers(1, 40), min_size=1, max_size=4),
    limit=st.integers(1, 40),
)
@example(data=b"abc\n", sizes=[1], limit=3)
@example(data=b"abcd\nabc", sizes=[2], limit=3)
@example(data=b"abcd", sizes=[4], limit=3)
def test_lines_are_those_of_the_whole_for_any_blocks(data: bytes, sizes: list[int], limit: int) -> None:
    expected = data.split(b"\n")
    if not expected[-1]:
        expected.pop()
    found = list(split_lines(blocks(data, sizes), limit))
    assert found == [line if len(line) <= limit else None for line in expected]


def test_a_line_too_long_for_memory_is_passed_over_in_bounded_memory() -> None:
    def data() -> Iterator[bytes]:
        yield b"first\n"
        for _ in range(1_600):
            yield b"x" * (1 << 16)  # 100 MB in all
        yield b"\nlast"

    tracemalloc.start()
    found = list(split_lines(data(), limit=1 << 20))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert found == [b"first", None, b"last"]
    assert peak < 3 << 20
