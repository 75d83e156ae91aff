"""Output that never fails for a character: a pipe on Windows, or a plain C locale, cannot show all of Unicode."""

from __future__ import annotations

import io
import sys


def show_what_can_be_shown() -> None:
    """From here on, what standard output and standard error cannot encode is shown as `?` instead of an error."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
