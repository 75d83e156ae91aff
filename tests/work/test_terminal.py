"""Output on terminals that cannot show every character."""

from __future__ import annotations

import os
import subprocess
import sys

PROGRAM = """
from lumilab.work.terminal import show_what_can_be_shown
show_what_can_be_shown()
from lumilab.work.progress import Reporter
Reporter().say("12 · \\U0001f642 · caf\\u00e9 \\udce9")
"""


def test_a_character_that_cannot_be_shown_is_a_question_mark() -> None:
    environment = os.environ | {"PYTHONIOENCODING": "ascii"}
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, env=environment, check=True)
    assert done.stdout.rstrip() == b"12 ? ? ? caf? ?"


def test_what_can_be_shown_is() -> None:
    environment = os.environ | {"PYTHONIOENCODING": "utf-8"}
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, env=environment, check=True)
    assert done.stdout.decode().rstrip() == "12 · \U0001f642 · café ?"
