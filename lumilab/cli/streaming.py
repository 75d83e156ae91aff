"""Text that appears as it is generated."""

from __future__ import annotations

import sys
from collections.abc import Iterator


def show(pieces: Iterator[str]) -> None:
    """Writes pieces to standard output as they come, and a newline after the last."""
    for piece in pieces:
        sys.stdout.write(piece)
        sys.stdout.flush()
    sys.stdout.write("\n")
    sys.stdout.flush()
