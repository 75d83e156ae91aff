"""Text that appears as it is generated."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator


def stream_to_terminal(pieces: Iterator[str]) -> str:
    """Writes pieces as they come and returns the statistics of the stream in words."""
    started = time.perf_counter()
    first: float | None = None
    characters = 0
    for piece in pieces:
        if first is None:
            first = time.perf_counter() - started
        characters += len(piece)
        sys.stdout.write(piece)
        sys.stdout.flush()
    sys.stdout.write("\n")
    seconds = time.perf_counter() - started
    if first is None:
        return "nothing was generated"
    return f"{characters} characters in {seconds:.1f} s, first after {1000 * first:.0f} ms"
