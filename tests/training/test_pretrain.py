"""Pretraining over a real dataset: the windows it reads, the checkpoint it leaves, and that kills change nothing."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_corpus import quiet_context
from tiny_model import QWEN3
from transformers import AutoModelForCausalLM, AutoTokenizer

from lumilab.artifact import Artifact, ArtifactBuilder
from lumilab.dataset.shards import TokenShards
from lumilab.errors import MismatchError
from lumilab.model import count_parameters
from lumilab.recipe.section import identity
from lumilab.recipe.training import TrainingConfig
from lumilab.tokenizer.load import Tokenizer
from lumilab.training.checkpoint import load_model
from lumilab.training.pretrain import NextToken, pretrain

SETTINGS: dict[str, Any] = {
    "steps": 30,
    "batch_size": 8,
    "dtype": "float32",
    "device": "cpu",
    "compile": "no",
    "optimizer": {"learning_rate": 0.01},
    "validate_every": 10,
    "checkpoint_every": 3,
    "log_every": 5,
}


def config(**changes: Any) -> TrainingConfig:
    return TrainingConfig.model_validate(SETTINGS | changes)


@pytest.fixture(scope="module")
def trained(data: dict[str, Artifact], tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Artifact]:
    """Trains with given changes of the settings, each once."""
    done: dict[str, Artifact] = {}

    def train(**changes: Any) -> Artifact:
        key = json.dumps(changes)
        if key not in done:
            target = tmp_path_factory.mktemp("run") / "final"
            context = quiet_context()[0]
            done[key] = pretrain(config(**changes), QWEN3, 3, data["dataset"], data["tokenizer"], target, context)
        return done[key]

    return train


def test_batches_are_windows_and_their_next_tokens(data: dict[str, Artifact]) -> None:
    objective = NextToken(data["dataset"], config(), seed=3)
    shards = TokenShards.open(data["dataset"], "train")
    everything = shards.read(0, shards.token_count)
    starts = {tuple(everything[at : at + 24].tolist()): at for at in range(0, shards.token_count - 24, 24)}
    seen = set()
    steps = -(-len(starts) // 8)
    for step in range(steps):
        batch = objective.batch(step)
        assert batch.ids.shape == batch.labels.shape == (8, 24) and batch.ids.dtype is torch.int64
        for ids, labels in zip(batch.ids.tolist(), batch.labels.tolist(), strict=True):
            at = starts[tuple(ids)]
            assert labels == everything[at + 1 : at + 25].tolist()
            seen.add(at)
    assert seen == set(starts.values()), "an epoch visits every window"
    assert torch.equal(objective.batch(1).ids, NextToken(data["dataset"], config(), seed=3).batch(1).ids)


@pytest.mark.parametrize("windows", [1, 5, 10_000])
def test_validation_windows_are_all_of_one_shape_and_never_repeat(data: dict[str, Artifact], windows: int) -> None:
    objective = NextToken(data["dataset"], config(validation_windows=windows), seed=3)
    batches = list(objective.validation(4))
    assert {tuple(batch.ids.shape) for batch in batches} == {(4, 24)}
    tokens = TokenShards.open(data["dataset"], "validation").token_count
    trained = sum(batch.trained for batch in batches)
    assert trained == tokens - 1 if windows == 10_000 else trained <= windows * 24
    again = list(NextToken(data["dataset"], config(validation_windows=windows), 9).validation(4))
    assert all(torch.equal(one.ids, other.ids) for one, other in zip(batches, again, strict=True))


def test_the_checkpoint_opens_with_transformers_as_it_is(trained: Callable[..., Artifact]) -> None:
    artifact = trained()
    ours, theirs = load_model(artifact).model, AutoModelForCausalLM.from_pretrained(artifact.path)
    tokenizer = AutoTokenizer.from_pretrained(artifact.path)
    text = "the river bridge Über naïve 东京 emoji🙂 can't 1984"
    ids = tokenizer(text, return_tensors="pt")["input_ids"]
    assert ids[0].tolist() == Tokenizer.load(artifact.path).encode(text)
    assert tokenizer.decode(ids[0]) == text
    assert (tokenizer.eos_token_id, tokenizer.bos_token_id, tokenizer.pad_token_id) == (2, 1, 0)
    with torch.no_grad():
        torch.testing.assert_close(ours(ids), theirs(ids).logits, atol=1e-5, rtol=0)
    generated = theirs.generate(ids, max_new_tokens=3, do_sample=False)
    assert generated.shape[1] <= ids.shape[1] + 3


def test_the_manifest_tells_what_made_it(trained: Callable[..., Artifact], data: dict[str, Artifact]) -> None:
    manifest = trained().manifest
    assert manifest.kind == "checkpoint"
    assert manifest.config == {
        "stage": "pretrain",
        "model": identity(QWEN3),
        "vocabulary_size": Tokenizer.load(data["tokenizer"].path).vocabulary_size,
        "tokenizer_identity": Tokenizer.load(data["tokenizer"].path).identity,
        "training": identity(config()),
        "seed": 3,
    }
    assert {name: record.digest for name, record in manifest.inputs.items()} == {
        name: artifact.digest for name, artifact in data.items()
    }
    assert manifest.statistics["step"] == 30 and manifest.statistics["tokens"] == 30 * 8 * 24
    assert manifest.statistics["validation_loss"] < math.log(manifest.config["vocabulary_size"])


def test_weights_are_as_many_as_computed(trained: Callable[..., Artifact]) -> None:
    loaded = load_model(trained())
    size = sum(parameter.numel() for parameter in loaded.model.parameters())
    assert size == count_parameters(QWEN3, loaded.artifact.manifest.config["vocabulary_size"])


def test_no_runtime_setting_is_in_the_digest(trained: Callable[..., Artifact]) -> None:
    other = trained(validate_every=7, checkpoint_every=11, keep_checkpoints=1, log_every=1, validation_windows=3)
    assert other.digest == trained().digest
    assert trained(batch_size=4).digest != trained().digest


def test_another_tokenizer_is_refused(data: dict[str, Artifact], tmp_path: Path) -> None:
    definition = json.loads(data["tokenizer"].file("tokenizer.json").read_text())
    definition["model"]["merges"].pop()
    with ArtifactBuilder(tmp_path / "other", kind="tokenizer", config={}) as builder:
        builder.write_bytes("tokenizer.json", json.dumps(definition).encode())
        other = builder.publish()
    with pytest.raises(MismatchError, match="The dataset was made with"):
        pretrain(config(), QWEN3, 3, data["dataset"], other, tmp_path / "final", quiet_context()[0])
    assert not (tmp_path / "final").exists()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="children are made by fork here")
@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        pytest.param({}, 4, id="adamw"),
        pytest.param(
            {"micro_batch_size": 2, "optimizer": {"name": "muon", "learning_rate": 0.01}, "ema": {"decay": 0.9}},
            30,
            id="muon in micro-batches with an average",
            marks=pytest.mark.long,
        ),
    ],
)
def test_killed_at_random_moments_gives_the_same_digest(
    data: dict[str, Artifact], tmp_path: Path, trained: Callable[..., Artifact], changes: dict[str, Any], wanted: int
) -> None:
    """30 steps of 8 windows are more than an epoch of this dataset, so kills land in later epochs too."""
    windows = (TokenShards.open(data["dataset"], "train").token_count - 1) // 24
    assert windows < 30 * 8
    expected = trained(**changes)
    paths = [str(data["dataset"].path), str(data["tokenizer"].path), str(tmp_path / "run")]
    script = str(Path(__file__).with_name("killed_pretraining.py"))
    settings = json.dumps(SETTINGS | changes | {"log_every": 1})
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}
    result = subprocess.run(
        [sys.executable, script, *paths, settings, "11", str(wanted)],
        env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    kills, runs = map(int, result.stdout.split())
    assert kills >= wanted
    for number in range(runs):
        run = tmp_path / "run" / f"killed-{number}"
        artifact = Artifact.open(run / "final", kind="checkpoint")
        assert artifact.digest == expected.digest
        assert artifact.file("model.safetensors").read_bytes() == expected.file("model.safetensors").read_bytes()
        assert not list(artifact.problems())
        assert [path.name for path in run.iterdir() if path.name.startswith(".")] == []
        steps = [json.loads(line)["step"] for line in (run / "log.jsonl").read_text().splitlines()]
        assert steps == sorted(steps)
