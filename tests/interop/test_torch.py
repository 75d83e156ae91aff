"""Old checkpoints: under the names of those who made them, wrapped, flat, and never run."""

from __future__ import annotations

import json
import pickle
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny_chat import publish_model, tiny_model
from tiny_model import GPT2, LLAMA, QWEN3
from torch import Tensor
from transformers import CONFIG_MAPPING, AutoModelForCausalLM

from lumilab.artifact import Artifact
from lumilab.errors import ConfigError, DamageError, InputError
from lumilab.interop.import_torch import import_torch
from lumilab.interop.names import to_family
from lumilab.recipe.model import ModelConfig
from lumilab.tokenizer.load import Tokenizer
from lumilab.training.checkpoint import load_model

Tensors = dict[str, Tensor]


def weights(tokenizer: Artifact, config: ModelConfig) -> Tensors:
    return tiny_model(Tokenizer.load(tokenizer.path), config=config).state_dict()


def same_logits(artifact: Artifact, tensors: Tensors, config: ModelConfig) -> None:
    loaded = load_model(artifact)
    assert loaded.config == config
    for name, tensor in tensors.items():
        assert torch.equal(loaded.model.state_dict()[name], tensor), name


@pytest.mark.parametrize("wrapper", ["", "_orig_mod.", "module.", "module._orig_mod."])
def test_wrapped_names_and_flat_folders(wrapper: str, tokenizer_artifact: Artifact, tmp_path: Path) -> None:
    config = QWEN3.model_copy(update={"rope_theta": 5e5})
    tensors = weights(tokenizer_artifact, config)
    folder = tmp_path / "old"
    folder.mkdir()
    wrapped = {f"{wrapper}{name}": tensor for name, tensor in tensors.items()}
    torch.save({"model_state_dict": wrapped, "optimizer_state_dict": {"step": 3}, "epoch": 2}, folder / "best.pt")
    torch.save({}, folder / "zz_other.pt")
    description = {"hidden_size": 48, "num_layers": 2, "rope_theta": 5e5, "max_seq_len": 300, "rms_norm_eps": 1e-6}
    (folder / "config.json").write_text(json.dumps(description))
    artifact, lines = import_torch(folder, tmp_path / "new", tokenizer_artifact.path, None, None)
    same_logits(artifact, tensors, config)
    assert "best.pt: named as in ours" in lines[0]
    assert artifact.manifest.config["verified"] is False


def test_what_no_file_tells_is_said(tokenizer_artifact: Artifact, tmp_path: Path) -> None:
    config = LLAMA.model_copy(update={"context": 2_048})
    tensors = weights(tokenizer_artifact, config)
    torch.save({name.removeprefix("model."): tensor for name, tensor in tensors.items()}, tmp_path / "a.pt")
    with pytest.raises(InputError, match="how many heads") as error:
        import_torch(tmp_path / "a.pt", tmp_path / "new", tokenizer_artifact.path, None, None)
    assert "--heads" in str(error.value)
    artifact, lines = import_torch(tmp_path / "a.pt", tmp_path / "new", tokenizer_artifact.path, None, 4)
    same_logits(artifact, tensors, config)
    assert "rope_theta 10000.0" in lines[1] and "Check them" in lines[1]


@pytest.mark.parametrize("style", ["gpt2", "nanogpt"])
def test_gpt2s_names_in_both_orders(style: str, tokenizer_artifact: Artifact, tmp_path: Path) -> None:
    config = GPT2.model_copy(update={"activation": "gelu"}) if style == "nanogpt" else GPT2
    tensors = weights(tokenizer_artifact, config)
    named = to_family(tensors, config, "gpt2")
    if style == "nanogpt":  # linear layers, and no biases, as its own training has them
        tensors = {
            name: torch.zeros_like(tensor) if name.endswith("bias") else tensor for name, tensor in tensors.items()
        }
        named = {name: tensor.t() if tensor.ndim == 2 and ".h." in name else tensor for name, tensor in named.items()}
        named = {name: tensor for name, tensor in named.items() if not name.endswith("bias")}
        named["lm_head.weight"] = named["transformer.wte.weight"]
        named["transformer.h.0.attn.bias"] = torch.ones(1, 1, 300, 300).tril()
    checkpoint = {"model": {f"_orig_mod.{name}": value for name, value in named.items()}, "model_args": {"n_head": 4}}
    torch.save(checkpoint, tmp_path / "ckpt.pt")
    artifact, _ = import_torch(tmp_path / "ckpt.pt", tmp_path / "new", tokenizer_artifact.path, None, None)
    same_logits(artifact, tensors, config)


def meta_weights(file: Path) -> tuple[Tensors, dict[str, int]]:
    """A llama2.c file (its README gives the order) under the names of Meta's code."""
    data = file.read_bytes()
    width, inner, layers, heads, _, vocabulary, length = struct.unpack("7i", data[:28])
    numbers, tensors, used = torch.from_numpy(np.frombuffer(data, np.float32, offset=28).copy()), {}, 0

    def take(*shape: int) -> Tensor:
        nonlocal used
        used += int(np.prod(shape))
        return numbers[used - int(np.prod(shape)) : used].view(shape).clone()

    tensors["tok_embeddings.weight"] = take(vocabulary, width)
    for name, shape in (
        ("attention_norm", (width,)),
        *((f"attention.w{part}", (width, width)) for part in "qkvo"),
        ("ffn_norm", (width,)),
        *((f"feed_forward.w{part}", (width, inner) if part == "2" else (inner, width)) for part in "123"),
    ):
        for index in range(layers):
            tensors[f"layers.{index}.{name}.weight"] = take(*shape)
    tensors["norm.weight"] = take(width)
    tensors["freqs_cos"] = take(length, width // heads // 2)
    return tensors, {"dim": width, "n_heads": heads, "max_seq_len": length}


def test_metas_llama_speaks_as_it_did(shared_data: Path, tokenizer_artifact: Artifact, tmp_path: Path) -> None:
    """A trained model whose greedy text was computed by somebody else's code."""
    tensors, description = meta_weights(shared_data / "tiny-checkpoint" / "aidreams260K.bin")
    torch.save({"model": tensors, "model_args": description}, tmp_path / "ckpt.pt")
    artifact, lines = import_torch(tmp_path / "ckpt.pt", tmp_path / "new", tokenizer_artifact.path, None, None)
    assert "named as in meta" in lines[0]
    model = load_model(artifact).model
    expected = json.loads((shared_data / "tiny-checkpoint" / "greedy_reference.json").read_bytes())
    ids = expected["ids"][:128]
    with torch.no_grad():
        logits = model(torch.tensor([ids]))[0]
    assert logits.argmax(-1).tolist()[: len(expected["ids"]) - 1] == expected["ids"][1 : len(ids) + 1]
    torch.testing.assert_close(logits[0], torch.tensor(expected["logits_position_0"]), atol=1e-4, rtol=1e-4)


class Trap:
    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return (Path.touch, (Path("trapped"),))  # type: ignore[return-value]


def test_nothing_in_a_file_is_run(
    tokenizer_artifact: Artifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"model": weights(tokenizer_artifact, QWEN3), "config": Trap()}, tmp_path / "a.pt")
    (tmp_path / "b.pt").write_bytes(pickle.dumps(Trap(), protocol=2))
    for name in ("a.pt", "b.pt"):
        with pytest.raises(InputError, match="could run any code, so it was not loaded") as error:
            import_torch(tmp_path / name, tmp_path / "new", tokenizer_artifact.path, None, None)
        assert "torch.save(model.state_dict()" in str(error.value)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.pt", "b.pt"]


def test_what_is_no_checkpoint_says_so(tokenizer_artifact: Artifact, tmp_path: Path) -> None:
    place = tokenizer_artifact.path
    with pytest.raises(InputError, match="no file of weights"):
        import_torch(tmp_path, tmp_path / "new", place, None, None)
    torch.save({"epoch": 3}, tmp_path / "a.pt")
    with pytest.raises(InputError, match="does not hold named weights"):
        import_torch(tmp_path, tmp_path / "new", place, None, None)
    torch.save({"encoder.weight": torch.zeros(3)}, tmp_path / "b.pt")
    with pytest.raises(InputError, match="Which of the files"):
        import_torch(tmp_path, tmp_path / "new", place, None, None)
    with pytest.raises(InputError, match=r"names that are not known here.*encoder\.weight"):
        import_torch(tmp_path / "b.pt", tmp_path / "new", place, None, None)
    whole = tmp_path / "whole.pt"
    torch.save(weights(tokenizer_artifact, QWEN3), whole)
    (tmp_path / "cut.pt").write_bytes(whole.read_bytes()[:5_000])
    with pytest.raises(DamageError, match="cannot be read"):
        import_torch(tmp_path / "cut.pt", tmp_path / "new", place, None, None)
    tensors = weights(tokenizer_artifact, QWEN3)
    del tensors["model.layers.1.mlp.down_proj.weight"]
    torch.save(tensors, tmp_path / "part.pt")
    with pytest.raises(InputError, match=r"layers\.1\.mlp\.down_proj\.weight is missing"):
        import_torch(tmp_path / "part.pt", tmp_path / "new", place, None, None)
    published = publish_model(tmp_path / "there", tokenizer_artifact)
    with pytest.raises(ConfigError, match="something there already"):
        import_torch(whole, published.path, place, None, None)


@pytest.mark.parametrize("family", ["llama", "qwen3", "gpt2"])
def test_an_old_folder_of_hugging_face_is_the_model_that_its_description_says(
    family: str, tokenizer_artifact: Artifact, tmp_path: Path
) -> None:
    """pytorch_model.bin and config.json, as transformers wrote them before safetensors; the logits are its own."""
    size = Tokenizer.load(tokenizer_artifact.path).vocabulary_size
    options: dict[str, dict[str, Any]] = {
        "llama": {"hidden_act": "gelu", "num_key_value_heads": 2}
        | {"rope_parameters": {"rope_type": "linear", "factor": 4.0, "rope_theta": 1e6}},
        "qwen3": {"num_key_value_heads": 1, "head_dim": 32, "tie_word_embeddings": True},
        "gpt2": {"n_embd": 48, "n_layer": 2, "n_head": 4, "n_positions": 300},
    }
    sizes = {"hidden_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 96}
    sizes = {} if family == "gpt2" else sizes | {"max_position_embeddings": 300}
    described = CONFIG_MAPPING[family](vocab_size=size, **sizes, **options[family])
    torch.manual_seed(0)
    theirs = AutoModelForCausalLM.from_config(described).eval()
    folder = tmp_path / "old"
    theirs.config.save_pretrained(folder)
    torch.save(theirs.state_dict(), folder / "pytorch_model.bin")
    artifact, lines = import_torch(folder, tmp_path / "new", tokenizer_artifact.path, None, None)
    ids = torch.randint(0, size, (2, 40))
    with torch.no_grad():
        torch.testing.assert_close(load_model(artifact).model(ids), theirs(ids).logits, atol=1e-5, rtol=1e-5)
    assert len(lines) == 1  # nothing had to be guessed


def test_a_description_that_says_another_model_is_refused(tokenizer_artifact: Artifact, tmp_path: Path) -> None:
    torch.save(weights(tokenizer_artifact, LLAMA), tmp_path / "pytorch_model.bin")
    described = {
        "architectures": ["Some"],
        "hidden_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "intermediate_size": 128,
    }
    for change, said in (
        ({"model_type": "mistral", "sliding_window": 64}, "type mistral cannot be used"),
        ({"model_type": "llama", "hidden_act": "silu", "hidden_size": 64}, "width is 48 in them, and 64 in the desc"),
    ):
        (tmp_path / "config.json").write_text(json.dumps(described | {"vocab_size": 512} | change))
        with pytest.raises(InputError, match=said):
            import_torch(tmp_path, tmp_path / "new", tokenizer_artifact.path, None, None)
    (tmp_path / "config.json").write_text(json.dumps(described | {"model_type": "llama", "vocab_size": 512}))
    with pytest.raises(ConfigError, match="--heads is 2, and the description says 4"):
        import_torch(tmp_path, tmp_path / "new", tokenizer_artifact.path, None, 2)
    assert not (tmp_path / "new").exists()


def test_a_small_projects_own_model_type_means_nothing_here(tokenizer_artifact: Artifact, tmp_path: Path) -> None:
    tensors = weights(tokenizer_artifact, LLAMA)
    told = {"model_type": "transformer", "hidden_size": 48, "num_heads": 4, "max_seq_len": LLAMA.context}
    torch.save({"model": tensors, "config": told}, tmp_path / "ckpt.pt")
    artifact, _ = import_torch(tmp_path / "ckpt.pt", tmp_path / "new", tokenizer_artifact.path, None, None)
    same_logits(artifact, tensors, LLAMA)


def test_a_vocabulary_that_is_told_does_no_harm(tokenizer_artifact: Artifact, tmp_path: Path) -> None:
    """nanoGPT's model_args have it, and so has every recipe."""
    tensors = weights(tokenizer_artifact, LLAMA)
    told = {"n_head": 4, "vocab_size": len(tensors["model.embed_tokens.weight"]), "block_size": LLAMA.context}
    torch.save({"model": tensors, "model_args": told}, tmp_path / "ckpt.pt")
    artifact, _ = import_torch(tmp_path / "ckpt.pt", tmp_path / "new", tokenizer_artifact.path, None, None)
    same_logits(artifact, tensors, LLAMA)
