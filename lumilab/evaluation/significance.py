"""Whether two models differ on the same items, or the items merely fell so.

Paired bootstrap (Koehn 2004; Berg-Kirkpatrick et al. 2012): draw items with replacement, work out both models' scores
on the draw, and look at how the difference scatters. The items are the same for both models, so what makes an item
hard cancels out, and far smaller differences can be told than by comparing two standard errors.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

DRAWS = 2_000
LEVEL = 0.95
SEED = 1_234
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class ItemScores:
    """A model's scores of a task's items under one metric.

    Attributes:
        items: what names each item: the hash of its content.
        values: [N]: 1 or 0 for a right or wrong answer, a log-likelihood for a perplexity.
        weights: [N]: by what the sum of the values is divided: ones, or words or bytes.
        perplexity: the score is exp(-mean), not the mean.
        bits: the score is -mean / ln 2.
    """

    items: tuple[str, ...]
    values: Floats
    weights: Floats
    perplexity: bool = False
    bits: bool = False

    def score(self, chosen: npt.NDArray[np.int64] | None = None) -> Floats:
        """The score of all items, or of each row of chosen ones [draws, N]."""
        rows = np.arange(len(self.values))[None] if chosen is None else chosen
        means: Floats = self.values[rows].sum(1) / self.weights[rows].sum(1)
        if self.perplexity:
            means = np.exp(-means)
        elif self.bits:
            means = -means / np.log(2)
        return means


@dataclass(frozen=True)
class Difference:
    """How far one model's score is from another's.

    Attributes:
        value: the first's score minus the second's.
        low, high: the interval that holds 95 % of the draws.
        probability: of a draw in which the difference is of the other sign or none, doubled (two-sided p).
    """

    value: float
    low: float
    high: float
    probability: float

    @property
    def certain(self) -> bool:
        """Whether the interval leaves out 0."""
        return self.low > 0 or self.high < 0


def item_scores(samples: Sequence[Mapping[str, Any]], metric: str) -> ItemScores | None:
    """A metric of the harness's samples; None where they have none of each item."""
    names, values, weights = [], [], []
    for sample in samples:
        value = sample.get(metric)
        weight = 1.0
        if isinstance(value, Sequence) and not isinstance(value, str) and len(value) == 2:
            value, weight = value
        if not isinstance(value, (int, float, bool, np.generic)):
            return None
        names.append(f"{sample.get('doc_id')}:{sample.get('doc_hash')}")
        values.append(float(value))
        weights.append(float(weight))
    return ItemScores(
        tuple(names), np.array(values), np.array(weights), metric.endswith("perplexity"), metric.startswith("bits_per")
    )


def difference(one: ItemScores, other: ItemScores) -> Difference | None:
    """How much higher the first model's score is; None where they were not measured on the same items."""
    if one.items != other.items or not one.items:
        return None
    count = len(one.items)
    chosen = np.random.default_rng(SEED).integers(0, count, size=(DRAWS, count))
    scattered = one.score(chosen) - other.score(chosen)
    tail = (1 - LEVEL) / 2
    low, high = np.quantile(scattered, [tail, 1 - tail])
    less, more = float((scattered <= 0).mean()), float((scattered >= 0).mean())
    return Difference(float(one.score()[0] - other.score()[0]), float(low), float(high), min(1.0, 2 * min(less, more)))
