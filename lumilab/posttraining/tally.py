"""What became of the examples of each source, for the statistics and for the reader."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from lumilab.corpus.document import BadRecord
from lumilab.errors import InputError
from lumilab.posttraining.rows import RefusedRow, place_of

EXAMPLES = 3  # refused rows of a source that are shown, each of another reason


class Tally:
    """Counts by source and, for what was dropped, by reason.

    Attributes:
        what: the examples' name in the plural.

    Args:
        what: the same.
        section: of the recipe that they come from.
    """

    def __init__(self, what: str = "conversations", section: str = "conversations") -> None:
        self.what = what
        self._section = section
        self._read: Counter[str] = Counter()
        self._kept: Counter[str] = Counter()
        self._examples: Counter[str] = Counter()
        self._refused: dict[str, Counter[str]] = {}
        self._first_refused: dict[str, dict[str, BadRecord]] = {}
        self._dropped: dict[str, Counter[str]] = {}

    def read(self, source: str) -> None:
        """One more was met."""
        self._read[source] += 1

    def keep(self, source: str, examples: int = 1) -> None:
        """One more was kept and became so many examples, by its source's weight."""
        self._kept[source] += 1
        self._examples[source] += examples

    def refuse(self, source: str, row: BadRecord) -> None:
        """One more was no example."""
        self.drop(source, row.reason)
        self._refused.setdefault(source, Counter())[row.reason] += 1
        self._first_refused.setdefault(source, {}).setdefault(row.reason, row)

    def check(self, max_bad_share: float, folders: Mapping[str, Path]) -> None:
        """Compares the share of refused rows of each source with what is allowed.

        Raises:
            InputError: a source has more.
        """
        for source, reasons in self._refused.items():
            refused = reasons.total()
            if refused <= max_bad_share * self._read[source]:
                continue
            counts = ", ".join(f"{count:,} {reason}" for reason, count in reasons.most_common())
            first = [self._first_refused[source][reason] for reason, _ in reasons.most_common(EXAMPLES)]
            shown = "; ".join(f"{place_of(row, folders)}: {_explained(row)}" for row in first)
            raise InputError(
                f"{refused:,} of {self._read[source]:,} rows of the source {source!r} are no {self.what} "
                f"({refused / self._read[source]:.1%}, where {self._section}.max_bad_share allows "
                f"{max_bad_share:.1%}): {counts}. For example {shown}",
                where=f"source {source!r}",
                mend="see that `kind` is the form of these rows, mend or remove them, or raise "
                f"{self._section}.max_bad_share.",
            )

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
                    "examples": self._examples[source],
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
            yield f"{source}: {self._kept[source]:,} of {count:,} {self.what} kept{dropped}"


def _explained(row: BadRecord) -> str:
    return f"{row.reason} ({row.detail})" if isinstance(row, RefusedRow) and row.detail else row.reason
