"""Sampling against transformers' processors, and what a seed promises."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import (
    LogitsProcessorList,
    MinPLogitsWarper,
    RepetitionPenaltyLogitsProcessor,
    SequenceBiasLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from lumilab.errors import InputError
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
    if config.min_p:
        processors.append(MinPLogitsWarper(config.min_p))
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
    min_p=st.sampled_from([0.0, 0.05, 0.5]),
    penalty=st.sampled_from([1.0, 1.1, 1.7, 0.8]),
)
def test_distribution_is_that_of_transformers(seed, size, temperature, top_k, top_p, min_p, penalty):
    generator = torch.Generator().manual_seed(seed)
    scores = 4 * torch.randn(size, generator=generator)
    seen = torch.randint(size, (5,), generator=generator).tolist()
    config = SamplingConfig(temperature=temperature, top_k=top_k, top_p=top_p, min_p=min_p, repetition_penalty=penalty)
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


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    presence=st.floats(-2, 2),
    frequency=st.floats(-2, 2),
    bias=st.dictionaries(st.integers(0, 19), st.floats(-100, 100), max_size=4),
)
def test_penalties_and_bias_are_those_of_their_definition(seed, presence, frequency, bias):
    """OpenAI's: mu[j] - c[j] * frequency - (c[j] > 0) * presence, with c[j] the count among the generated tokens."""
    generator = torch.Generator().manual_seed(seed)
    config = SamplingConfig(
        temperature=0.0, presence_penalty=presence, frequency_penalty=frequency, logit_bias=bias, repetition_penalty=1.2
    )
    drawer = TokenDrawer(config, 20, CPU)
    prompt = [3, 3, 7]
    drawer.observe(prompt)
    drawn: list[int] = []
    for _ in range(12):
        logits = 3 * torch.randn(20, generator=generator)
        ids = torch.tensor([prompt + drawn])
        expected = RepetitionPenaltyLogitsProcessor(1.2)(ids, logits[None].clone())[0]
        for token in range(20):
            expected[token] -= drawn.count(token) * frequency + (token in drawn) * presence
        if bias:
            expected = SequenceBiasLogitsProcessor({(token,): value for token, value in bias.items()})(
                ids, expected[None]
            )[0]
        drawn.append(drawer.draw(logits))
        assert expected[drawn[-1]] >= expected.max() - 1e-4


def test_a_bias_for_a_token_that_is_not_there_is_refused():
    with pytest.raises(InputError, match="token 20, but ids go from 0 to 19"):
        TokenDrawer(SamplingConfig(logit_bias={20: 1.0}), 20, CPU)


@given(
    scores=st.lists(
        st.floats(-1e4, 1e4, width=32) | st.sampled_from([0.0, float("inf"), float("-inf"), float("nan")]),
        min_size=2,
        max_size=12,
    ),
    temperature=st.sampled_from([1e-320, 1e-45, 1e-38, 1e-5, 1e-4, 1.0, 1e30]) | st.floats(1e-300, 1e3),
    penalty=st.sampled_from([1.0, 1.1, 1e38, 1e300]),
    top_p=st.sampled_from([1e-9, 0.5, 1.0]),
    min_p=st.sampled_from([0.0, 0.5, 1.0]),
)
def test_there_is_always_a_token(
    scores: list[float], temperature: float, penalty: float, top_p: float, min_p: float
) -> None:
    config = SamplingConfig.model_construct(
        **SamplingConfig().model_dump()
        | {"temperature": temperature, "repetition_penalty": penalty, "top_p": top_p, "min_p": min_p}
    )
    drawer = TokenDrawer(config, len(scores), CPU)
    drawer.observe([0])
    for _ in range(3):
        assert 0 <= drawer.draw(torch.tensor(scores)) < len(scores)


def test_next_to_no_temperature_is_greedy() -> None:
    scores = torch.randn(50, generator=torch.Generator().manual_seed(1)) * 20
    for temperature in (1e-5, 1e-30, 1e-45, 1e-320):
        drawer = TokenDrawer(SamplingConfig(temperature=temperature, top_k=0, top_p=1.0), 50, CPU)
        assert {drawer.draw(scores) for _ in range(5)} == {int(scores.argmax())}
