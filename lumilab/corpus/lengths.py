"""Quantiles of document lengths in bounded memory, independent of the order in which documents come.

A histogram with logarithmic buckets: lengths below 128 are exact, above that 64 buckets to each power of two keep a
quantile within 1/64 of the true value (the layout of HdrHistogram). About 3 000 counters reach any length there is,
and two histograms of two workers add up to the histogram of both.
"""

from __future__ import annotations

from collections import Counter

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

    def add(self, length: int) -> None:
        """Counts one document."""
        shift = max(length.bit_length() - SUB_BUCKET_BITS - 1, 0)
        self._buckets[length >> shift << shift] += 1
        self.count += 1
        self.total += length
        self.shortest = length if self.shortest is None else min(self.shortest, length)
        self.longest = length if self.longest is None else max(self.longest, length)

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
