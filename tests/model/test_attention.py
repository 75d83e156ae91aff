"""Attention's ways of computing against PyTorch's own, and who may see whom."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_model import ALL_SHAPES, OTHER_SHAPES, SHAPES, VOCABULARY, made

from lumilab.model.blockwise import BLOCK, blockwise_causal_attention
from lumilab.model.transformer import document_mask, document_positions


@pytest.mark.parametrize("length", [1, 7, BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK + 40])
@pytest.mark.parametrize(("heads", "kv_heads"), [(4, 2), (3, 1), (2, 2)])
def test_blocks_give_pytorchs_attention_and_gradients(length: int, heads: int, kv_heads: int) -> None:
    draw = torch.Generator().manual_seed(length)
    query, key, value, weight = (
        torch.randn(2, length, count, 8, dtype=torch.float64, generator=draw).transpose(1, 2).requires_grad_()
        for count in (heads, kv_heads, kv_heads, heads)
    )
    ours = blockwise_causal_attention(query, key, value)
    theirs = F.scaled_dot_product_attention(query, key, value, is_causal=True, enable_gqa=True)
    torch.testing.assert_close(ours, theirs, atol=1e-13, rtol=1e-12)
    for mine, reference in zip(
        torch.autograd.grad(ours, (query, key, value), weight),
        torch.autograd.grad(theirs, (query, key, value), weight),
        strict=True,
    ):
        torch.testing.assert_close(mine, reference, atol=1e-12, rtol=1e-11)


@pytest.mark.parametrize("length", [20, BLOCK + 30])
def test_blocks_within_documents_give_pytorchs_masked_attention(length: int) -> None:
    draw = torch.Generator().manual_seed(length)
    query, key, value, weight = (
        torch.randn(2, length, count, 8, dtype=torch.float64, generator=draw).transpose(1, 2).requires_grad_()
        for count in (4, 2, 2, 4)
    )
    documents = torch.randint(0, 2, (2, length), generator=draw).cumsum(1) // 5
    ours = blockwise_causal_attention(query, key, value, documents)
    mask = document_mask(documents)
    theirs = F.scaled_dot_product_attention(query, key, value, attn_mask=mask, enable_gqa=True)
    torch.testing.assert_close(ours, theirs, atol=1e-13, rtol=1e-12)
    for mine, reference in zip(
        torch.autograd.grad(ours, (query, key, value), weight),
        torch.autograd.grad(theirs, (query, key, value), weight),
        strict=True,
    ):
        torch.testing.assert_close(mine, reference, atol=1e-12, rtol=1e-11)


def test_the_operator_keeps_pytorchs_rules_for_operators() -> None:
    query, key, value = (torch.randn(2, groups, 20, 8) for groups in (3, 1, 1))
    tensors = (query.requires_grad_(), key[:, 0].clone().requires_grad_(), value[:, 0].clone().requires_grad_())
    tests = ("test_schema", "test_faketensor", "test_aot_dispatch_static")
    operator = torch.ops.lumilab.blockwise_causal_attention.default
    torch.library.opcheck(operator, (*tensors, None), test_utils=tests)
    torch.library.opcheck(operator, (*tensors, torch.zeros(2, 20, dtype=torch.int64)), test_utils=tests)


def test_no_token_sees_a_later_one() -> None:
    model = made(SHAPES["qwen3"])
    ids = torch.randint(0, VOCABULARY, (1, 160), generator=torch.Generator().manual_seed(0))
    changed = ids.clone()
    changed[0, 100] = (ids[0, 100] + 1) % VOCABULARY
    with torch.no_grad():
        before, after = model(ids), model(changed)
    torch.testing.assert_close(before[:, :100], after[:, :100], atol=0, rtol=0)
    assert not torch.equal(before[:, 100:], after[:, 100:])


@pytest.mark.parametrize("name", ["qwen3", "llama-llama3", *OTHER_SHAPES])
def test_documents_in_one_row_are_as_if_alone(name: str) -> None:
    model = made(ALL_SHAPES[name])
    draw = torch.Generator().manual_seed(4)
    rows = [[5, 1, 30], [20, 16]]
    texts = [[torch.randint(0, VOCABULARY, (length,), generator=draw) for length in row] for row in rows]
    ids = torch.stack([torch.cat(row) for row in texts])
    documents = torch.stack(
        [torch.repeat_interleave(torch.arange(len(row)) + 7, torch.tensor(row)) for row in rows[:1]]
        + [torch.tensor([3] * 20 + [1] * 16)]
    )
    with torch.no_grad():
        packed = model(ids, documents=documents)
        for number, row in enumerate(texts):
            alone = torch.cat([model(text[None]) for text in row], dim=1)[0]
            torch.testing.assert_close(packed[number], alone, atol=1e-5, rtol=0)


@settings(max_examples=50)
@given(st.lists(st.integers(1, 6), min_size=1, max_size=6))
def test_mask_and_positions_follow_the_documents_lengths(lengths: list[int]) -> None:
    documents = torch.tensor([[number for number, length in enumerate(lengths) for _ in range(length)]])
    positions, mask = document_positions(documents)[0], document_mask(documents)[0, 0]
    assert positions.tolist() == [place for length in lengths for place in range(length)]
    where = [(number, place) for number, length in enumerate(lengths) for place in range(length)]
    for query, (mine, at) in enumerate(where):
        for key, (other, before) in enumerate(where):
            assert bool(mask[query, key]) == (mine == other and before <= at)
