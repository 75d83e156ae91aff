"""Learning rates over a run, by their definitions."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import optimization

from lumilab.recipe.training import ScheduleConfig
from lumilab.training.schedules import learning_rate_share

NAMES = ("cosine", "linear", "wsd", "constant")
halves = st.floats(0, 0.5)
schedules = st.builds(ScheduleConfig, name=st.sampled_from(NAMES), warmup=halves, minimum=st.floats(0, 1), decay=halves)


@given(schedules, st.integers(1, 300))
def test_every_share_is_between_zero_and_one_and_used_up_in_order(config: ScheduleConfig, steps: int) -> None:
    values = [learning_rate_share(step, steps, config) for step in range(steps)]
    warmup = round(config.warmup * steps)
    assert all(0 < value <= 1 for value in values[:warmup])
    assert all(config.minimum - 1e-9 <= value <= 1 for value in values[warmup:])
    assert values[:warmup] == sorted(values[:warmup])
    assert values[warmup:] == sorted(values[warmup:], reverse=True)


@pytest.mark.parametrize("name", NAMES)
def test_the_warm_up_is_a_straight_line_to_the_peak(name: str) -> None:
    config = ScheduleConfig(name=name, warmup=0.1, minimum=0.2)
    assert [learning_rate_share(step, 100, config) for step in range(10)] == pytest.approx(
        [(step + 1) / 10 for step in range(10)]
    )
    assert learning_rate_share(10, 100, config) == pytest.approx(1.0)


@pytest.mark.parametrize("name", ["cosine", "linear", "wsd"])
def test_the_minimum_is_reached_right_after_the_last_step(name: str) -> None:
    for minimum in (0.0, 0.3):
        config = ScheduleConfig(name=name, warmup=0.1, minimum=minimum, decay=0.25)
        assert learning_rate_share(200, 200, config) == pytest.approx(minimum)
        assert minimum < learning_rate_share(199, 200, config) < minimum + 0.03


def test_shapes_at_points_worked_out_by_hand() -> None:
    half = {"warmup": 0.0, "minimum": 0.1}
    assert learning_rate_share(50, 100, ScheduleConfig(name="cosine", **half)) == pytest.approx(0.55)
    assert learning_rate_share(25, 100, ScheduleConfig(name="cosine", **half)) == pytest.approx(
        0.1 + 0.9 * (1 + math.sqrt(0.5)) / 2
    )
    assert learning_rate_share(25, 100, ScheduleConfig(name="linear", **half)) == pytest.approx(0.1 + 0.9 * 0.75)
    stable = ScheduleConfig(name="wsd", warmup=0.0, minimum=0.0, decay=0.2)
    assert learning_rate_share(80, 100, stable) == 1.0
    assert [learning_rate_share(step, 100, stable) for step in (90, 95, 99)] == pytest.approx([0.5, 0.25, 0.05])
    assert {learning_rate_share(step, 50, ScheduleConfig(name="constant", **half)) for step in range(50)} == {1.0}


@pytest.mark.parametrize("name", ["cosine", "linear", "wsd"])
def test_after_the_warm_up_shares_are_those_of_transformers_schedules(name: str) -> None:
    """Theirs warm up from 0 at the first step, ours from 1 / warmup: a step earlier, the same line."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    theirs = {
        "cosine": lambda: optimization.get_cosine_schedule_with_warmup(optimizer, 20, 200),
        "linear": lambda: optimization.get_linear_schedule_with_warmup(optimizer, 20, 200),
        "wsd": lambda: optimization.get_wsd_schedule(optimizer, 20, 50, num_stable_steps=130, decay_type="linear"),
    }[name]().lr_lambdas[0]
    config = ScheduleConfig(name=name, warmup=0.1, minimum=0.0, decay=0.25)
    ours = [learning_rate_share(step, 200, config) for step in range(200)]
    assert ours[20:] == pytest.approx([theirs(step) for step in range(20, 200)], abs=1e-12)
    assert ours[:20] == pytest.approx([theirs(step + 1) for step in range(20)], abs=1e-12)
