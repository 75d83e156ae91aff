"""Adapters: PEFT's own model with our files computes what our merged model does, and the other way round."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from tiny_chat import tiny_model
from tiny_model import GPT2, QWEN3, SHAPES, made
from torch import Tensor
from transformers import AutoModelForCausalLM

from lumilab.artifact import Artifact
from lumilab.errors import InputError, MismatchError
from lumilab.interop.export_hf import export_hf
from lumilab.model import Transformer
from lumilab.posttraining.adapters import WEIGHTS_FILE, adapter_files, add_adapter, load_adapter, merge_adapter
from lumilab.recipe.adapter import AdapterConfig
from lumilab.recipe.model import ModelConfig
from lumilab.tokenizer.load import Tokenizer
from lumilab.training.checkpoint import load_model

ADAPTERS = {
    "all": AdapterConfig(rank=4, alpha=6.0),
    "two, rslora": AdapterConfig(rank=3, targets=["q_proj", "down_proj"], rslora=True),
}


def taught(model: Transformer, seed: int = 2) -> Transformer:
    """An adapter that has learned something: B is no longer zero."""
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in model.named_parameters():
        if ".lora_B." in name:
            parameter.data.normal_(0, 0.1, generator=generator)
    return model


def some_ids(vocabulary: int) -> Tensor:
    return torch.randint(1, vocabulary, (3, 30), generator=torch.Generator().manual_seed(5))


def write(folder: Path, model: Transformer) -> Path:
    folder.mkdir()
    for name, content in adapter_files(model).items():
        (folder / name).write_bytes(content)
    return folder


@pytest.fixture(scope="module")
def exported(base: Artifact, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export_hf(base, tmp_path_factory.mktemp("hf") / "model", unverified=True)[0].path


@pytest.mark.parametrize("config", ADAPTERS.values(), ids=ADAPTERS)
@torch.no_grad()
def test_peft_opens_our_adapter_on_the_exported_model(
    config: AdapterConfig, base: Artifact, exported: Path, tokenizer: Tokenizer, tmp_path: Path
) -> None:
    ours = load_model(base).model
    add_adapter(ours, config, seed=3)
    folder = write(tmp_path / "adapter", taught(ours))
    theirs = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(exported), folder).eval()
    ids = some_ids(tokenizer.vocabulary_size)
    unmerged = ours(ids)
    merge_adapter(ours)
    assert (unmerged - load_model(base).model(ids)).abs().max() > 0.1
    torch.testing.assert_close(ours(ids), unmerged, atol=1e-5, rtol=0)
    torch.testing.assert_close(theirs(ids).logits, ours(ids), atol=1e-5, rtol=0)


@torch.no_grad()
def test_an_adapter_that_peft_made_merges_into_our_checkpoint(
    base: Artifact, exported: Path, tokenizer: Tokenizer, tmp_path: Path
) -> None:
    config = LoraConfig(r=5, lora_alpha=9, target_modules=["q_proj", "v_proj", "up_proj"], init_lora_weights=False)
    torch.manual_seed(0)
    theirs = get_peft_model(AutoModelForCausalLM.from_pretrained(exported), config).eval()
    theirs.save_pretrained(tmp_path / "adapter")
    ours = load_model(base).model
    load_adapter(ours, tmp_path / "adapter")
    merge_adapter(ours)
    ids = some_ids(tokenizer.vocabulary_size)
    torch.testing.assert_close(ours(ids), theirs(ids).logits, atol=1e-5, rtol=0)


@pytest.mark.parametrize("shape", [*SHAPES.values(), GPT2], ids=[*SHAPES, "gpt2"])
@torch.no_grad()
def test_merging_gives_a_plain_model_of_any_shape(shape: ModelConfig) -> None:
    model = made(shape).double()
    ids = some_ids(model.vocabulary_size)
    before, names = model(ids), [name for name, _ in model.named_parameters()]
    add_adapter(model, AdapterConfig(rank=2), seed=1)
    torch.testing.assert_close(model(ids), before, atol=1e-9, rtol=0)
    after = taught(model).double()(ids)
    merge_adapter(model)
    assert [name for name, _ in model.named_parameters()] == names
    assert all(parameter.requires_grad for parameter in model.parameters())
    assert type(model) is Transformer and not torch.allclose(after, before, atol=1e-3)
    torch.testing.assert_close(model(ids), after, atol=1e-9, rtol=0)


def test_only_the_adapter_trains_and_its_beginning_is_a_function_of_the_seed() -> None:
    def begun(seed: int) -> dict[str, Tensor]:
        model = made(QWEN3)
        torch.rand(seed)  # whatever else has drawn random numbers
        add_adapter(model, AdapterConfig(rank=2), seed)
        model(some_ids(model.vocabulary_size)).sum().backward()
        assert all((weight.grad is None) == (".lora_" not in name) for name, weight in model.named_parameters())
        return {name: weight.detach() for name, weight in model.named_parameters() if weight.requires_grad}

    state = torch.get_rng_state()
    first = begun(7)
    torch.set_rng_state(state)
    torch.rand(3)
    second, other = begun(7), begun(8)
    assert len(first) == 2 * 7 * QWEN3.layers
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not torch.equal(first["model.layers.0.mlp.up_proj.lora_A.default.weight"],
                           other["model.layers.0.mlp.up_proj.lora_A.default.weight"])  # fmt: skip


def test_in_bfloat16_the_weights_stay_and_it_is_as_close_as_the_merged_model() -> None:
    model = made(QWEN3)
    ids = some_ids(model.vocabulary_size)
    add_adapter(model, AdapterConfig(rank=2), seed=1)
    expected = taught(model)(ids)
    model.activation_dtype = torch.bfloat16
    found = model(ids)
    assert found.dtype is torch.bfloat16
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    merge_adapter(model)
    assert (found - expected).abs().mean() < 1.3 * (model(ids) - expected).abs().mean()


def test_what_does_not_fit_is_refused(tokenizer: Tokenizer, tmp_path: Path) -> None:
    model = tiny_model(tokenizer)
    add_adapter(model, AdapterConfig(rank=2), seed=1)
    folder = write(tmp_path / "adapter", model)
    narrower = made(QWEN3)
    with pytest.raises(MismatchError, match=r"lora_A.* is \(2, 48\) in the file and \(2, 80\) in the model"):
        load_adapter(narrower, folder)
    with pytest.raises(MismatchError, match="for gate_proj, which this model does not have"):
        add_adapter(made(GPT2), AdapterConfig(targets=["gate_proj"]), seed=1)
    (folder / WEIGHTS_FILE).unlink()
    with pytest.raises(InputError, match=f"no {WEIGHTS_FILE}"):
        load_adapter(tiny_model(tokenizer), folder)


def test_an_adapter_that_is_more_than_lora_is_refused(exported: Path, tokenizer: Tokenizer, tmp_path: Path) -> None:
    config = LoraConfig(r=2, target_modules=["q_proj"], modules_to_save=["lm_head"])
    get_peft_model(AutoModelForCausalLM.from_pretrained(exported), config).save_pretrained(tmp_path / "adapter")
    with pytest.raises(InputError, match="Only plain LoRA"):
        load_adapter(tiny_model(tokenizer), tmp_path / "adapter")
