"""The preference losses, against figures worked out by hand and finite differences."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny_pairs import changed
from torch import Tensor

from lumilab.posttraining.preference_losses import OBJECTIVES, Judged, Scores, dpo, ipo, kto, orpo


def scores(policy: list[list[float]], reference: list[list[float]], **more: Tensor) -> Scores:
    rows = len(policy)
    values = {
        "tokens": torch.tensor([[4, 2]] * rows),
        "good": torch.ones(rows, dtype=torch.bool),
        "there": torch.ones(rows, dtype=torch.bool),
    } | more
    return Scores(torch.tensor(policy), torch.tensor(reference), **values)


ONE = scores([[-3.0, -5.0]], [[-4.0, -4.5]])  # log-ratios 1 and -0.5


def sigmoid(value: float) -> float:
    return 1 / (1 + math.exp(-value))


def test_dpo_by_hand() -> None:
    found = dpo(ONE, changed(beta=0.2))
    assert float(found.losses) == pytest.approx(-math.log(sigmoid(0.2 * 1.5)))
    assert found.rewards[0].tolist() == pytest.approx([0.2, -0.1])
    assert float(found.margins) == pytest.approx(0.3)


def test_smoothed_dpo_by_hand() -> None:
    found = dpo(ONE, changed(beta=0.2, label_smoothing=0.1))
    assert float(found.losses) == pytest.approx(-0.9 * math.log(sigmoid(0.3)) - 0.1 * math.log(sigmoid(-0.3)))


def test_ipo_by_hand() -> None:
    found = ipo(ONE, changed(objective="ipo", beta=0.5))
    assert float(found.losses) == pytest.approx((1 / 4 + 0.5 / 2 - 1) ** 2)  # per token: 4 and 2 of them
    assert found.rewards[0].tolist() == pytest.approx([0.5, -0.25])


def test_orpo_by_hand() -> None:
    found = orpo(ONE, changed(objective="orpo", beta=0.5))
    better, worse = math.exp(-3 / 4), math.exp(-5 / 2)  # geometric means of the tokens' probabilities
    ratio = better / (1 - better) / (worse / (1 - worse))
    assert float(found.losses) == pytest.approx(3 / 4 - 0.5 * math.log(sigmoid(math.log(ratio))))


def test_kto_by_hand() -> None:
    ratios = [[1.0, 0.6], [-0.5, 0.2], [7.0, 9.0]]  # the last row only fills up
    given_ = scores(
        ratios, [[0.0, 0.0]] * 3, good=torch.tensor([True, False, False]), there=torch.tensor([True, True, False])
    )
    found = kto(given_, changed(objective="kto", beta=0.5, good_weight=2.0, bad_weight=3.0))
    z = (0.6 + 0.2) / 2
    wanted = [2 * (1 - sigmoid(0.5 * (1.0 - z))), 3 * (1 - sigmoid(0.5 * (z + 0.5)))]
    assert found.losses[:2].tolist() == pytest.approx(wanted)
    assert found.margins[:2].tolist() == pytest.approx([0.5 * (1.0 - z), 0.5 * (-0.5 - z)])


def test_ktos_estimate_is_never_negative_and_never_learned() -> None:
    policy = torch.tensor([[1.0, -0.6]], requires_grad=True)
    there = torch.ones(1, dtype=torch.bool)
    given_ = Scores(policy, torch.zeros(1, 2), torch.tensor([[4, 2]]), there, there)
    found = kto(given_, changed(objective="kto", beta=0.5))
    assert float(found.margins.detach()) == pytest.approx(0.5)
    torch.autograd.backward(found.losses.sum())
    assert policy.grad is not None and policy.grad[0, 1] == 0


def test_a_certain_answer_has_finite_odds() -> None:
    policy = torch.tensor([[0.0, -1e-30], [-1e-9, -300.0]], requires_grad=True)
    flags = torch.ones(2, dtype=torch.bool)
    given_ = Scores(policy, torch.zeros(2, 2), torch.tensor([[4, 2]] * 2), flags, flags)
    found = orpo(given_, changed(objective="orpo"))
    torch.autograd.backward(found.losses.sum())
    assert policy.grad is not None and bool(found.losses.isfinite().all() and policy.grad.isfinite().all())


@given(
    st.sampled_from(["dpo", "ipo", "orpo", "kto"]),
    st.lists(st.floats(-20, -0.1), min_size=4, max_size=4),
    st.floats(0.05, 1),
)
def test_a_small_step_against_the_gradient_lowers_the_loss(name: str, values: list[float], beta: float) -> None:
    policy = torch.tensor([values[:2]], dtype=torch.float64, requires_grad=True)
    reference = torch.tensor([values[2:]], dtype=torch.float64)
    flag = torch.ones(1, dtype=torch.bool)

    def judged(policy: Tensor) -> Judged:
        given_ = Scores(policy, reference, torch.tensor([[4, 2]]), flag, flag)
        return OBJECTIVES[name](given_, changed(objective=name, beta=beta))

    loss = judged(policy).losses.sum()
    (gradient,) = torch.autograd.grad(loss, policy)
    better = judged((policy - 1e-4 * gradient / (gradient.norm() + 1e-12)).detach()).losses.sum()
    assert float(better) <= float(loss.detach()) + 1e-9
