"""Answers of a model kept on disk as they are given, so that a killed evaluation goes on where it was.

One JSON line each, under the hash of what was asked; a line that a kill cut off is ignored, and asked again. A file
belongs to one model and one way of asking it: its name says which.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any


class Journal:
    """What a model has answered.

    Args:
        file: where it is kept; None to keep it in memory.

    Attributes:
        asked, remembered: answers that were given, and answers that were found here.
    """

    def __init__(self, file: Path | None) -> None:
        self.asked = self.remembered = 0
        self._file = file
        self._known = _read(file) if file is not None and file.is_file() else {}

    def has(self, kind: str, question: Sequence[Any]) -> bool:
        """Whether that was answered before."""
        return _key(kind, question) in self._known

    def get(self, kind: str, question: Sequence[Any]) -> Any:
        """The answer; KeyError where there is none."""
        return self._known[_key(kind, question)]

    def keep(self, kind: str, question: Sequence[Any], answer: Any) -> None:
        """Keeps an answer (anything JSON knows); one that is there already stays."""
        key = _key(kind, question)
        if key in self._known:
            return
        self.asked += 1
        self._known[key] = answer
        if self._file is not None:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            with self._file.open("a") as lines:
                lines.write(json.dumps({"key": key, "answer": answer}) + "\n")


def _key(kind: str, question: Sequence[Any]) -> str:
    return hashlib.sha256(json.dumps([kind, *question], sort_keys=True).encode()).hexdigest()


def _read(file: Path) -> dict[str, Any]:
    known = {}
    for line in file.read_text().splitlines():
        try:
            entry = json.loads(line)
            known[entry["key"]] = entry["answer"]
        except (ValueError, KeyError, TypeError):
            continue
    return known
