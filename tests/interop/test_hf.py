"""Models to Hugging Face's format and back: what the real library says of them, and what is refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_chat import publish_model, tiny_model
from tiny_model import ALL_SHAPES, GPT2, LLAMA, OTHER_SHAPES, QWEN3, SHAPES
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig, GPT2Config, GPT2LMHeadModel

from lumilab.artifact import Artifact
from lumilab.errors import ConfigError, DamageError, InputError, LumiError, MismatchError
from lumilab.interop import export_hf as exporting
from lumilab.interop.export_hf import export_hf
from lumilab.interop.import_hf import import_hf
from lumilab.posttraining.chat_files import chat_files
from lumilab.recipe.model import ModelConfig
from lumilab.tokenizer.load import Tokenizer
from lumilab.training.checkpoint import load_model, publish_checkpoint

FAMILIES = {**SHAPES, **{name: shape for name, shape in OTHER_SHAPES.items() if name.startswith("gpt2")}}


def published(folder: Path, tokenizer: Artifact, config: ModelConfig) -> Artifact:
    known = Tokenizer.load(tokenizer.path)
    return publish_model(folder / "checkpoint", tokenizer, tiny_model(known, config=config), config)


def batch(vocabulary: int, rows: int = 3, length: int = 40, seed: int = 5) -> Tensor:
    # Not 0: theirs gives the padding token's embedding no gradient.
    return torch.randint(1, vocabulary, (rows, length), generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("name", FAMILIES)
@torch.no_grad()
def test_there_and_back(name: str, tokenizer_artifact: Artifact, tmp_path: Path) -> None:
    checkpoint = published(tmp_path, tokenizer_artifact, FAMILIES[name])
    exported, proof = export_hf(checkpoint, tmp_path / "hf")
    assert proof is not None and proof.difference <= 1e-5
    back, proof = import_hf(exported.path, tmp_path / "back")
    assert proof is not None and proof.difference <= 1e-5
    ours, again = load_model(checkpoint), load_model(back)
    assert again.config == ours.config
    for key, tensor in ours.model.state_dict().items():
        assert torch.equal(again.model.state_dict()[key], tensor), key
    theirs = AutoModelForCausalLM.from_pretrained(exported.path).eval()
    ids = batch(ours.model.vocabulary_size)
    torch.testing.assert_close(again.model(ids), theirs(ids).logits, atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", ["qwen3", "llama-biased", "gpt2"])
def test_twenty_steps_of_training_after_export_and_import(
    name: str, tokenizer_artifact: Artifact, tmp_path: Path
) -> None:
    checkpoint = published(tmp_path, tokenizer_artifact, FAMILIES[name])
    exported, _ = export_hf(checkpoint, tmp_path / "hf")
    back, _ = import_hf(exported.path, tmp_path / "back")
    theirs: Any = AutoModelForCausalLM.from_pretrained(exported.path, attn_implementation="eager").eval()
    models = [load_model(checkpoint).model, load_model(back).model, theirs]
    optimizers = [torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.01) for model in models]
    for step in range(20):
        ids, losses = batch(models[0].vocabulary_size, seed=step), []
        for model, optimizer in zip(models, optimizers, strict=True):
            logits = model(ids) if model is not theirs else model(ids).logits
            loss = torch.nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1), ids[:, 1:].flatten())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        assert losses == pytest.approx([losses[0]] * 3, abs=1e-4), step


def test_released_gpt2_files_without_a_beginning_and_with_masks(tokenizer_artifact: Artifact, tmp_path: Path) -> None:
    """The first GPT-2 files on the hub name `h.0...`, and carry each layer's causal mask."""
    shape: dict[str, Any] = {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 64, "vocab_size": 512}
    reference = GPT2LMHeadModel(GPT2Config(**shape)).eval()
    reference.save_pretrained(tmp_path / "gpt2")
    file = tmp_path / "gpt2" / "model.safetensors"
    tensors = {name.removeprefix("transformer."): tensor for name, tensor in load_file(file).items()}
    tensors["h.0.attn.bias"] = torch.ones(1, 1, 64, 64).tril()
    save_file(tensors, file, metadata={"format": "pt"})
    back, proof = import_hf(tmp_path / "gpt2", tmp_path / "back", tokenizer_artifact.path)
    assert proof is not None
    model = load_model(back).model
    assert model.config.feed_forward == 128 and model.config.activation == "gelu_tanh"
    with torch.no_grad():
        torch.testing.assert_close(model(batch(512)), reference(batch(512)).logits, atol=1e-5, rtol=0)


def test_weights_in_several_files(tokenizer_artifact: Artifact, tmp_path: Path) -> None:
    checkpoint = published(tmp_path, tokenizer_artifact, QWEN3)
    exported, _ = export_hf(checkpoint, tmp_path / "hf")
    model = AutoModelForCausalLM.from_pretrained(exported.path)
    model.save_pretrained(tmp_path / "parts", max_shard_size="60KB")
    assert len(list((tmp_path / "parts").glob("model-*.safetensors"))) > 1
    back, _ = import_hf(tmp_path / "parts", tmp_path / "back", checkpoint.path)
    for key, tensor in load_model(checkpoint).model.state_dict().items():
        assert torch.equal(load_model(back).model.state_dict()[key], tensor)
    next((tmp_path / "parts").glob("model-00002*")).unlink()
    with pytest.raises(DamageError, match="names the file model-00002"):
        import_hf(tmp_path / "parts", tmp_path / "other", checkpoint.path, unverified=True)


def test_bfloat16_stays_bfloat16(tokenizer_artifact: Artifact, tmp_path: Path) -> None:
    exported, proof = export_hf(published(tmp_path, tokenizer_artifact, LLAMA), tmp_path / "hf", "bfloat16")
    assert proof is not None
    assert {tensor.dtype for tensor in load_file(exported.path / "model.safetensors").values()} == {torch.bfloat16}
    assert json.loads((exported.path / "config.json").read_bytes())["dtype"] == "bfloat16"
    back, _ = import_hf(exported.path, tmp_path / "back")
    assert {tensor.dtype for tensor in load_file(back.path / "model.safetensors").values()} == {torch.bfloat16}


def test_the_tokenizer_and_the_chat_are_written_for_others(
    tokenizer: Tokenizer, tokenizer_artifact: Artifact, tmp_path: Path
) -> None:
    model = tiny_model(tokenizer)
    description = {"model": model.config.model_dump(), "vocabulary_size": model.vocabulary_size}
    description["tokenizer_identity"] = tokenizer.identity
    checkpoint = publish_checkpoint(
        tmp_path / "sft", model, config=description, inputs={"tokenizer": tokenizer_artifact}, tokenizer=tokenizer,
        files=chat_files(tokenizer, 128), eos_id=tokenizer.im_end_id,
    )  # fmt: skip
    exported, _ = export_hf(checkpoint, tmp_path / "hf")
    settings = json.loads((exported.path / "tokenizer_config.json").read_bytes())
    assert settings["tokenizer_class"] == "PreTrainedTokenizerFast" and "im_start" in settings["chat_template"]
    assert not (exported.path / "chat_template.jinja").exists()
    theirs = AutoTokenizer.from_pretrained(exported.path)
    assert theirs("The cat watches.")["input_ids"] == tokenizer.encode("The cat watches.")
    assert theirs.eos_token_id == tokenizer.im_end_id
    ends = GenerationConfig.from_pretrained(exported.path).eos_token_id
    assert ends == [tokenizer.im_end_id, tokenizer.eos_id]
    assert theirs.apply_chat_template([{"role": "user", "content": "Hi"}], tokenize=False).startswith("<|im_start|>")


# --- what is refused -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "named"),
    [("of-no-family", "activation=gelu, norm=layernorm"), ("of-no-family-rotary", "norm=layernorm")],
)
def test_a_shape_of_no_family_is_saved_but_not_exported(
    name: str, named: str, tokenizer_artifact: Artifact, tmp_path: Path
) -> None:
    checkpoint = published(tmp_path, tokenizer_artifact, ALL_SHAPES[name])
    assert load_model(checkpoint).config == ALL_SHAPES[name]
    with pytest.raises(ConfigError) as error:
        export_hf(checkpoint, tmp_path / "hf")
    for setting in named.split(", "):
        assert setting in str(error.value)
    assert not (tmp_path / "hf").exists()


@pytest.mark.parametrize("config", [GPT2, OTHER_SHAPES["of-no-family"]])
def test_transformers_does_not_take_our_own_layout_for_another(
    config: ModelConfig, tokenizer_artifact: Artifact, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match="lumilab"):
        AutoModelForCausalLM.from_pretrained(published(tmp_path, tokenizer_artifact, config).path)


def test_other_logits_leave_nothing_behind(
    tokenizer_artifact: Artifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint = published(tmp_path, tokenizer_artifact, QWEN3)

    def swapped(tensors: dict[str, Tensor], *_: object) -> dict[str, Tensor]:
        first, second = (f"model.layers.{index}.mlp.up_proj.weight" for index in (0, 1))
        return {**tensors, first: tensors[second], second: tensors[first]}

    monkeypatch.setattr(exporting, "to_family", swapped)
    with pytest.raises(MismatchError, match="gives other logits") as error:
        export_hf(checkpoint, tmp_path / "hf")
    assert error.value.exit_code == 4
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint"]


def test_without_transformers_it_says_so_and_goes_on_only_if_told(
    tokenizer_artifact: Artifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint = published(tmp_path, tokenizer_artifact, QWEN3)
    monkeypatch.setitem(__import__("sys").modules, "transformers", None)
    with pytest.raises(ConfigError, match="transformers, which is not installed") as error:
        export_hf(checkpoint, tmp_path / "hf")
    assert 'pip install "lumilab[hf]"' in str(error.value)
    exported, proof = export_hf(checkpoint, tmp_path / "hf", unverified=True)
    assert proof is None and exported.manifest.config["verified"] is False
    with pytest.raises(ConfigError, match="not installed"):
        import_hf(exported.path, tmp_path / "back")
    back, proof = import_hf(exported.path, tmp_path / "back", unverified=True)
    assert proof is None and back.manifest.config["verified"] is False


def test_something_in_the_way_is_left_alone(tokenizer_artifact: Artifact, tmp_path: Path) -> None:
    checkpoint = published(tmp_path, tokenizer_artifact, QWEN3)
    (tmp_path / "hf").mkdir()
    for work in (lambda: export_hf(checkpoint, tmp_path / "hf"), lambda: import_hf(checkpoint.path, tmp_path / "hf")):
        with pytest.raises(ConfigError, match="something there already"):
            work()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model_type": "mamba"}, "Models of the type mamba"),
        ({"hidden_act": "mish"}, "hidden_act is mish"),
        ({"use_sliding_window": True}, "use_sliding_window"),
        ({"rope_parameters": {"rope_type": "longrope", "rope_theta": 1e4, "factor": 2.0}}, "rope_type is longrope"),
        ({"rope_parameters": {"rope_theta": 1e4, "partial_rotary_factor": 0.5}}, "partial_rotary_factor"),
        ({"num_key_value_heads": 3}, "must be a multiple of kv_heads"),
        ({"num_hidden_layers": None}, "describes no possible model: layers"),
        ({"intermediate_size": 81}, "down_proj.weight is .*, not"),
        ({"num_hidden_layers": 1}, "model.layers.1.* is not known"),
        ({"tie_word_embeddings": False}, "lm_head.weight is missing"),
    ],
)
def test_what_cannot_be_imported_says_why(
    change: dict[str, Any], message: str, tokenizer_artifact: Artifact, tmp_path: Path
) -> None:
    exported, _ = export_hf(published(tmp_path, tokenizer_artifact, QWEN3), tmp_path / "hf")
    folder = shutil.copytree(exported.path, tmp_path / "changed")
    values = json.loads((folder / "config.json").read_bytes())
    (folder / "config.json").write_text(json.dumps(values | change))
    with pytest.raises(InputError, match=message) as error:
        import_hf(folder, tmp_path / "back", unverified=True)
    assert error.value.exit_code == 3
    assert not (tmp_path / "back").exists()


def test_folders_that_are_no_model(tokenizer_artifact: Artifact, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no folder of a Hugging Face model"):
        import_hf(tmp_path, tmp_path / "back")
    exported, _ = export_hf(published(tmp_path, tokenizer_artifact, QWEN3), tmp_path / "hf")
    folder = shutil.copytree(exported.path, tmp_path / "changed")
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(LumiError, match=r"no weights in safetensors.*lumi import torch"):
        import_hf(folder, tmp_path / "back")


def test_a_legacy_config_is_read(tokenizer_artifact: Artifact, tmp_path: Path) -> None:
    """transformers 4 had `rope_theta` and `rope_scaling`, and wrote no `rope_parameters`."""
    config = SHAPES["llama-llama3"]
    exported, _ = export_hf(published(tmp_path, tokenizer_artifact, config), tmp_path / "hf")
    folder = shutil.copytree(exported.path, tmp_path / "old")
    values = json.loads((folder / "config.json").read_bytes())
    assert values["rope_theta"] == 5e5 and values["rope_scaling"]["rope_type"] == "llama3"
    del values["rope_parameters"]
    values["torch_dtype"] = values.pop("dtype")
    (folder / "config.json").write_text(json.dumps(values))
    back, proof = import_hf(folder, tmp_path / "back")
    assert proof is not None and load_model(back).config == config
