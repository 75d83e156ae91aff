"""Lines out of blocks of bytes: whole blocks are split at once, which is many times faster than asking for one line
after the other, and a line too long for memory is passed over piece by piece.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

MAX_LINE_BYTES = 32 << 20


def split_lines(blocks: Iterable[bytes], limit: int = MAX_LINE_BYTES) -> Iterator[bytes | None]:
    """The lines, without the newline (a carriage return before it stays); None stands for one of over `limit` bytes.

    Memory: one line and one block.
    """
    begun: list[bytes] = []  # pieces of the line that no newline has ended yet
    size = 0
    for block in blocks:
        pieces = block.split(b"\n")
        if len(pieces) > 1:
            begun.append(pieces[0])
            size += len(pieces[0])
            yield b"".join(begun) if size <= limit else None
            for line in pieces[1:-1]:
                yield line if len(line) <= limit else None
            begun, size = [], 0
        size += len(pieces[-1])
        if size <= limit:
            begun.append(pieces[-1])
        else:
            begun.clear()
    if size:
        yield b"".join(begun) if size <= limit else None
