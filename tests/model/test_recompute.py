"""Activation checkpointing changes what is kept, never what comes out."""

from __future__ import annotations

import pytest
import torch
from tiny_model import ALL_SHAPES, VOCABULARY, made
from torch.autograd.graph import saved_tensors_hooks

from lumilab.model import KVCache, Transformer

IDS = torch.randint(0, VOCABULARY, (2, 150), generator=torch.Generator().manual_seed(0))
DOCUMENTS = (torch.arange(150) // 60).expand(2, 150)


def gradients(model: Transformer) -> tuple[torch.Tensor, dict[str, torch.Tensor], int]:
    """The loss, the gradients, and how many numbers were kept for the backward pass."""
    kept = 0

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        nonlocal kept
        kept += tensor.numel()
        return tensor

    with saved_tensors_hooks(keep, lambda tensor: tensor):
        loss = torch.nn.functional.cross_entropy(model(IDS, documents=DOCUMENTS).flatten(0, 1), IDS.flatten())
    loss.backward()
    return loss.detach(), {name: parameter.grad for name, parameter in model.named_parameters()}, kept  # type: ignore[misc]


@pytest.mark.parametrize("name", ["qwen3", "gpt2", "of-no-family-rotary"])
def test_gradients_are_the_same_bits_and_less_is_kept(name: str) -> None:
    loss, expected, everything = gradients(made(ALL_SHAPES[name]))
    again = made(ALL_SHAPES[name])
    again.recompute = True
    same_loss, same, kept = gradients(again)
    assert torch.equal(loss, same_loss)
    for key, gradient in expected.items():
        assert torch.equal(gradient, same[key]), key
    assert kept < everything / 2


@torch.no_grad()
def test_generation_does_not_care() -> None:
    model = made(ALL_SHAPES["qwen3"])
    plain = model(IDS, cache=KVCache(model.config, 2, 150))
    model.recompute = True
    assert torch.equal(plain, model(IDS, cache=KVCache(model.config, 2, 150)))
