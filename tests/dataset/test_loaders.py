"""Loaders for one's own loop: epochs, state as JSON for any number of devices, new weights, held-out windows."""

from __future__ import annotations

import json
import random
from collections import Counter
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_corpus import SEED, publish_corpus, quiet_context, some_documents

from lumilab.artifact import Artifact
from lumilab.dataset.loaders import TrainLoader, create_train_val_loaders
from lumilab.dataset.pack import build_dataset
from lumilab.dataset.shards import TokenShards
from lumilab.errors import ConfigError, InputError, MismatchError, ResourceError
from lumilab.recipe.dataset import DatasetConfig

PHASES = [{"weights": {"a": 0.7, "b": 0.3}, "tokens": 640}, {"weights": {"a": 0.2, "b": 0.5, "c": 0.3}}]


@pytest.fixture(scope="module")
def mixed(tokenizer: Artifact, tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    """A dataset of three sources in windows of 16."""
    folder = tmp_path_factory.mktemp("mixed")
    documents = [
        document for name, count in (("a", 30), ("b", 50), ("c", 20)) for document in some_documents(count, source=name)
    ]
    corpus = publish_corpus(folder / "corpus", documents)
    config = DatasetConfig(window=16, validation_share=0.2, shard_tokens=900)
    return build_dataset(config, SEED, corpus, tokenizer, folder / "dataset", quiet_context()[0])


def rows(loader: TrainLoader, steps: int) -> list[tuple[int, ...]]:
    """The next steps' rows of inputs, in order, over as many epochs as it takes."""
    found: list[tuple[int, ...]] = []
    while steps:
        for batch in loader:
            found += [tuple(row) for row in batch.inputs.tolist()]
            steps -= 1
            if not steps:
                break
    return found


def test_an_epoch_is_every_window_of_every_source(mixed: Artifact) -> None:
    train, _, info = create_train_val_loaders(mixed.path, batch_size=1, seed=5)
    shards = TokenShards.open_sources(mixed, "train")
    windows = [
        each.read(start, 17).tolist() for each in shards for start in range(0, each.token_count - 16, 16)
    ]  # fmt: skip
    assert info["train_windows"] == len(windows) == len(train) == info["steps_per_epoch"]
    assert info["sources"] == {each.source: (each.token_count - 1) // 16 for each in shards}
    for _ in range(2):
        seen = [batch.inputs[0].tolist() + batch.labels[0, -1:].tolist() for batch in train]
        assert sorted(seen) == sorted(windows) and seen != windows
    train.close()


def test_the_validation_split_is_seen_whole_in_order(mixed: Artifact) -> None:
    _, validation, info = create_train_val_loaders(mixed, batch_size=4)
    tokens = TokenShards.open(mixed, "validation")
    batches = list(validation)
    labels = torch.cat([batch.labels.flatten() for batch in batches])
    assert labels[labels != -100].tolist() == tokens.read(1, tokens.token_count - 1).tolist()
    assert len(batches) == len(validation) and sum(len(batch.inputs) for batch in batches) == info["validation_windows"]


@pytest.mark.parametrize("phases", [[], PHASES], ids=["natural", "two phases"])
def test_a_stopped_run_goes_on_with_any_devices_and_threads(mixed: Artifact, phases: list[dict[str, object]]) -> None:
    whole, _, _ = create_train_val_loaders(mixed, batch_size=8, phases=phases)
    expected = rows(whole, 60)
    found: list[tuple[int, ...]] = []
    state = whole.state_dict() | {"sample": 0}
    draw = random.Random(11)
    stops = [0, *sorted(draw.sample(range(1, 60), 9)), 60]
    for start, stop in pairwise(stops):
        steps, world_size, workers = stop - start, draw.choice((1, 2, 3, 8)), draw.choice((0, 1, 4))
        parts = []
        for rank in range(world_size):
            loader, _, _ = create_train_val_loaders(
                mixed, batch_size=8, phases=phases, rank=rank, world_size=world_size, workers=workers
            )
            with loader:
                loader.load_state_dict(json.loads(json.dumps(state)))
                parts.append(rows(loader, steps))
                after = loader.state_dict()
        sizes = [len(part) // steps for part in parts]
        for step in range(steps):
            for part, size in zip(parts, sizes, strict=True):
                found += part[step * size : (step + 1) * size]
        state = after
    assert found == expected
    assert state["sample"] == 480


def test_another_batch_size_goes_on_at_the_sample(mixed: Artifact) -> None:
    whole, _, _ = create_train_val_loaders(mixed, batch_size=1, phases=PHASES)
    expected = rows(whole, 50)
    first, _, _ = create_train_val_loaders(mixed, batch_size=7, phases=PHASES)
    # Phases are rounded to whole batches, so the plan is the first loader's: it is part of the state.
    second, _, _ = create_train_val_loaders(mixed, batch_size=4, phases=PHASES)
    second.load_state_dict(whole.state_dict() | {"sample": 14})
    assert rows(second, 9) == expected[14:50]
    state = first.state_dict()
    assert [segment["from_sample"] for segment in state["segments"]] == [0, 42]
    assert set(state) == {"sample", "seed", "dataset", "segments"}


def test_new_weights_from_now_on_or_later(mixed: Artifact) -> None:
    before, _, _ = create_train_val_loaders(mixed, batch_size=4, phases=PHASES)
    expected = rows(before, 20)
    loader, _, _ = create_train_val_loaders(mixed, batch_size=4, phases=PHASES)
    found = rows(loader, 5)
    loader.extend({"c": 1}, from_sample=32)
    found += rows(loader, 3)
    assert found == expected[:32]
    assert loader.mixture.shares(32, 100)["c"] == 1
    state = loader.state_dict()
    again, _, _ = create_train_val_loaders(mixed, batch_size=4)
    again.load_state_dict(state)
    assert rows(again, 10) == rows(loader, 10)
    with pytest.raises(ConfigError, match="given out already"):
        loader.extend({"a": 1}, from_sample=3)
    with pytest.raises(ConfigError, match="no source d"):
        loader.extend({"d": 1})
    for each in (before, loader, again):
        each.close()


def test_held_out_windows_are_never_trained_on(mixed: Artifact) -> None:
    everything, _, _ = create_train_val_loaders(mixed, batch_size=1)
    train, validation, info = create_train_val_loaders(mixed, batch_size=1, val_split=0.2)
    trained = Counter(rows(train, len(train)))
    held = Counter(tuple(row) for batch in validation for row in batch.inputs.tolist())
    assert trained + held == Counter(rows(everything, len(everything)))
    assert abs(info["validation_windows"] - 0.2 * len(everything)) <= 1.5  # rounded in each of three sources
    again, _, _ = create_train_val_loaders(mixed, batch_size=1, val_split=0.2, seed=43)
    assert Counter(rows(again, len(again))) != trained
    with pytest.raises(MismatchError, match="another dataset"):
        train.load_state_dict(everything.state_dict())


def test_boundaries_come_with_the_batches(mixed: Artifact) -> None:
    loader, _, _ = create_train_val_loaders(mixed, batch_size=4, boundaries=True)
    batch = next(iter(loader))
    assert batch.cu_seqlens is not None and batch.positions is not None and batch.documents is not None
    assert batch.cu_seqlens.dtype is torch.int32
    assert (batch.cu_seqlens[0], batch.cu_seqlens[-1]) == (0, 64)
    # A document begins with the token <|bos|>, 1, and in this corpus no other token is that.
    begins = np.flatnonzero(batch.inputs.flatten().numpy() == 1)
    assert sorted({*begins.tolist(), 0, 16, 32, 48, 64}) == batch.cu_seqlens.tolist()
    assert (batch.positions.flatten()[begins] == 0).all()


def test_a_run_folder_stands_for_its_dataset(mixed: Artifact, tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text(json.dumps({"stages": {"dataset": {"path": str(mixed.path)}}}))
    assert create_train_val_loaders(str(tmp_path))[2]["dataset"] == mixed.digest
    (tmp_path / "run.json").write_text(json.dumps({"stages": {}}))
    with pytest.raises(InputError, match="no dataset yet"):
        create_train_val_loaders(tmp_path)
    with pytest.raises(InputError, match="does not exist"):
        create_train_val_loaders(tmp_path / "nothing")


def test_what_cannot_be_is_refused(mixed: Artifact, tokenizer: Artifact) -> None:
    with pytest.raises(MismatchError, match="Expected a dataset"):
        create_train_val_loaders(tokenizer.path)
    with pytest.raises(ConfigError, match="val_split"):
        create_train_val_loaders(mixed, val_split=1.5)
    with pytest.raises(InputError, match="val_split"):
        create_train_val_loaders(mixed, val_split=1e-9)
    with pytest.raises(ConfigError, match="phases cannot be used"):
        create_train_val_loaders(mixed, phases=[{"weight": {"a": 1}}])
    with pytest.raises(ConfigError, match="no source d"):
        create_train_val_loaders(mixed, phases=[{"weights": {"d": 1}}])
    for residency in ("pinned", "device"):
        with pytest.raises(ResourceError, match="needs a CUDA device"):
            create_train_val_loaders(mixed, residency=residency)


def test_the_state_of_another_run_is_refused(mixed: Artifact, dataset: Artifact) -> None:
    loader, _, _ = create_train_val_loaders(mixed)
    for other in (create_train_val_loaders(mixed, seed=1)[0], create_train_val_loaders(dataset)[0]):
        with pytest.raises(MismatchError, match="of another"):
            loader.load_state_dict(other.state_dict())
