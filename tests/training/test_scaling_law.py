"""A law's constants come back from its own points, and a prediction's error bar holds what is not known."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lumilab.errors import InputError
from lumilab.training.scaling_law import PATH_ALPHA, ScalingLaw, fit, predict

LAWS = st.builds(
    lambda irreducible, falling, exponent: ScalingLaw(irreducible, falling * (1e15**exponent), exponent, True),
    st.floats(1.0, 3.0), st.floats(0.8, 4.0), st.floats(0.1, 0.5),
)  # fmt: skip


@settings(max_examples=12)
@given(LAWS)
def test_three_constants_come_back_from_six_points(law: ScalingLaw) -> None:
    compute = [1e13 * 10**power for power in range(6)]
    found = fit(compute, [law.loss(each) for each in compute])
    assert found.fitted_exponent
    assert found.exponent == pytest.approx(law.exponent, rel=1e-3)
    assert found.irreducible == pytest.approx(law.irreducible, rel=2e-3)
    assert found.loss(1e20) == pytest.approx(law.loss(1e20), rel=1e-3)


@settings(max_examples=12)
@given(st.floats(1.0, 3.0), st.floats(0.8, 4.0))
def test_two_constants_come_back_from_three_points_where_alpha_is_hoffmanns(e: float, falling: float) -> None:
    law = ScalingLaw(e, falling * 1e15**PATH_ALPHA, PATH_ALPHA, False)
    compute = [1e14, 1e15, 1e16]
    found = fit(compute, [law.loss(each) for each in compute])
    assert not found.fitted_exponent
    assert found.irreducible == pytest.approx(law.irreducible, rel=1e-3)
    assert found.scale == pytest.approx(law.scale, rel=1e-3)


def test_hubers_loss_bears_one_run_that_went_wrong() -> None:
    law = ScalingLaw(1.7, 2.0 * 1e15**0.2, 0.2, True)
    compute = [1e13 * 10 ** (power / 2) for power in range(9)]
    losses = [law.loss(each) for each in compute]
    losses[4] *= 1.1
    assert fit(compute, losses).loss(1e19) == pytest.approx(law.loss(1e19), rel=2e-3)


def test_the_error_bar_of_few_points_holds_a_truth_of_another_exponent() -> None:
    for alpha in (0.1, 0.15, 0.25):
        law = ScalingLaw(2.0, 3.0 * 1e15**alpha, alpha, True)
        compute = [1e14, 3e14, 1e15, 3e15]
        found = predict(compute, [law.loss(each) for each in compute], 1e17)
        assert found.lowest <= law.loss(1e17) <= found.highest
        assert found.lowest <= found.loss <= found.highest


def test_the_error_bar_holds_what_a_real_training_came_to() -> None:
    """A ladder on wikipedia-en-2015 (6 x 96, windows of 64), whose third rung went worse than the others."""
    compute, losses = [3.846e9, 2.5458e10, 1.03892e11, 9.41411e11], [7.3057, 6.5549, 6.3330, 5.5209]
    found = predict(compute, losses, 2.298662e12)
    assert found.lowest < 5.2164 < found.highest


def test_the_error_bar_is_wider_by_what_the_runs_scatter() -> None:
    law = ScalingLaw(2.0, 3.0 * 1e15**PATH_ALPHA, PATH_ALPHA, False)
    compute = [1e14, 3e14, 1e15, 3e15]
    exact = [law.loss(each) for each in compute]
    scattered = [loss * factor for loss, factor in zip(exact, (1.02, 0.98, 1.02, 0.98), strict=True)]
    still, moved = predict(compute, exact, 1e16), predict(compute, scattered, 1e16)
    # Four distances of about 0.02 with two constants: sqrt(4 · 0.02² / 2) = 0.028 to either side.
    assert moved.highest / moved.loss > 1.025 and moved.loss / moved.lowest > 1.025
    assert moved.highest - moved.lowest > still.highest - still.lowest


def test_one_run_is_no_law() -> None:
    with pytest.raises(InputError, match="at least two sizes"):
        fit([1e15, 1e15], [3.0, 3.1])
