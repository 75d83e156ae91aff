"""Generation with the cache gives what reading everything anew gives."""

from __future__ import annotations

import pytest
import torch
from tiny_model import ALL_SHAPES, OTHER_SHAPES, QWEN3, VOCABULARY, made

from lumilab.errors import InputError
from lumilab.model import KVCache


def tokens(rows: int, length: int, seed: int = 0) -> torch.Tensor:
    return torch.randint(0, VOCABULARY, (rows, length), generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("name", ["qwen3", "qwen3-multi-query", "llama-yarn", *OTHER_SHAPES])
@pytest.mark.parametrize("pieces", [[12, 1, 1, 1], [1] * 6, [5, 7, 1, 3]])
@torch.no_grad()
def test_pieces_through_the_cache_equal_the_whole(name: str, pieces: list[int]) -> None:
    model = made(ALL_SHAPES[name])
    ids = tokens(2, sum(pieces))
    cache = KVCache(ALL_SHAPES[name], batch=2, capacity=sum(pieces))
    parts = [model(part, cache=cache) for part in ids.split(pieces, dim=1)]
    torch.testing.assert_close(torch.cat(parts, dim=1), model(ids), atol=1e-5, rtol=0)
    assert cache.lengths == [sum(pieces)] * 2


@pytest.mark.parametrize("name", ["qwen3", "llama-biased", "gpt2", "of-no-family", "of-no-family-rotary"])
@torch.no_grad()
def test_rows_of_different_lengths_share_a_cache(name: str) -> None:
    model = made(ALL_SHAPES[name])
    prompts = [tokens(1, 3, seed=1), tokens(1, 9, seed=2)]
    padded = torch.cat([torch.nn.functional.pad(prompt, (0, 9 - prompt.shape[1])) for prompt in prompts])
    cache = KVCache(ALL_SHAPES[name], batch=2, capacity=16)
    model(padded, cache=cache)
    cache.truncate([3, 9])
    following = [tokens(2, 1, seed=seed) for seed in (3, 4, 5)]
    together = torch.cat([model(step, cache=cache) for step in following], dim=1)
    for row, prompt in enumerate(prompts):
        whole = torch.cat([prompt, *(step[row : row + 1] for step in following)], dim=1)
        torch.testing.assert_close(together[row], model(whole)[0, prompt.shape[1] :], atol=1e-5, rtol=0)
    assert cache.lengths == [6, 12]


@torch.no_grad()
def test_truncating_goes_back_in_the_text() -> None:
    model = made(QWEN3)
    first, other = tokens(1, 10), tokens(1, 4, seed=9)
    cache = KVCache(QWEN3, batch=1, capacity=32)
    model(first, cache=cache)
    cache.truncate(6)
    after = model(other, cache=cache)
    expected = model(torch.cat((first[:, :6], other), dim=1))[:, 6:]
    torch.testing.assert_close(after, expected, atol=1e-5, rtol=0)


def test_truncating_refuses_what_it_does_not_hold() -> None:
    cache = KVCache(QWEN3, batch=2, capacity=8)
    for lengths in (1, [0], [0, 1], [-1, 0]):
        with pytest.raises(ValueError, match="cannot truncate"):
            cache.truncate(lengths)


@torch.no_grad()
def test_a_full_cache_is_an_error_with_advice() -> None:
    model, cache = made(QWEN3), KVCache(QWEN3, batch=1, capacity=8)
    model(tokens(1, 8), cache=cache)
    with pytest.raises(InputError, match="longer than the 8 tokens") as error:
        model(tokens(1, 1), cache=cache)
    assert error.value.exit_code == 3 and error.value.mend


def test_a_sequence_beyond_the_context_is_an_error_with_advice() -> None:
    with pytest.raises(InputError, match="301 tokens is longer than the model's context of 300") as error:
        made(QWEN3)(tokens(1, 301))
    assert "model.context" in str(error.value)


def test_a_cache_with_documents_is_refused() -> None:
    with pytest.raises(ValueError, match="not both"):
        made(QWEN3)(tokens(1, 3), documents=torch.zeros(1, 3), cache=KVCache(QWEN3, 1, 8))


@torch.no_grad()
def test_a_bfloat16_cache_serves_a_float32_model() -> None:
    model = made(QWEN3)
    ids = tokens(1, 20)
    cache = KVCache(QWEN3, batch=1, capacity=20, dtype=torch.bfloat16)
    parts = torch.cat([model(part, cache=cache) for part in ids.split(5, dim=1)], dim=1)
    assert parts.dtype is torch.float32
    torch.testing.assert_close(parts, model(ids), atol=0.05, rtol=0)
