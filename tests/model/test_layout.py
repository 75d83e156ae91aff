"""Names, shapes, counts and first weights."""

from __future__ import annotations

import math

import pytest
import torch
from tiny_model import QWEN3, SHAPES, VOCABULARY

from lumilab.model import Transformer, count_parameters, hf_config, initialise, parameter_shapes
from lumilab.recipe.model import ModelConfig


@pytest.mark.parametrize("name", SHAPES)
def test_computed_names_and_shapes_are_the_models(name: str) -> None:
    model = Transformer(SHAPES[name], VOCABULARY)
    stored = {key: tuple(tensor.shape) for key, tensor in model.state_dict().items()}
    assert list(stored.items()) == list(parameter_shapes(SHAPES[name], VOCABULARY).items())
    assert count_parameters(SHAPES[name], VOCABULARY) == sum(parameter.numel() for parameter in model.parameters())


def test_the_count_of_a_published_shape() -> None:
    """Qwen3-0.6B has 596,049,920 parameters with its tied embedding counted once (its model card says 0.6 B)."""
    config = ModelConfig(
        layers=28, width=1024, heads=16, kv_heads=8, head_dim=128, feed_forward=3072, context=40_960, rope_theta=1e6
    )
    assert count_parameters(config, 151_936) == 596_049_920


def test_the_config_names_both_generations_of_the_rotary_base() -> None:
    values = hf_config(QWEN3.model_copy(update={"rope_theta": 123.0}), VOCABULARY, bos_id=1, eos_id=2, pad_id=0)
    assert values["rope_theta"] == values["rope_parameters"]["rope_theta"] == 123.0
    assert (values["bos_token_id"], values["eos_token_id"], values["pad_token_id"]) == (1, 2, 0)


def test_first_weights_depend_on_the_seed_alone() -> None:
    torch.manual_seed(1)
    first = initialise(Transformer(QWEN3, VOCABULARY), 5).state_dict()
    torch.manual_seed(2)
    state = torch.get_rng_state()
    model = Transformer(QWEN3, VOCABULARY)
    again = initialise(model, 5).state_dict()
    other = initialise(Transformer(QWEN3, VOCABULARY), 6).state_dict()
    for name, tensor in first.items():
        assert torch.equal(tensor, again[name])
        assert tensor.ndim == 1 or not torch.equal(tensor, other[name])
    torch.set_rng_state(state)
    Transformer(QWEN3, VOCABULARY)
    built = torch.get_rng_state()
    torch.set_rng_state(state)
    initialise(Transformer(QWEN3, VOCABULARY), 5)
    assert torch.equal(torch.get_rng_state(), built), "initialising must not draw from the global generator"


def test_first_weights_have_the_deviations_they_should() -> None:
    config = ModelConfig(layers=8, width=256, heads=4, kv_heads=2, head_dim=64, feed_forward=768)
    for name, parameter in initialise(Transformer(config, 1_000), 0).named_parameters():
        if parameter.ndim == 1:
            assert torch.equal(parameter, torch.ones_like(parameter))
        else:
            residual = name.endswith(("o_proj.weight", "down_proj.weight"))
            expected = 0.02 / math.sqrt(16) if residual else 0.02
            assert parameter.std().item() == pytest.approx(expected, rel=0.02)
            assert abs(parameter.mean().item()) < expected / 50


def test_first_loss_is_that_of_a_uniform_guess() -> None:
    model = initialise(Transformer(QWEN3, VOCABULARY), 0)
    ids = torch.randint(0, VOCABULARY, (4, 100), generator=torch.Generator().manual_seed(0))
    loss = torch.nn.functional.cross_entropy(model(ids[:, :-1]).flatten(0, 1), ids[:, 1:].flatten())
    assert loss.item() == pytest.approx(math.log(VOCABULARY), abs=0.05)
