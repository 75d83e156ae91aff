"""Names, shapes, counts and first weights."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from tiny_model import ALL_SHAPES, GPT2, OTHER_SHAPES, QWEN3, SHAPES, VOCABULARY

from lumilab.model import Transformer, count_parameters, family_of, hf_config, initialise, parameter_shapes
from lumilab.model.families import obstacles
from lumilab.recipe.model import ModelConfig


@pytest.mark.parametrize("name", ALL_SHAPES)
def test_computed_names_and_shapes_are_the_models(name: str) -> None:
    model = Transformer(ALL_SHAPES[name], VOCABULARY)
    stored = {key: tuple(tensor.shape) for key, tensor in model.state_dict().items()}
    assert list(stored.items()) == list(parameter_shapes(ALL_SHAPES[name], VOCABULARY).items())
    assert count_parameters(ALL_SHAPES[name], VOCABULARY) == sum(parameter.numel() for parameter in model.parameters())


def test_the_count_of_a_published_shape() -> None:
    """Qwen3-0.6B has 596,049,920 parameters with its tied embedding counted once (its model card says 0.6 B)."""
    config = ModelConfig(
        layers=28, width=1024, heads=16, kv_heads=8, head_dim=128, feed_forward=3072, context=40_960, rope_theta=1e6
    )
    assert count_parameters(config, 151_936) == 596_049_920


@pytest.mark.parametrize(
    ("layers", "width", "heads", "published"),
    [(12, 768, 12, 124_439_808), (24, 1024, 16, 354_823_168), (36, 1280, 20, 774_030_080)],
)
def test_the_counts_of_gpt2(layers: int, width: int, heads: int, published: int) -> None:
    """As transformers counts the released models; the paper's table 2 has them too small, as its authors say."""
    shape = {"layers": layers, "width": width, "heads": heads, "kv_heads": heads, "head_dim": 64}
    config = GPT2.model_copy(update=shape | {"feed_forward": 4 * width, "context": 1024})
    assert count_parameters(config, 50_257) == published


def test_the_family_of_a_shape_and_what_is_in_the_way_of_others() -> None:
    for name, config in SHAPES.items():
        assert family_of(config) == name.partition("-")[0]
    assert [family_of(config) for config in OTHER_SHAPES.values()] == ["gpt2", "gpt2", None, None]
    with pytest.raises(ValueError, match="none of the families"):
        hf_config(OTHER_SHAPES["of-no-family"], VOCABULARY, bos_id=1, eos_id=2, pad_id=0)
    assert list(obstacles(OTHER_SHAPES["of-no-family-rotary"], "qwen3")) == [
        "norm=layernorm (qwen3 has rmsnorm)",
        "feed_forward_bias=True (qwen3 has False)",
    ]
    assert list(obstacles(QWEN3, "gpt2"))[:2] == [
        "activation=swiglu (gpt2 has gelu or gelu_tanh)",
        "head_dim=16 (gpt2 has width / heads = 12)",
    ]


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


@pytest.mark.parametrize("change", [{}, {"norm": "layernorm", "attention_bias": True, "positions": "learned"}])
def test_first_weights_have_the_deviations_they_should(change: dict[str, Any]) -> None:
    config = ModelConfig(layers=8, width=256, heads=4, kv_heads=2, head_dim=64, feed_forward=768, **change)
    for name, parameter in initialise(Transformer(config, 1_000), 0).named_parameters():
        if parameter.ndim == 1:
            expected = torch.zeros_like(parameter) if name.endswith("bias") else torch.ones_like(parameter)
            assert torch.equal(parameter, expected)
        else:
            residual = name.endswith(("o_proj.weight", "down_proj.weight"))
            deviation = 0.02 / math.sqrt(16) if residual else 0.02
            assert parameter.std().item() == pytest.approx(deviation, rel=0.02)
            assert abs(parameter.mean().item()) < deviation / 50


def test_first_loss_is_that_of_a_uniform_guess() -> None:
    model = initialise(Transformer(QWEN3, VOCABULARY), 0)
    ids = torch.randint(0, VOCABULARY, (4, 100), generator=torch.Generator().manual_seed(0))
    loss = torch.nn.functional.cross_entropy(model(ids[:, :-1]).flatten(0, 1), ids[:, 1:].flatten())
    assert loss.item() == pytest.approx(math.log(VOCABULARY), abs=0.05)
