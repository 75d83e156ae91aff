"""Which source each sample of a weighted mix comes from, as a closed form.

The weights are exact: the decimal text of each number, as a fraction. Their common denominator is the *cycle*: after
that many samples every source has had its share to the sample, and the order begins again. Within the cycle sources
follow one another in the order of Tijdeman ("The chairman assignment problem", Discrete Mathematics 32, 1980): each
copy of a source has a time before which it would come too early and a deadline after which it would come too late, and
the copy that may come and has the earliest deadline is next. Then, at every moment, each of k sources has come within
1 - 1/(2k - 2) of its share, and no order does better in general.

The cycle is a small table; everything beyond it is arithmetic, so any sample is found at once.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from fractions import Fraction
from functools import reduce
from math import gcd, lcm

import numpy as np
import numpy.typing as npt

from lumilab.errors import ConfigError

LONGEST_CYCLE = 100_000

Numbers = npt.NDArray[np.int64]


class WeightedSchedule:
    """The sources 0 to k - 1 in an order in which each always has its share of the samples, within one.

    Args:
        weights: of each source, k at least 1; not negative, not all zero. Only their ratios count.
        where: what to call the weights in an error.

    Attributes:
        cycle: samples after which the order begins again.
        counts: samples of each source in one cycle (int64, shape [k]).

    Raises:
        ConfigError: the cycle would be longer than LONGEST_CYCLE.
    """

    def __init__(self, weights: Sequence[float | Fraction], where: str = "weights") -> None:
        counts = _whole_ratios(weights)
        self.cycle = sum(counts)
        if self.cycle > LONGEST_CYCLE:
            raise ConfigError(
                f"The weights {', '.join(str(weight) for weight in weights)} repeat only after {self.cycle:,} samples, "
                f"and {LONGEST_CYCLE:,} is the most",
                where=where,
                mend="round the weights, for example to three decimals.",
            )
        self.counts: Numbers = np.array(counts, dtype=np.int64)
        self._sources = _earliest_deadline_first(self.counts)
        self._ranks = _ranks(self._sources, len(counts))

    def locate(self, samples: Numbers) -> tuple[Numbers, Numbers]:
        """The source of each sample, and how many samples of that source came before it.

        Args:
            samples: int64, shape [n], not negative.

        Returns:
            Two int64 arrays of shape [n].
        """
        rounds, places = np.divmod(samples, self.cycle)
        sources = self._sources[places]
        return sources, rounds * self.counts[sources] + self._ranks[places]

    def drawn(self, samples: int) -> Numbers:
        """How many of the first `samples` samples come from each source (int64, shape [k])."""
        rounds, places = divmod(samples, self.cycle)
        return rounds * self.counts + np.bincount(self._sources[:places], minlength=self.counts.size)


def exact(weight: float | Fraction) -> Fraction:
    """The number that is written: 0.1 is a tenth, not the binary fraction nearest to it."""
    return weight if isinstance(weight, Fraction) else Fraction(repr(float(weight)))


def _whole_ratios(weights: Sequence[float | Fraction]) -> list[int]:
    """The smallest whole numbers in the ratios of the weights."""
    fractions = [exact(weight) for weight in weights]
    if any(fraction < 0 for fraction in fractions) or not any(fractions):
        raise ValueError("weights must not be negative, nor all zero")
    denominator = lcm(*(fraction.denominator for fraction in fractions))
    numbers = [int(fraction * denominator) for fraction in fractions]
    divisor = reduce(gcd, numbers)
    return [number // divisor for number in numbers]


def _earliest_deadline_first(counts: Numbers) -> Numbers:
    """The sources of one cycle in Tijdeman's order (int64, shape [counts.sum()])."""
    cycle, sources = int(counts.sum()), np.repeat(np.arange(counts.size), counts)
    present = int(np.count_nonzero(counts))
    if present == 1:
        return sources
    # Copy j (from 0) of a source with c of L samples may come as sample n (from 1) once n·c/L - j >= 1/q, and comes
    # too late after n·c/L - j = 1 - 1/q. In units of L/q both times are (1 + j·q)/c and (q - 1 + j·q)/c.
    q = 2 * present - 2
    owed = _ranks(sources, counts.size) * q
    releases = -(-(owed + 1) * cycle // (counts[sources] * q))
    # Two different deadlines differ by at least 1/LONGEST_CYCLE**2 and none exceeds q, so that float64 never confuses
    # them; equal ones are equal floats, and the source's number decides.
    deadlines = (owed + q - 1) / counts[sources]
    by_release = np.argsort(releases, kind="stable")
    waiting: list[tuple[float, int]] = []
    coming = zip(
        releases[by_release].tolist(), deadlines[by_release].tolist(), sources[by_release].tolist(), strict=True
    )
    copy = next(coming, None)
    order = np.empty(cycle, dtype=np.int64)
    for place in range(cycle):
        while copy is not None and copy[0] <= place + 1:
            heapq.heappush(waiting, copy[1:])
            copy = next(coming, None)
        order[place] = heapq.heappop(waiting)[1]
    return order


def _ranks(sources: Numbers, count: int) -> Numbers:
    """How many equal entries come before each one (int64, shape of `sources`); entries are 0 to count - 1."""
    ranks = np.empty_like(sources)
    for source in range(count):
        here = np.flatnonzero(sources == source)
        ranks[here] = np.arange(here.size)
    return ranks
