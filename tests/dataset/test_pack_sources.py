"""Datasets of several sources: each its own stream, one result for any number of workers, every token accounted for."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_corpus import SEED, publish_corpus, quiet_context, some_documents

from lumilab.artifact import Artifact
from lumilab.corpus.document import Document
from lumilab.corpus.shards import read_documents
from lumilab.dataset import pack
from lumilab.dataset.accounting import account
from lumilab.dataset.encoding import Piece
from lumilab.dataset.pack import build_dataset
from lumilab.dataset.shards import TokenShards
from lumilab.dataset.split import SPLITS, splitter
from lumilab.errors import DamageError, Interrupted
from lumilab.recipe.dataset import DatasetConfig
from lumilab.tokenizer.load import Tokenizer
from lumilab.work.context import WorkContext

SETTINGS: dict[str, Any] = {"window": 32, "validation_share": 0.2, "shard_tokens": 1_000, "workers": 1}
Build = Callable[..., Artifact]


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    """Documents of three sources in no order, the first of the second source, and one too short for a window."""
    parts = [some_documents(60, seed=number, source=name) for number, name in enumerate(("a", "b/ü", "c"))]
    first, *others = [document for number in (1, 0, 2) for document in parts[number]]
    random.Random(0).shuffle(others)
    lone = Document("lone:0", "One short text.", "lone")
    return publish_corpus(tmp_path_factory.mktemp("mixed") / "corpus", [first, *others, lone], 13)


@pytest.fixture(scope="module")
def build(mixed: Artifact, tokenizer: Artifact, tmp_path_factory: pytest.TempPathFactory) -> Build:
    """Packs the mixed corpus with given settings, each once."""
    done: dict[str, Artifact] = {}

    def packed(**settings: Any) -> Artifact:
        key = repr(settings)
        if key not in done:
            config = DatasetConfig.model_validate(SETTINGS | settings)
            target = tmp_path_factory.mktemp("packed") / "dataset"
            done[key] = build_dataset(config, SEED, mixed, tokenizer, target, quiet_context()[0])
        return done[key]

    return packed


def test_each_source_is_a_stream_of_its_own_in_the_order_of_first_documents(
    build: Build, mixed: Artifact, tokenizer: Artifact
) -> None:
    decoder, split_of = Tokenizer.load(tokenizer.path), splitter(SEED, 0.2)
    documents = list(read_documents(mixed))
    order = list(dict.fromkeys(document.source for document in documents))
    assert order[0] == "b/ü"
    for split in SPLITS:
        streams = TokenShards.open_sources(build(), split)
        mine = [document for document in documents if split_of(document.group) == split]
        assert [stream.source for stream in streams] == [s for s in order if any(d.source == s for d in mine)]
        for stream in streams:
            tokens = stream.read(0, stream.token_count)
            texts = [decoder.decode(ids) for ids in np.split(tokens, stream.document_ends[:-1])]
            assert texts == [document.text for document in mine if document.source == stream.source]
            assert stream.text_bytes == sum(len(text.encode()) for text in texts)


def test_a_whole_split_is_its_sources_one_after_the_other(build: Build) -> None:
    for split in SPLITS:
        whole, streams = TokenShards.open(build(), split), TokenShards.open_sources(build(), split)
        expected = np.concatenate([stream.read(0, stream.token_count) for stream in streams])
        assert len(streams) > 2
        np.testing.assert_array_equal(whole.read(0, whole.token_count), expected)
        assert whole.document_count == sum(stream.document_count for stream in streams)
        assert whole.text_bytes == sum(stream.text_bytes for stream in streams)
        ends, start = [], 0
        for stream in streams:
            ends.append(stream.document_ends + start)
            start += stream.token_count
        np.testing.assert_array_equal(whole.document_ends, np.concatenate(ends))
        for start in range(0, whole.token_count - 90, 77):
            np.testing.assert_array_equal(whole.read(start, 90), expected[start : start + 90])
            ends = whole.document_ends
            inside = ends[(ends > start) & (ends <= start + 90)] - start
            np.testing.assert_array_equal(whole.ends_within(start, 90), inside)


@pytest.mark.parametrize(
    "settings",
    [
        pytest.param({"workers": 2}, marks=pytest.mark.long),
        {"workers": 4},
        pytest.param({"workers": 2, "executor": "ray"}, marks=pytest.mark.long),
    ],
)
def test_any_number_of_workers_gives_the_same_bytes(build: Build, settings: dict[str, Any]) -> None:
    if "executor" in settings:
        pytest.importorskip("ray", reason="Ray is an extra")
    other = build(**settings)
    assert other.digest == build().digest
    assert list(other.problems()) == []
    assert other.manifest.statistics == build().manifest.statistics


@pytest.mark.parametrize(
    "settings", [{}, {"packing": "sliding"}, {"packing": "sliding", "overlap": 5}, {"packing": "best_fit"}], ids=str
)
def test_the_account_closes_whatever_the_packing(
    build: Build, mixed: Artifact, tokenizer: Artifact, settings: dict[str, Any]
) -> None:
    encoder = Tokenizer.load(tokenizer.path)
    dataset = build(**settings)
    statistics, documents = dataset.manifest.statistics, list(read_documents(mixed))
    account = statistics["tokens"]
    assert account["text"] == sum(len(encoder.encode(document.text)) for document in documents)
    assert account["marks"] == 2 * len(documents)
    assert account["text"] + account["marks"] == account["windows"] + sum(account["left_over"].values())
    assert statistics["train"]["windows"] == sum(source["windows"] for source in statistics["train"]["sources"])
    left_over = statistics["train"]["left_over"]
    for stream, counted in zip(TokenShards.open_sources(dataset, "train"), statistics["train"]["sources"], strict=True):
        assert stream.source == counted["source"]
        if stream.best_fit is not None:
            assert counted["windows"] == stream.best_fit.count
            continue
        stride = 32 - (settings.get("overlap", 16) if settings.get("packing") == "sliding" else 0)
        starts = range(0, max(0, stream.token_count - 32), stride)
        in_windows = {place for start in starts for place in range(start, start + 33)}
        assert (counted["windows"], counted["in_windows"]) == (len(starts), len(in_windows))
        assert sum(counted["left_over"].values()) == stream.token_count - len(in_windows)
    assert bool(left_over) == (settings.get("packing") != "best_fit")


def test_a_token_that_is_lost_is_a_defect_and_nothing_is_published() -> None:
    config = DatasetConfig(window=32)
    piece = Piece("train", "a", documents=1, tokens=100, text_tokens=98, bytes=300, number=0)
    held_back = Piece("validation", "a", documents=1, tokens=50, text_tokens=48, bytes=90, number=1)
    entry = {"source": "a", "documents": 1, "tokens": 100, "bytes": 300, "shards": []}
    other = {"source": "a", "documents": 1, "tokens": 50, "bytes": 90, "shards": []}
    written = {"train": [entry], "validation": [other]}
    assert account(config, [piece, held_back], written)["tokens"] == {
        "text": 146,
        "marks": 4,
        "windows": 147,
        "left_over": {"in no whole window": 3},
    }
    for change in ({"tokens": 99}, {"documents": 2}, {"bytes": 1}, {"source": "b"}):
        with pytest.raises(RuntimeError, match="does not close"):
            account(config, [piece, held_back], written | {"train": [entry | change]})


def test_a_corpus_short_of_documents_is_damaged(mixed: Artifact, tokenizer: Artifact, tmp_path: Path) -> None:
    mixed.manifest.statistics["documents"] = 1_000
    try:
        with pytest.raises(DamageError, match="181 documents, and its manifest says 1,000"):
            build_dataset(
                DatasetConfig.model_validate(SETTINGS), SEED, mixed, tokenizer, tmp_path / "d", quiet_context()[0]
            )
    finally:
        del mixed.manifest.statistics["documents"]
    assert list(tmp_path.iterdir()) == []


def test_a_stop_while_the_shards_are_written_keeps_what_is_encoded(
    build: Build, mixed: Artifact, tokenizer: Artifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = WorkContext(report=quiet_context()[0].report)

    def stop_now(*words: object) -> None:
        context.stop.request(15)
        context.stop.check()

    config = DatasetConfig.model_validate(SETTINGS)
    with monkeypatch.context() as broken:
        broken.setattr(pack, "_append", stop_now)
        with pytest.raises(Interrupted):
            build_dataset(config, SEED, mixed, tokenizer, tmp_path / "d", context)
    assert [path.name for path in tmp_path.iterdir()] == [".d.work"]

    def never_again(path: Path) -> None:
        raise AssertionError(f"{path} was encoded before")

    monkeypatch.setattr("lumilab.dataset.encoding.read_shard", never_again)
    again = build_dataset(config, SEED, mixed, tokenizer, tmp_path / "d", quiet_context()[0])
    assert again.digest == build().digest
    assert [path.name for path in tmp_path.iterdir()] == ["d"]
