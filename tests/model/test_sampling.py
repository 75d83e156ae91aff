"""Sampling against transformers' processors, and what a seed promises."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import (
    LogitsProcessorList,
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from lumilab.model.sampling import TokenDrawer, candidates, penalised
from lumilab.recipe.schema import SamplingConfig

CPU = torch.device("cpu")


def reference_distribution(scores: torch.Tensor, seen: list[int], config: SamplingConfig) -> torch.Tensor:
    processors = LogitsProcessorList()
    if config.repetition_penalty != 1.0:
        processors.append(RepetitionPenaltyLogitsProcessor(config.repetition_penalty))
    processors.append(TemperatureLogitsWarper(config.temperature))
    if config.top_k:
        processors.append(TopKLogitsWarper(config.top_k))
    if config.top_p < 1:
        processors.append(TopPLogitsWarper(config.top_p))
    ids = torch.tensor([seen], dtype=torch.long)
    return processors(ids, scores[None].clone())[0].softmax(0)


def our_distribution(scores: torch.Tensor, seen: list[int], config: SamplingConfig) -> torch.Tensor:
    mask = torch.zeros(len(scores), dtype=torch.bool)
    mask[seen] = True
    ids, probabilities = candidates(penalised(scores, mask, config.repetition_penalty), config)
    return torch.zeros(len(scores)).scatter(0, ids, probabilities)


@settings(max_examples=150, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    size=st.integers(2, 300),
    temperature=st.floats(0.1, 3.0),
    top_k=st.integers(0, 400),
    top_p=st.floats(0.05, 1.0),
    penalty=st.sampled_from([1.0, 1.1, 1.7, 0.8]),
)
def test_distribution_is_that_of_transformers(seed, size, temperature, top_k, top_p, penalty):
    generator = torch.Generator().manual_seed(seed)
    scores = 4 * torch.randn(size, generator=generator)
    seen = torch.randint(size, (5,), generator=generator).tolist()
    config = SamplingConfig(temperature=temperature, top_k=top_k, top_p=top_p, repetition_penalty=penalty)
    torch.testing.assert_close(
        our_distribution(scores, seen, config), reference_distribution(scores, seen, config), atol=1e-5, rtol=1e-4
    )


@pytest.mark.parametrize("top_p", [0.5, 0.9, 1.0])
def test_draws_follow_the_distribution(top_p):
    scores = torch.tensor([2.0, 1.0, 0.5, 0.0, -1.0])
    config = SamplingConfig(temperature=0.7, top_k=0, top_p=top_p)
    expected = reference_distribution(scores, [], config)
    drawer = TokenDrawer(config, 5, CPU)
    count = 4000
    drawn = torch.bincount(torch.tensor([drawer.draw(scores) for _ in range(count)]), minlength=5) / count
    # Five standard deviations of a binomial share.
    assert ((drawn - expected).abs() <= 5 * (expected * (1 - expected) / count).sqrt() + 1e-9).all()


def test_temperature_zero_takes_the_most_likely():
    scores = torch.randn(50, generator=torch.Generator().manual_seed(1))
    drawer = TokenDrawer(SamplingConfig(temperature=0.0), 50, CPU)
    assert {drawer.draw(scores) for _ in range(3)} == {int(scores.argmax())}


def test_greedy_with_penalty_leaves_what_was_said():
    scores = torch.tensor([1.0, 0.9, 0.8])
    drawer = TokenDrawer(SamplingConfig(temperature=0.0, repetition_penalty=1.5), 3, CPU)
    drawer.observe([0])
    assert [drawer.draw(scores), drawer.draw(scores)] == [1, 2]


def test_same_seed_same_tokens_and_another_seed_others():
    generator = torch.Generator().manual_seed(3)
    logits = [torch.randn(100, generator=generator) for _ in range(40)]

    def draw(seed):
        drawer = TokenDrawer(SamplingConfig(temperature=1.5, top_k=0, top_p=1.0, seed=seed), 100, CPU)
        torch.rand(3)  # the global generator has no part in it
        return [drawer.draw(row) for row in logits]

    assert draw(7) == draw(7)
    assert draw(7) != draw(8)


def test_global_generator_is_left_alone():
    before = torch.random.get_rng_state()
    TokenDrawer(SamplingConfig(temperature=1.0), 10, CPU).draw(torch.randn(10, generator=torch.Generator()))
    assert torch.equal(before, torch.random.get_rng_state())


def test_impossible_tokens_are_never_drawn():
    scores = torch.full((20,), float("-inf"))
    scores[[3, 11]] = torch.tensor([0.5, 0.1])
    drawer = TokenDrawer(SamplingConfig(temperature=1.0, top_k=0, top_p=1.0), 20, CPU)
    assert {drawer.draw(scores) for _ in range(200)} == {3, 11}


def test_bfloat16_logits_are_widened():
    scores = torch.tensor([0.0, 1.0, 3.0], dtype=torch.bfloat16)
    assert TokenDrawer(SamplingConfig(temperature=0.0), 3, CPU).draw(scores) == 2
