"""Which steps are skipped: judged as by a plain computation over the last 128, and the same after a restart."""

from __future__ import annotations

import math
import statistics
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from lumilab.training.guard import ENOUGH, RECORD, RIPPLE, StepGuard

CPU = torch.device("cpu")


def judged(guard: StepGuard, values: list[tuple[float, float]]) -> list[bool]:
    return [bool(guard.refuses(torch.tensor(loss), torch.tensor(norm))) for loss, norm in values]


def by_definition(values: list[tuple[float, float]], sigmas: float) -> list[bool]:
    """The rule in the words of its documentation, in float64."""
    kept: list[tuple[float, float]] = []
    answers = []
    for value in values:
        finite = all(map(math.isfinite, value))
        spike = False
        if sigmas and len(kept) >= ENOUGH:
            for number, column in zip(value, zip(*kept[-RECORD:], strict=True), strict=True):
                mean = statistics.fmean(column)
                spike |= number > mean + sigmas * max(statistics.pstdev(column), RIPPLE * mean)
        answers.append(spike or not finite)
        if finite:
            kept.append(value)
    return answers


@settings(max_examples=25)
@given(
    st.lists(
        st.tuples(
            st.one_of(st.integers(10, 12).map(float), st.sampled_from([30.0, 90.0, math.nan, math.inf])),
            st.one_of(st.integers(1, 2).map(float), st.sampled_from([9.0, -math.inf])),
        ),
        max_size=80,
    ),
    st.sampled_from([0.0, 3.5]),
)
def test_the_rule_is_that_of_its_definition(more: list[tuple[float, float]], sigmas: float) -> None:
    values = [(10.0 + number % 3, 1.0 + number % 2) for number in range(60)] + more
    assert judged(StepGuard(sigmas, CPU), values) == by_definition(values, sigmas)


def test_the_record_is_of_the_last_steps_alone() -> None:
    values = [(100.0 + number % 2, 1.0) for number in range(RECORD)] + [
        (10.0 + number % 2, 1.0) for number in range(RECORD)
    ]
    guard = StepGuard(6, CPU)
    assert not any(judged(guard, values))
    assert judged(guard, [(20.0, 1.0)]) == [True]


def test_a_level_that_rises_for_good_is_soon_the_ordinary_one() -> None:
    guard = StepGuard(6, CPU)
    judged(guard, [(2.0 + 0.01 * (number % 3), 1.0) for number in range(100)])
    after = judged(guard, [(4.0 + 0.01 * (number % 3), 1.0) for number in range(20)])
    assert after[0] and not any(after[5:])


def test_without_sigmas_only_what_is_not_finite_is_refused() -> None:
    values = [(1.0, 1.0)] * 100 + [(1e9, 1.0), (math.nan, 1.0), (1.0, math.inf)]
    assert judged(StepGuard(0, CPU), values) == [False] * 101 + [True, True]


def test_a_restored_guard_judges_as_the_first(count: int = 150) -> None:
    draw = torch.Generator().manual_seed(0)
    values = [(float(a), float(b)) for a, b in torch.randn((count, 2), generator=draw).abs().tolist()]
    whole = StepGuard(1.5, CPU)
    expected = judged(whole, values)
    assert 0 < sum(expected) < 80
    answers: list[bool] = []
    state: dict[str, Tensor] = StepGuard(1.5, CPU).state_dict()
    for begin, end in pairwise((0, 1, 70, count)):
        guard = StepGuard(1.5, CPU)
        guard.load_state_dict({name: tensor.clone() for name, tensor in state.items()})
        answers += judged(guard, values[begin:end])
        state = guard.state_dict()
    assert answers == expected
    assert all(torch.equal(state[name], tensor) for name, tensor in whole.state_dict().items())


@pytest.mark.parametrize("loss", [math.nan, math.inf])
def test_what_is_not_finite_leaves_no_trace(loss: float) -> None:
    guard = StepGuard(6, CPU)
    before = {name: tensor.clone() for name, tensor in guard.state_dict().items()}
    assert judged(guard, [(loss, 1.0)]) == [True]
    assert all(torch.equal(tensor, before[name]) for name, tensor in guard.state_dict().items())
