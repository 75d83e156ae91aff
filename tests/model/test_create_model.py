"""The model as a plain module: made from what describes it, with loss and generation."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from tiny_model import GPT2, QWEN3, SHAPES, VOCABULARY
from transformers import CONFIG_MAPPING, AutoModelForCausalLM

from lumilab.errors import ConfigError, InputError
from lumilab.model import LanguageModel, Transformer, create_model, hf_config
from lumilab.recipe.model import ModelConfig


def test_the_loss_is_that_of_transformers() -> None:
    model = create_model(QWEN3, VOCABULARY)
    values = hf_config(QWEN3, VOCABULARY, bos_id=1, eos_id=2, pad_id=0)
    reference: Any = AutoModelForCausalLM.from_config(CONFIG_MAPPING["qwen3"](**values))
    reference.load_state_dict(model.transformer.state_dict(), strict=False)
    reference.tie_weights()
    ids = torch.randint(0, VOCABULARY, (2, 30), generator=torch.Generator().manual_seed(0))
    labels = ids.clone()
    labels[0, :12] = -100
    ours, theirs = model(ids, labels=labels), reference.eval()(ids, labels=labels)
    torch.testing.assert_close(ours["loss"], theirs.loss, atol=1e-6, rtol=0)
    torch.testing.assert_close(ours.logits, theirs.logits, atol=1e-5, rtol=0)
    assert model(ids).loss is None


@pytest.mark.parametrize(
    "described",
    [
        {"hidden_size": 64, "num_layers": 3, "num_heads": 4, "vocab_size": 300, "intermediate_size": 160},
        {"n_layer": 3, "d_model": 64, "n_head": 4, "head_dim": 16, "ffn_ratio": 2.5, "vocab_size": 300},
        {
            "layers": 3,
            "width": 64,
            "heads": 4,
            "kv_heads": 4,
            "head_dim": 16,
            "feed_forward": 160,
            "vocabulary_size": 300,
        },
        {"model": {"n_layer": 3, "n_embd": 64, "n_head": 4, "n_inner": 160, "vocab_size": 300}},
    ],
)
def test_the_names_of_the_predecessors_are_understood(described: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(described))
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(described))
    for name in ("config.json", "config.yaml"):
        model = create_model(tmp_path / name)
        config = model.config
        assert (config.layers, config.width, config.heads, config.kv_heads) == (3, 64, 4, 4)
        assert (config.head_dim, config.feed_forward, model.transformer.vocabulary_size) == (16, 160, 300)


@pytest.mark.parametrize("config", [*SHAPES.values(), GPT2])
def test_a_config_of_hugging_face_gives_its_shape(config: ModelConfig, tmp_path: Path) -> None:
    values = hf_config(config, VOCABULARY, bos_id=1, eos_id=2, pad_id=0)
    (tmp_path / "config.json").write_text(json.dumps(values))
    model = create_model(tmp_path / "config.json")
    assert model.config == config and model.transformer.vocabulary_size == VOCABULARY


def test_presets_and_recipes() -> None:
    assert create_model("tiny").config == ModelConfig(
        layers=6, width=256, heads=4, kv_heads=2, head_dim=64, feed_forward=768, context=512
    )


def test_equal_seeds_give_equal_models() -> None:
    first, again, other = (create_model(QWEN3, VOCABULARY, seed=seed) for seed in (1, 1, 2))
    same = [torch.equal(a, b) for a, b in zip(first.parameters(), again.parameters(), strict=True)]
    assert all(same)
    assert not torch.equal(next(first.parameters()), next(other.parameters()))
    assert isinstance(first, LanguageModel) and isinstance(first.transformer, Transformer)


def test_what_describes_no_model_says_why(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        create_model(tmp_path / "nothing.json")
    for text, message in (
        ("[1]", "not a mapping"),
        ("{}", "neither its width"),
        ('{"width": 64, "layers": 0}', "layers"),
    ):
        (tmp_path / "a.json").write_text(text)
        with pytest.raises(InputError, match=message):
            create_model(tmp_path / "a.json")
    with pytest.raises(ConfigError, match="how large the vocabulary is"):
        create_model(QWEN3)
