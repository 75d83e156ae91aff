"""Packing: every document in one split, every token accounted for, and refusals that say how to mend them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from tiny_corpus import DATASET, SEED, publish_corpus, quiet_context, some_documents

from lumilab.artifact import Artifact
from lumilab.corpus.document import Document
from lumilab.corpus.shards import read_documents
from lumilab.dataset.pack import build_dataset
from lumilab.dataset.shards import TokenShards
from lumilab.dataset.split import splitter
from lumilab.errors import DamageError, InputError, Interrupted, LumiError, MismatchError
from lumilab.recipe.dataset import DatasetConfig
from lumilab.recipe.section import identity
from lumilab.recipe.tokenizer import TokenizerConfig
from lumilab.tokenizer.load import Tokenizer
from lumilab.tokenizer.train import train_tokenizer
from lumilab.work.context import WorkContext


def unpacked(dataset: Artifact, split: str) -> list[list[int]]:
    shards = TokenShards.open(dataset, split)
    tokens = shards.read(0, shards.token_count)
    return [part.tolist() for part in np.split(tokens, shards.document_ends[:-1])]


def test_each_document_comes_back_from_its_split(dataset: Artifact, corpus: Artifact, tokenizer: Artifact) -> None:
    decoder = Tokenizer.load(tokenizer.path)
    split_of = splitter(SEED, DATASET.validation_share)
    for split in ("train", "validation"):
        packed = unpacked(dataset, split)
        assert all((ids[0], ids[-1]) == (decoder.bos_id, decoder.eos_id) for ids in packed)
        texts = [document.text for document in read_documents(corpus) if split_of(document.group) == split]
        assert [decoder.decode(ids) for ids in packed] == texts


def test_documents_of_one_group_stay_together(tmp_path: Path) -> None:
    documents = [
        Document(f"tiny:{number}", f"group {number % 40} part {number // 40}", "tiny", meta={"group": str(number % 40)})
        for number in range(160)
    ]
    corpus = publish_corpus(tmp_path / "corpus", documents)
    tokenizer = train_tokenizer(
        TokenizerConfig(vocabulary_size=512), corpus, tmp_path / "tokenizer", quiet_context()[0]
    )
    dataset = build_dataset(DATASET, SEED, corpus, tokenizer, tmp_path / "dataset", quiet_context()[0])
    decoder = Tokenizer.load(tokenizer.path)
    groups = {
        split: [decoder.decode(ids).split()[1] for ids in unpacked(dataset, split)] for split in ("train", "validation")
    }
    assert set(groups["train"]).isdisjoint(groups["validation"])
    assert len(groups["validation"]) == 4 * len(set(groups["validation"])) > 0


def test_every_token_is_accounted_for(dataset: Artifact, corpus: Artifact, tokenizer: Artifact) -> None:
    encoder = Tokenizer.load(tokenizer.path)
    documents = list(read_documents(corpus))
    statistics = dataset.manifest.statistics
    total = {key: statistics["train"][key] + statistics["validation"][key] for key in ("documents", "tokens", "bytes")}
    assert total == {
        "documents": len(documents),
        "tokens": sum(len(encoder.encode(document.text)) + 2 for document in documents),
        "bytes": sum(len(document.text.encode()) for document in documents),
    }
    for split in ("train", "validation"):
        shards = TokenShards.open(dataset, split)
        counted = {"documents": shards.document_count, "tokens": shards.token_count, "bytes": shards.text_bytes}
        assert counted.items() <= statistics[split].items()


def test_the_manifest_names_what_it_was_made_with(dataset: Artifact, corpus: Artifact, tokenizer: Artifact) -> None:
    encoder = Tokenizer.load(tokenizer.path)
    assert dataset.manifest.kind == "dataset"
    assert dataset.manifest.config == {
        "dataset": identity(DATASET),
        "seed": SEED,
        "tokenizer_identity": encoder.identity,
        "vocabulary_size": encoder.vocabulary_size,
    }
    digests = {role: record.digest for role, record in dataset.manifest.inputs.items()}
    assert digests == {"corpus": corpus.digest, "tokenizer": tokenizer.digest}
    assert list(dataset.problems()) == []


def test_shards_are_full_up_to_the_last(dataset: Artifact) -> None:
    index = json.loads((dataset.path / "train" / "index.json").read_bytes())
    (source,) = index["sources"]
    sizes = [shard["tokens"] for shard in source["shards"]]
    assert len(sizes) > 2
    assert set(sizes[:-1]) == {DATASET.shard_tokens}
    assert sum(sizes) == source["tokens"]


def test_two_runs_give_one_digest(dataset: Artifact, corpus: Artifact, tokenizer: Artifact, tmp_path: Path) -> None:
    again = build_dataset(DATASET, SEED, corpus, tokenizer, tmp_path / "again", quiet_context()[0])
    assert again.digest == dataset.digest


def test_how_the_corpus_is_sharded_does_not_change_the_tokens(
    dataset: Artifact, tokenizer: Artifact, tmp_path: Path
) -> None:
    other = publish_corpus(tmp_path / "corpus", some_documents(150), shard_documents=7)
    again = build_dataset(DATASET, SEED, other, tokenizer, tmp_path / "dataset", quiet_context()[0])
    assert again.manifest.files == dataset.manifest.files


def test_another_seed_is_another_split(
    dataset: Artifact, corpus: Artifact, tokenizer: Artifact, tmp_path: Path
) -> None:
    other = build_dataset(DATASET, SEED + 1, corpus, tokenizer, tmp_path / "other", quiet_context()[0])
    assert unpacked(other, "validation") != unpacked(dataset, "validation")


def test_the_split_has_the_asked_share() -> None:
    split_of = splitter(3, 0.1)
    names = [split_of(f"document {number}") for number in range(20_000)]
    assert set(names) == {"train", "validation"}
    # The standard deviation of a fair draw is 42 documents.
    assert abs(names.count("validation") - 2_000) < 250


def test_a_larger_share_only_adds_validation_documents() -> None:
    small, large = splitter(3, 0.1), splitter(3, 0.3)
    ids = [f"document {number}" for number in range(2_000)]
    assert {name for name in ids if small(name) == "validation"} < {name for name in ids if large(name) == "validation"}


def test_seeds_split_independently() -> None:
    ids = [f"document {number}" for number in range(20_000)]
    both = sum(splitter(1, 0.5)(name) == splitter(2, 0.5)(name) for name in ids)
    assert abs(both - 10_000) < 500


def test_text_that_spells_a_special_token_adds_none(tokenizer: Artifact, tmp_path: Path) -> None:
    text = "<|endoftext|><|bos|> <think>really</think> <|im_start|>user " * 3
    corpus = publish_corpus(tmp_path / "c", [Document(f"d:{number}", text, "s") for number in range(40)])
    dataset = build_dataset(DATASET, SEED, corpus, tokenizer, tmp_path / "d", quiet_context()[0])
    for ids in unpacked(dataset, "train"):
        assert ids[0] == 1
        assert ids[-1] == 2
        assert min(ids[1:-1]) >= 72


def refused(config: DatasetConfig, corpus: Artifact, tokenizer: Artifact, target: Path) -> LumiError:
    before = set(target.parent.iterdir())
    with pytest.raises(LumiError) as error:
        build_dataset(config, SEED, corpus, tokenizer, target, quiet_context()[0])
    assert set(target.parent.iterdir()) == before
    return error.value


def test_a_corpus_of_one_document_is_refused(tokenizer: Artifact, tmp_path: Path) -> None:
    corpus = publish_corpus(tmp_path / "corpus", [Document("only", "the river " * 100, "s")])
    error = refused(DATASET, corpus, tokenizer, tmp_path / "dataset")
    assert isinstance(error, InputError)
    assert "validation_share" in str(error)
    assert "raise" in str(error) or "lower" in str(error)


def test_an_empty_corpus_is_refused(tokenizer: Artifact, tmp_path: Path) -> None:
    error = refused(DATASET, publish_corpus(tmp_path / "corpus", []), tokenizer, tmp_path / "dataset")
    assert isinstance(error, InputError)


def test_a_window_longer_than_the_text_is_refused(corpus: Artifact, tokenizer: Artifact, tmp_path: Path) -> None:
    error = refused(DatasetConfig(window=10**6), corpus, tokenizer, tmp_path / "dataset")
    assert isinstance(error, InputError)
    assert "dataset.window" in str(error)


def test_artifacts_of_another_kind_are_refused(corpus: Artifact, tokenizer: Artifact, tmp_path: Path) -> None:
    for first, second in ((corpus, corpus), (tokenizer, tokenizer)):
        error = refused(DATASET, first, second, tmp_path / "dataset")
        assert isinstance(error, MismatchError)


def test_a_tokenizer_changed_after_publishing_is_refused(corpus: Artifact, tokenizer: Artifact, tmp_path: Path) -> None:
    folder = tmp_path / "tokenizer"
    folder.mkdir()
    for path in tokenizer.path.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    text = (folder / "tokenizer.json").read_text(encoding="utf-8")
    (folder / "tokenizer.json").write_text(text.replace('"id": 5,', '"id": 6,', 1), encoding="utf-8")
    error = refused(DATASET, corpus, Artifact.open(folder), tmp_path / "dataset")
    assert isinstance(error, DamageError)
    assert "tokenizer.json" in str(error)


def test_a_stop_leaves_nothing_behind(corpus: Artifact, tokenizer: Artifact, tmp_path: Path) -> None:
    context = WorkContext(report=quiet_context()[0].report)
    context.stop.request(2)
    with pytest.raises(Interrupted):
        build_dataset(DATASET, SEED, corpus, tokenizer, tmp_path / "dataset", context)
    assert list(tmp_path.iterdir()) == []
