"""Published checkpoints: opened by transformers and by us, and refused when they are not what they say."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from tiny_model import QWEN3, VOCABULARY, made
from transformers import AutoModelForCausalLM

from lumilab.artifact import Artifact, ArtifactBuilder
from lumilab.errors import DamageError, InputError, MismatchError
from lumilab.model import Transformer
from lumilab.recipe.model import ModelConfig
from lumilab.recipe.section import identity
from lumilab.tokenizer.load import Tokenizer
from lumilab.training.checkpoint import load_model, publish_checkpoint
from lumilab.training.weights import save_tensors


def publish(target: Path, model: Transformer, data: dict[str, Artifact], **more: object) -> Artifact:
    tokenizer = Tokenizer.load(data["tokenizer"].path)
    config = {
        "stage": "pretrain",
        "model": identity(model.config),
        "vocabulary_size": VOCABULARY,
        "tokenizer_identity": tokenizer.identity,
    }
    return publish_checkpoint(target, model, config=config, inputs=data, tokenizer=tokenizer, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize("change", [{}, {"tie_embeddings": False}, {"qk_norm": False}], ids=["tied", "untied", "llama"])
def test_transformers_opens_the_folder_and_agrees(tmp_path: Path, data: dict[str, Artifact], change: dict) -> None:
    model = made(ModelConfig.model_validate(QWEN3.model_dump() | change))
    published = publish(tmp_path / "final", model, data)
    theirs = AutoModelForCausalLM.from_pretrained(published.path)
    assert theirs.config.eos_token_id == 2 and theirs.dtype is torch.float32
    ids = torch.randint(0, VOCABULARY, (2, 60), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        torch.testing.assert_close(theirs(ids).logits, model(ids), atol=1e-5, rtol=0)


@torch.no_grad()
def test_what_is_loaded_is_what_was_published(tmp_path: Path, data: dict[str, Artifact]) -> None:
    model = made(QWEN3)
    published = publish(tmp_path / "final", model, data, files={"extra.txt": b"more"}, statistics={"steps": 3})
    loaded = load_model(tmp_path / "final")
    assert loaded.config == QWEN3 and loaded.artifact.digest == published.digest
    assert loaded.tokenizer_identity == Tokenizer.load(tmp_path / "final").identity
    assert published.file("extra.txt").read_bytes() == b"more" and published.manifest.statistics["steps"] == 3
    ids = torch.randint(0, VOCABULARY, (1, 20), generator=torch.Generator().manual_seed(0))
    assert torch.equal(loaded.model(ids), model(ids))
    half = load_model(published, dtype=torch.bfloat16).model
    assert half(ids).dtype is torch.bfloat16
    assert (half(ids).float() - model(ids)).abs().max() < 0.05


def test_another_end_of_text_token_can_be_named(tmp_path: Path, data: dict[str, Artifact]) -> None:
    published = publish(tmp_path / "final", made(QWEN3), data, eos_id=5)
    assert json.loads(published.file("config.json").read_text())["eos_token_id"] == 5


def test_publishing_again_replaces(tmp_path: Path, data: dict[str, Artifact]) -> None:
    first = publish(tmp_path / "final", made(QWEN3, seed=1), data)
    second = publish(tmp_path / "final", made(QWEN3, seed=2), data)
    assert first.digest != second.digest == Artifact.open(tmp_path / "final").digest
    assert [entry.name for entry in tmp_path.iterdir()] == ["final"]


def test_statistics_are_no_part_of_the_digest(tmp_path: Path, data: dict[str, Artifact]) -> None:
    one = publish(tmp_path / "one", made(QWEN3), data, statistics={"loss": 1.0})
    assert one.digest == publish(tmp_path / "two", made(QWEN3), data, statistics={"loss": 2.0}).digest


def test_weights_are_readable_by_whoever_may_read_the_rest(tmp_path: Path, data: dict[str, Artifact]) -> None:
    published = publish(tmp_path / "final", made(QWEN3), data)
    modes = {published.file(name).stat().st_mode for name in ("model.safetensors", "config.json")}
    assert len(modes) == 1


def test_what_is_no_checkpoint_is_refused(tmp_path: Path, data: dict[str, Artifact]) -> None:
    with pytest.raises(InputError, match="does not exist"):
        load_model(tmp_path / "nothing")
    with pytest.raises(MismatchError, match="Expected a checkpoint, but this is a dataset"):
        load_model(data["dataset"])


@pytest.mark.parametrize("harm", ["missing", "extra", "shape", "garbage", "config"])
def test_a_checkpoint_whose_weights_do_not_fit_names_what_differs(tmp_path: Path, harm: str) -> None:
    weights = dict(made(QWEN3).state_dict())
    config = {"model": identity(QWEN3), "vocabulary_size": VOCABULARY, "tokenizer_identity": "x"}
    if harm == "missing":
        del weights["model.norm.weight"]
    elif harm == "extra":
        weights["model.extra.weight"] = torch.zeros(2)
    elif harm == "shape":
        weights["model.norm.weight"] = torch.zeros(47)
    elif harm == "config":
        del config["model"]
    with ArtifactBuilder(tmp_path / "final", kind="checkpoint", config=config) as builder:
        save_tensors(builder.path("model.safetensors"), weights)
        if harm == "garbage":
            builder.write_bytes("model.safetensors", b"not tensors at all")
        builder.publish()
    expected = {
        "missing": r"model\.norm\.weight should be \(48,\) but is absent",
        "extra": r"model\.extra\.weight should be absent but is \(2,\)",
        "shape": r"model\.norm\.weight should be \(48,\) but is \(47,\)",
        "garbage": "cannot be read",
        "config": "does not describe a model",
    }
    with pytest.raises(DamageError, match=expected[harm]) as error:
        load_model(tmp_path / "final")
    assert error.value.exit_code == 4
