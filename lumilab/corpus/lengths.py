"""Quantiles of document lengths in bounded memory, independent of the order in which documents come.

A histogram with logarithmic buckets: lengths below 128 are exact, above that 64 buckets to each power of two keep a
quantile within 1/64 of the true value (the layout of HdrHistogram). About 3 000 counters reach any length there is,
and two histograms of two workers add up to the histogram of both.
"""

from __future__ import annotations

from collections import Counter
from typing import Any, Self

SUB_BUCKET_BITS = 6
QUANTILES = {"p05": 0.05, "p25": 0.25, "p50": 0.5, "p75": 0.75, "p95": 0.95}
COLUMNS = ("shortest", *QUANTILES, "longest")


class LengthHistogram:
    """Counts lengths (any non-negative integers)."""

    def __init__(self) -> None:
        self._buckets: Counter[int] = Counter()
        self.count = 0
        self.total = 0
        self.shortest: int | None = None
        self.longest: int | None = None

    def add(self, length: int, count: int = 1) -> None:
        """Counts documents of one length."""
        shift = max(length.bit_length() - SUB_BUCKET_BITS - 1, 0)
        self._buckets[length >> shift << shift] += count
        self.count += count
        self.total += length * count
        self.shortest = length if self.shortest is None else min(self.shortest, length)
        self.longest = length if self.longest is None else max(self.longest, length)

    def merge(self, other: LengthHistogram) -> None:
        """Counts what another counted."""
        self._buckets += other._buckets
        self.count += other.count
        self.total += other.total
        shortest = [length for length in (self.shortest, other.shortest) if length is not None]
        longest = [length for length in (self.longest, other.longest) if length is not None]
        self.shortest, self.longest = min(shortest, default=None), max(longest, default=None)

    def buckets(self) -> list[tuple[int, int]]:
        """The lower edge of each bucket that is not empty, and its count, in order."""
        return sorted(self._buckets.items())

    def quantile(self, share: float) -> int | None:
        """The length at this share (0 to 1) of the ordered documents, rounded down to its bucket; None when empty."""
        rank = share * (self.count - 1)
        passed = 0
        for edge in sorted(self._buckets):
            passed += self._buckets[edge]
            if passed > rank:
                return max(edge, self.shortest or 0)
        return None

    def summary(self) -> dict[str, int | None]:
        """Shortest, quantiles and longest (see COLUMNS), as JSON values."""
        quantiles = {name: self.quantile(share) for name, share in QUANTILES.items()}
        return {"shortest": self.shortest, **quantiles, "longest": self.longest}

    def to_json(self) -> dict[str, Any]:
        """Everything, as JSON values."""
        return {"buckets": self.buckets(), "total": self.total, "shortest": self.shortest, "longest": self.longest}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Self:
        """What `to_json` was made from."""
        lengths = cls()
        lengths._buckets = Counter(dict(value["buckets"]))
        lengths.count = lengths._buckets.total()
        lengths.total, lengths.shortest, lengths.longest = value["total"], value["shortest"], value["longest"]
        return lengths
