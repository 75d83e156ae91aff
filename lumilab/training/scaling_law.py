"""How the loss falls with the compute: L(C) = E + A / C^alpha, fitted to a few small runs (Hoffmann et al. 2022).

The runs keep the tokens for each parameter constant, so compute alone tells how large a run was; Hoffmann et al.,
section 3.3, fit sizes and tokens apart, for which a few runs are too few. As there, the Huber loss of the differences
of log L (delta 0.001) is minimised from a grid of starts; here by Gauss-Newton steps with Huber's weights (iteratively
reweighted least squares, damped as Levenberg and Marquardt have it).

With fewer than five runs three constants cannot be found: alpha is then given its value on Hoffmann's own optimal path
(section 3.3: 0.34 · 0.28 / (0.34 + 0.28)). The error bar is what the prediction depends on that the runs do not settle:
how far leaving out any one run takes it, and, with alpha given, how far two other readings of the same runs do: a fall
that never flattens (E = 0, alpha fitted), and one that flattens twice as fast. To both ends comes how far the runs
scatter about the law, as the run that is foretold will, too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
import numpy.typing as npt

from lumilab.errors import InputError

Floats = npt.NDArray[np.float64]

DELTA = 1e-3  # Huber's, of log L
PATH_ALPHA = 0.34 * 0.28 / (0.34 + 0.28)
STEEP_ALPHA = 2 * PATH_ALPHA  # for the error bar
ENOUGH = 5  # runs from which on alpha is fitted too
ITERATIONS = 200


@dataclass(frozen=True)
class ScalingLaw:
    """L(C) = irreducible + scale / C^exponent, in nats per token.

    Attributes:
        fitted_exponent: whether the exponent comes from the runs.
    """

    irreducible: float
    scale: float
    exponent: float
    fitted_exponent: bool

    def loss(self, compute: float) -> float:
        """What the law says of a run of so many floating-point operations."""
        return float(self.irreducible + self.scale * compute**-self.exponent)


@dataclass(frozen=True)
class Prediction:
    """A loss, and how far off it may be either way."""

    loss: float
    lowest: float
    highest: float
    law: ScalingLaw


def fit(compute: Sequence[float], losses: Sequence[float], exponent: float | None = None) -> ScalingLaw:
    """The law that is nearest to some runs.

    Args:
        compute: floating-point operations of each.
        losses: the validation loss of each, in nats per token.
        exponent: alpha, where it is given; None to fit it where there are enough runs, and else to take Hoffmann's.

    Raises:
        InputError: there are fewer than two runs of different compute, or a loss that is not a positive number.
    """
    x, y = np.log(np.asarray(compute, float)), np.log(np.asarray(losses, float))
    if len(set(compute)) < 2 or not np.isfinite(y).all():
        raise InputError(
            "A scaling law needs finished runs of at least two sizes, each with a loss", mend="raise --budget."
        )
    given = exponent if exponent is not None else PATH_ALPHA if len(set(compute)) < ENOUGH else None
    centre = float(x.mean())  # log A is counted from here, which keeps the constants apart
    levels = y.mean() - np.array([0.3, 1.0, 2.5])
    best: tuple[float, Floats] | None = None
    for e, a, alpha in product(levels, levels, (0.05, 0.15, 0.4) if given is None else (given,)):
        cost, found = _minimise(np.array([e, a, alpha]), x - centre, y, given is None)
        if best is None or cost < best[0]:
            best = cost, found
    assert best is not None
    e, a, alpha = best[1]
    return ScalingLaw(float(np.exp(e)), float(np.exp(a + alpha * centre)), float(alpha), given is None)


def predict(compute: Sequence[float], losses: Sequence[float], target: float) -> Prediction:
    """What a run of `target` operations would reach, with its error bar.

    Raises:
        As `fit`.
    """
    law = fit(compute, losses)
    others = []
    for left_out in range(len(compute)):
        kept = [index for index in range(len(compute)) if index != left_out]
        if len({compute[index] for index in kept}) >= 2:
            part = [compute[index] for index in kept], [losses[index] for index in kept]
            others.append(fit(*part, None if law.fitted_exponent and len(kept) >= ENOUGH else law.exponent))
    if not law.fitted_exponent:
        others += [_power_law(compute, losses), fit(compute, losses, STEEP_ALPHA)]
    spread = [each.loss(target) for each in (law, *others)]
    scatter = _scatter(law, compute, losses)
    return Prediction(law.loss(target), min(spread) / scatter, max(spread) * scatter, law)


def _scatter(law: ScalingLaw, compute: Sequence[float], losses: Sequence[float]) -> float:
    """The standard deviation of log L about the law, as a factor; 1 where there are no more runs than constants."""
    freedom = len(losses) - (3 if law.fitted_exponent else 2)
    if freedom < 1:
        return 1.0
    distances = [np.log(loss / law.loss(each)) for each, loss in zip(compute, losses, strict=True)]
    return float(np.exp(np.sqrt(sum(distance**2 for distance in distances) / freedom)))


def _power_law(compute: Sequence[float], losses: Sequence[float]) -> ScalingLaw:
    """The law with E = 0: a straight line of log L over log C (Kaplan et al. 2020)."""
    slope, height = np.polyfit(np.log(compute), np.log(losses), 1)
    return ScalingLaw(0.0, float(np.exp(height)), float(-slope), True)


def _minimise(theta: Floats, x: Floats, y: Floats, free_exponent: bool) -> tuple[float, Floats]:
    """Least Huber cost from a start (log E, log A, alpha); alpha stays where it is not free, and is never negative."""
    free = np.array([True, True, free_exponent])
    damping, cost = 1e-3, _cost(theta, x, y)
    for _ in range(ITERATIONS):
        difference, slopes = _difference(theta, x, y)
        weights = np.minimum(1.0, DELTA / np.maximum(np.abs(difference), 1e-300))
        jacobian = slopes[:, free]
        normal = jacobian.T @ (weights[:, None] * jacobian)
        gradient = jacobian.T @ (weights * difference)
        step = np.zeros(3)
        step[free] = np.linalg.lstsq(normal + damping * np.diag(np.diag(normal) + 1e-12), -gradient, rcond=None)[0]
        tried = theta + np.clip(step, -1.0, 1.0)
        tried[2] = max(tried[2], 1e-3)
        after = _cost(tried, x, y)
        if after < cost:
            settled = cost - after < 1e-14 * (1e-12 + cost) or float(np.abs(tried - theta).max()) < 1e-12
            theta, cost, damping = tried, after, damping / 3
            if settled:
                break
        else:
            damping *= 4
            if damping > 1e12:
                break
    return cost, theta


def _difference(theta: Floats, x: Floats, y: Floats) -> tuple[Floats, Floats]:
    """log of the law minus log L at each run, and its slopes by (log E, log A, alpha)."""
    e, a, alpha = theta
    falling = a - alpha * x
    law = np.logaddexp(e, falling)
    share = np.exp(falling - law)
    return law - y, np.stack((1 - share, share, -x * share), axis=1)


def _cost(theta: Floats, x: Floats, y: Floats) -> float:
    size = np.abs(_difference(theta, x, y)[0])
    return float(np.where(size <= DELTA, size**2 / 2, DELTA * (size - DELTA / 2)).sum())
