"""Pretraining on several sources: phases, the realised mix in the logs, and stops that change nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tiny_corpus import publish_corpus, quiet_context, some_documents
from tiny_model import QWEN3

from lumilab.artifact import Artifact
from lumilab.dataset.pack import build_dataset
from lumilab.errors import ConfigError, Interrupted, ResourceError
from lumilab.recipe.dataset import DatasetConfig
from lumilab.recipe.training import TrainingConfig
from lumilab.training.pretrain import NextToken, pretrain

PHASES = [{"weights": {"a": 0.5, "b": 0.25, "c": 0.25}, "tokens": 24 * 40}, {"weights": {"a": 0.1, "c": 0.9}}]


def config(**changes: Any) -> TrainingConfig:
    values = {
        "steps": 12,
        "batch_size": 8,
        "dtype": "float32",
        "device": "cpu",
        "compile": "no",
        "validate_every": 50,
        "checkpoint_every": 4,
        "log_every": 5,
        "mixture": {"phases": PHASES},
    }
    return TrainingConfig.model_validate(values | changes)


@pytest.fixture(scope="module")
def mixed(data: dict[str, Artifact], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Artifact]:
    """Three sources in windows of 24."""
    folder = tmp_path_factory.mktemp("mixed")
    documents = [document for name in "abc" for document in some_documents(40, source=name)]
    corpus = publish_corpus(folder / "corpus", documents)
    dataset_config = DatasetConfig(window=24, validation_share=0.2)
    dataset = build_dataset(dataset_config, 7, corpus, data["tokenizer"], folder / "dataset", quiet_context()[0])
    return {"dataset": dataset, "tokenizer": data["tokenizer"]}


def test_the_realised_mix_is_logged(mixed: dict[str, Artifact], tmp_path: Path) -> None:
    context, said = quiet_context()
    pretrain(config(), QWEN3, 3, mixed["dataset"], mixed["tokenizer"], tmp_path / "run" / "final", context)
    lines = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    shares = {line["step"]: [line[f"mix/{name}"] for name in "abc"] for line in lines if line["event"] == "step"}
    # 40 windows of 24 tokens are five steps of the first phase; the lines are of steps 0-4, 5-9, and 10-11.
    assert shares[5] == [0.5, 0.25, 0.25]
    assert shares[10] == [0.1, 0, 0.9]
    assert abs(shares[12][0] - 0.1) * 16 < 1 and shares[12][1] == 0
    board = EventAccumulator(str(tmp_path / "run" / "tensorboard")).Reload()
    assert [event.value for event in board.Scalars("step/mix/a")] == pytest.approx([0.5, 0.1, shares[12][0]])
    assert "from step 0: a 0.5, b 0.25, c 0.25" in said.getvalue() and "from step 5: a 0.1, c 0.9" in said.getvalue()


@pytest.mark.parametrize("phases", [[], PHASES], ids=["natural", "two phases"])
def test_a_stop_anywhere_gives_the_same_weights(
    mixed: dict[str, Artifact], tmp_path: Path, phases: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = config(mixture={"phases": phases})
    inputs = (mixed["dataset"], mixed["tokenizer"])
    whole = pretrain(settings, QWEN3, 3, *inputs, tmp_path / "whole" / "final", quiet_context()[0])
    made = NextToken.batch
    target = tmp_path / "stopped" / "final"
    for stop_at in (2, 5, 9):
        context, _ = quiet_context()

        def batch(self: NextToken, step: int, context: Any = context, stop_at: int = stop_at) -> Any:
            if step == stop_at:
                context.stop.request(2)
            return made(self, step)

        monkeypatch.setattr(NextToken, "batch", batch)
        with pytest.raises(Interrupted):
            pretrain(settings, QWEN3, 3, *inputs, target, context)
    monkeypatch.setattr(NextToken, "batch", made)
    stopped = pretrain(settings, QWEN3, 3, *inputs, target, quiet_context()[0])
    assert stopped.digest == whole.digest
    kept = [
        (path.parents[1] / "log.jsonl").read_text().splitlines()
        for path in (whole.file("config.json"), stopped.file("config.json"))
    ]
    mixes = [[[v for k, v in json.loads(line).items() if k.startswith("mix/")] for line in lines] for lines in kept]
    assert mixes[0] == mixes[1]


def test_without_phases_an_epoch_is_all_windows_of_all_sources(mixed: dict[str, Artifact]) -> None:
    with NextToken(mixed["dataset"], config(batch_size=1, mixture={}), seed=3) as objective:
        count = objective.mixture.window_count
        epochs = [torch.cat([objective.batch(step + shift).ids for step in range(count)]) for shift in (0, count)]
    assert not torch.equal(epochs[0], epochs[1])
    assert sorted(epochs[0].tolist()) == sorted(epochs[1].tolist())
    assert sum(objective.facts(0, count).values()) == pytest.approx(1)


def test_what_cannot_be_is_refused_before_training(mixed: dict[str, Artifact], tmp_path: Path) -> None:
    for changes, kind, told in (
        ({"mixture": {"phases": [{"weights": {"aa": 1.0}}]}}, ConfigError, "no source aa"),
        ({"residency": "pinned"}, ResourceError, "residency is pinned"),
        ({"residency": "device"}, ResourceError, "residency is device"),
    ):
        with pytest.raises(kind, match=told):
            pretrain(config(**changes), QWEN3, 3, *mixed.values(), tmp_path / "r" / "final", quiet_context()[0])
    assert not (tmp_path / "r").exists()
