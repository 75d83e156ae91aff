"""What became of the conversations of each source, for the statistics and for the reader."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any


class Tally:
    """Counts by source and, for what was dropped, by reason."""

    def __init__(self) -> None:
        self._read: Counter[str] = Counter()
        self._kept: Counter[str] = Counter()
        self._dropped: dict[str, Counter[str]] = {}

    def read(self, source: str) -> None:
        """One more was met."""
        self._read[source] += 1

    def keep(self, source: str) -> None:
        """One more became an example."""
        self._kept[source] += 1

    def drop(self, source: str, reason: str) -> None:
        """One more was left out."""
        self._dropped.setdefault(source, Counter())[reason] += 1

    def summary(self) -> dict[str, Any]:
        """All counts, for the manifest's statistics."""
        return {
            "sources": {
                source: {
                    "read": count,
                    "kept": self._kept[source],
                    "dropped": dict(sorted(self._dropped.get(source, Counter()).items())),
                }
                for source, count in self._read.items()
            }
        }

    def describe(self) -> Iterator[str]:
        """A line for each source."""
        for source, count in self._read.items():
            reasons = self._dropped.get(source, Counter()).most_common()
            dropped = "; dropped: " + ", ".join(f"{number:,} {reason}" for reason, number in reasons) if reasons else ""
            yield f"{source}: {self._kept[source]:,} of {count:,} conversations kept{dropped}"
