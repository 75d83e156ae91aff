"""TRL on our exported model and our conversations: the same ids, masks and losses as ours, step by step."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset, load_dataset
from tiny_chat import WINDOW
from tiny_corpus import quiet_context
from tiny_sft import CONFIG, run
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import SFTConfig as TheirConfig
from trl import SFTTrainer

from lumilab.artifact import Artifact
from lumilab.errors import Interrupted, ResourceError
from lumilab.model import Transformer
from lumilab.posttraining.chat_files import chat_files
from lumilab.posttraining.examples import Examples
from lumilab.posttraining.sft import sft
from lumilab.recipe.adapter import AdapterConfig
from lumilab.recipe.training import OptimizerConfig
from lumilab.tokenizer.load import Tokenizer
from lumilab.training.checkpoint import load_model
from lumilab.training.run import Sample

STEPS = 10
TRAINING = CONFIG.model_copy(
    update={
        "steps": STEPS,
        "optimizer": OptimizerConfig(learning_rate=3e-3),
        "validate_every": 5,
        "checkpoint_every": 4,
        "sample_every": 0,
        "spike_sigmas": 0.0,
    }
)
BY_TRL = TRAINING.model_copy(update={"trainer": "trl"})
ADAPTED = {"adapter": AdapterConfig(rank=4, alpha=8.0)}


def events(checkpoint: Artifact, name: str) -> list[dict[str, Any]]:
    lines = (checkpoint.path.parent / "log.jsonl").read_text().splitlines()
    return [event for event in map(json.loads, lines) if event["event"] == name]


def test_trl_makes_the_same_ids_and_masks(
    conversations: Artifact, base: Artifact, tokenizer: Tokenizer, tmp_path: Path
) -> None:
    """TRL renders the messages itself, with the chat template of our checkpoint."""
    for name, content in chat_files(tokenizer, 128).items():
        (tmp_path / name).write_bytes(content)
    (tmp_path / "tokenizer.json").write_text(tokenizer.to_json())
    rows = load_dataset("json", data_files=str(conversations.path.parent / "rows.jsonl"), split="train")
    trainer = SFTTrainer(
        model=AutoModelForCausalLM.from_pretrained(base.path),
        args=TheirConfig(
            output_dir=str(tmp_path / "trl"), assistant_only_loss=True, max_length=None, report_to="none", use_cpu=True,
            bf16=False,
        ),
        train_dataset=rows,
        processing_class=AutoTokenizer.from_pretrained(tmp_path),
    )  # fmt: skip
    assert isinstance(trainer.train_dataset, Dataset)
    theirs = {tuple(row["input_ids"]): row["labels"] for row in trainer.train_dataset}
    ours = {}
    for split in ("train", "validation"):
        examples = Examples.open(conversations, split)
        for index in range(len(examples)):
            one = examples.rendered(index)
            ours[tuple(one.ids)] = [token if flag else -100 for token, flag in zip(one.ids, one.trained, strict=True)]
    assert len(ours) == 70
    # A template of a published model ends with a newline behind the last turn, and so does our export.
    assert {ids: theirs[ids] for ids in ours} == ours


@pytest.mark.parametrize("changes", [{}, ADAPTED], ids=["full", "adapter"])
def test_ten_steps_have_trls_losses_and_end_in_trls_weights(
    changes: dict[str, Any], base: Artifact, conversations: Artifact, tokenizer_artifact: Artifact, tmp_path: Path
) -> None:
    ours, theirs = (
        run(tmp_path / name / "final", base, conversations, tokenizer_artifact, config.model_copy(update=changes))
        for name, config in (("ours", TRAINING), ("theirs", BY_TRL))
    )
    for quantity in ("loss", "gradient_norm", "learning_rate"):
        values = [[event[quantity] for event in events(run_, "step")] for run_ in (ours, theirs)]
        assert len(values[0]) == STEPS
        torch.testing.assert_close(*map(torch.tensor, values), atol=1e-4, rtol=1e-4)
    losses = [[event["loss"] for event in events(run_, "validation")] for run_ in (ours, theirs)]
    assert len(losses[0]) == 2
    torch.testing.assert_close(*map(torch.tensor, losses), atol=1e-4, rtol=0)
    weights = [load_model(run_).model.state_dict() for run_ in (ours, theirs)]
    for name, tensor in weights[0].items():
        torch.testing.assert_close(weights[1][name], tensor, atol=1e-3, rtol=1e-3)
    assert (theirs.path / "chat.json").exists() and (theirs.path / "adapter").exists() == bool(changes)


@pytest.mark.long
@pytest.mark.parametrize("changes", [{}, ADAPTED], ids=["full", "adapter"])
def test_a_stopped_run_of_trl_goes_on(
    changes: dict[str, Any], base: Artifact, conversations: Artifact, tokenizer_artifact: Artifact, tmp_path: Path
) -> None:
    config = BY_TRL.model_copy(update={"steps": 6, "sample_every": 1, **changes})
    whole = run(tmp_path / "whole" / "final", base, conversations, tokenizer_artifact, config)
    context, _ = quiet_context()

    def stop_at_three(model: Transformer, step: int) -> list[Sample]:
        if step == 3:
            context.stop.request(2)
        return [Sample("Q", "A")]

    target = tmp_path / "parts" / "final"
    inputs = (base, conversations, tokenizer_artifact)
    with pytest.raises(Interrupted):
        sft(config, WINDOW, 5, *inputs, target, context, sampler=stop_at_three)
    assert not target.exists()
    resumed = run(target, *inputs, config)
    assert resumed.digest == whole.digest
    assert [event["step"] for event in events(resumed, "step")] == [1, 2, 3, 4, 5, 6]
    shutil.rmtree(target)  # as if the process had been killed between the last step and publishing
    assert run(target, *inputs, config).digest == whole.digest


def test_without_trl_it_is_said_what_to_install(
    base: Artifact, conversations: Artifact, tokenizer_artifact: Artifact, tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.setitem(sys.modules, "trl", None)
    with pytest.raises(ResourceError, match=r"package trl is not installed.*lumilab\[trl\]"):
        run(tmp_path / "final", base, conversations, tokenizer_artifact, BY_TRL)
