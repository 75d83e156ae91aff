"""`lumi export`, `lumi import`, `lumi config depth`: what a person sees, and the exit codes."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from command_line import lumi
from peft import LoraConfig, get_peft_model
from tiny_chat import publish_data, publish_model
from tiny_model import OTHER_SHAPES, QWEN3
from transformers import AutoModelForCausalLM
from typer.testing import CliRunner

from lumilab.artifact import Artifact, artifacts_below, walk
from lumilab.cli.app import app
from lumilab.cli.options import load
from lumilab.errors import InputError
from lumilab.training.checkpoint import load_model


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    folder = tmp_path_factory.mktemp("model")
    tokenizer, _ = publish_data(folder)
    return publish_model(folder / "checkpoint", tokenizer, config=QWEN3)


def said(*words: str | Path) -> str:
    """What a command that succeeds prints; in this process, which has the heavy libraries already."""
    result = CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=False)
    assert result.exit_code == 0
    return " ".join(result.output.split())


def test_to_hugging_face_and_back(checkpoint: Artifact, tmp_path: Path) -> None:
    text = said("export", "hf", checkpoint.path, tmp_path / "hf", "--dtype", "bfloat16")
    assert "transformers: the logits differ by" in text and "(bound" in text
    assert "transformers: the logits differ by" in said("import", "hf", tmp_path / "hf", tmp_path / "back")
    model = load_model(tmp_path / "back").model
    for name, tensor in load_model(checkpoint).model.state_dict().items():
        assert torch.equal(model.state_dict()[name], tensor.bfloat16().float())
    assert len(artifacts_below(tmp_path)) == 2
    assert not [problem for step in walk(tmp_path / "back", tmp_path / "hf") for problem in step.problems]


def test_an_adapter_made_elsewhere_is_merged(checkpoint: Artifact, tmp_path: Path) -> None:
    torch.manual_seed(0)
    config = LoraConfig(r=3, target_modules=["v_proj", "down_proj"], init_lora_weights=False)
    theirs = get_peft_model(AutoModelForCausalLM.from_pretrained(checkpoint.path), config).eval()
    theirs.save_pretrained(tmp_path / "adapter")
    text = said("import", "adapter", tmp_path / "adapter", tmp_path / "merged", "--base", checkpoint.path)
    assert "PEFT: the logits differ by" in text
    ids = torch.randint(1, 90, (2, 20))
    with torch.no_grad():
        torch.testing.assert_close(load_model(tmp_path / "merged").model(ids), theirs(ids).logits, atol=1e-5, rtol=0)
    assert not [problem for step in walk(tmp_path / "merged", checkpoint.path) for problem in step.problems]
    again = CliRunner().invoke(
        app, ["import", "adapter", str(tmp_path), str(tmp_path / "two"), "--base", str(checkpoint.path)]
    )
    assert isinstance(again.exception, InputError) and "There is no adapter_config.json" in str(again.exception)
    assert not (tmp_path / "two").exists()


def test_to_gguf(checkpoint: Artifact, tmp_path: Path) -> None:
    text = said("export", "gguf", checkpoint.path, tmp_path / "model.gguf", "--type", "F32")
    assert "gguf's reader: the logits differ by" in text
    assert "transformers' reader of GGUF was not asked: it takes head_dim to be 128, here it is 16." in text


def test_old_checkpoints(checkpoint: Artifact, tmp_path: Path) -> None:
    tensors = load_model(checkpoint).model.state_dict()
    torch.save({f"_orig_mod.{name}": tensor for name, tensor in tensors.items()}, tmp_path / "a.pt")
    text = said("import", "torch", tmp_path / "a.pt", tmp_path / "new", "--tokenizer", checkpoint.path)
    assert "a.pt: named as in ours" in text and "The checkpoint is in" in text


def test_refusals_have_exit_codes(checkpoint: Artifact, tmp_path: Path) -> None:
    odd = publish_model(
        tmp_path / "odd", Artifact.open(checkpoint.path.parent / "tokenizer"), config=OTHER_SHAPES["of-no-family"]
    )
    done = lumi("export", "hf", odd.path, "out", cwd=tmp_path, check=2)
    assert "No model family that others read has this shape" in done.stderr and "Traceback" not in done.stderr
    (tmp_path / "empty").mkdir()
    done = lumi("import", "hf", "empty", "out", cwd=tmp_path, check=3)
    assert "This is no folder of a Hugging Face model: there is no config.json." in done.stderr
    assert not (tmp_path / "out").exists()


def test_the_depth_dial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    text = said("config", "depth", "12")
    assert "model.width = 768" in text and "pretrain.steps = 2520" in text and "64 x 12, rounded up" in text
    assert "pretrain" in said("run", "tiny", "--depth", "2", "--dry-run")
    # 256 windows follow from the depth, of which 16 may be read at once, though not of the recipe's own 8.
    assert "pretrain" in said("run", "tiny", "--depth", "4", "--dry-run", "pretrain.micro_batch_size=16")
    assert "4 x 256, as is usual without a gate" in said("config", "depth", "4", "gpt-125m")
    for name in ("gpt-1.3b", "1,313,626,112"):
        assert name in said("config", "list")


def test_a_trial_of_a_depth_is_a_trial() -> None:
    recipe = load("tiny", ["sft.steps=7"], trial=True, depth=12).recipe
    assert (recipe.model.layers, recipe.pretrain.optimizer.name) == (12, "muon")
    assert (recipe.pretrain.steps, recipe.sft.steps, recipe.tokenizer.vocabulary_size) == (30, 7, 2_048)
    assert recipe.pretrain.batch_size == load("tiny", None).recipe.pretrain.batch_size
    assert recipe.name == "tiny-test"
