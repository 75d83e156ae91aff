"""Our transformer against Hugging Face's, from the same weights."""

from __future__ import annotations

import pytest
import torch
from tiny_model import SHAPES, VOCABULARY, made
from transformers import CONFIG_MAPPING, AutoModelForCausalLM, PreTrainedModel

from lumilab.model import Transformer, hf_config
from lumilab.recipe.model import ModelConfig


def theirs(model: Transformer, config: ModelConfig) -> PreTrainedModel:
    """Their model with our weights, strictly: every parameter of either is one of the other."""
    values = hf_config(config, VOCABULARY, bos_id=1, eos_id=2, pad_id=0)
    reference = AutoModelForCausalLM.from_config(
        CONFIG_MAPPING[values["model_type"]](**values), attn_implementation="eager"
    )
    result = reference.load_state_dict(model.state_dict(), strict=False)
    assert not result.unexpected_keys
    assert result.missing_keys == (["lm_head.weight"] if config.tie_embeddings else [])
    reference.tie_weights()
    return reference.eval()


@pytest.mark.parametrize("name", SHAPES)
def test_logits_and_gradients_are_those_of_transformers(name: str) -> None:
    model = made(SHAPES[name])
    reference = theirs(model, SHAPES[name])
    assert type(reference).__name__ == ("LlamaForCausalLM" if "llama" in name else "Qwen3ForCausalLM")
    # Not 0: theirs gives the padding token's embedding no gradient.
    ids = torch.randint(1, VOCABULARY, (2, 200), generator=torch.Generator().manual_seed(0))
    logits, expected = model(ids), reference(ids).logits
    assert logits.abs().max() > 0.3
    torch.testing.assert_close(logits, expected, atol=1e-5, rtol=0)
    for result in (logits, expected):
        torch.nn.functional.cross_entropy(result[:, :-1].flatten(0, 1), ids[:, 1:].flatten()).backward()
    gradients = {key: parameter.grad for key, parameter in reference.named_parameters()}
    for key, parameter in model.named_parameters():
        torch.testing.assert_close(parameter.grad, gradients[key], atol=1e-6, rtol=1e-4)


@pytest.mark.parametrize("name", ["qwen3", "llama"])
def test_given_positions_are_used_as_theirs_are(name: str) -> None:
    model = made(SHAPES[name])
    ids = torch.randint(0, VOCABULARY, (2, 40), generator=torch.Generator().manual_seed(1))
    positions = torch.stack((torch.arange(40) + 200, torch.arange(40) * 7))
    with torch.no_grad():
        expected = theirs(model, SHAPES[name])(ids, position_ids=positions).logits
        torch.testing.assert_close(model(ids, positions), expected, atol=1e-5, rtol=0)


def test_bfloat16_activations_stay_near_float32() -> None:
    model = made(SHAPES["qwen3"])
    ids = torch.randint(0, VOCABULARY, (2, 150), generator=torch.Generator().manual_seed(2))
    exact = model(ids)
    model.activation_dtype = torch.bfloat16
    rough = model(ids)
    assert rough.dtype is torch.bfloat16
    assert (rough.float() - exact).abs().max() < 0.03 * exact.abs().max()
    rough.float().sum().backward()
    assert all(parameter.grad is not None and parameter.grad.dtype is torch.float32 for parameter in model.parameters())
