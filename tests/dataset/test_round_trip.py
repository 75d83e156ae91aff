"""What was packed comes back: decode(pack(text)) is the text, document by document."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_corpus import publish_corpus, quiet_context

from lumilab.artifact import Artifact
from lumilab.corpus.document import Document
from lumilab.corpus.shards import read_documents
from lumilab.dataset.pack import build_dataset
from lumilab.dataset.shards import TokenShards
from lumilab.dataset.split import SPLITS, splitter
from lumilab.recipe.dataset import DatasetConfig
from lumilab.recipe.tokenizer import TokenizerConfig
from lumilab.tokenizer.load import Tokenizer
from lumilab.tokenizer.train import train_tokenizer

SEED = 5
# Characters that have broken tokenizers: blanks of all kinds, marks that combine, joiners, surrogate-pair territory,
# the ends of planes, private use, and pieces of special tokens.
NASTY = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=40),
    st.text(st.sampled_from(" \t\n\r\v\f\x00\x1c\x85\u00a0\u2028\u2029\u3000\ufeff"), max_size=12),
    st.text(st.sampled_from("e\u0301\u0308\u200d\u200c\ufe0f👩🏽‍🚀🇫🇷กำ각\U0010ffff\ue000\uffff"), max_size=12),
    st.text(st.sampled_from("0123456789"), max_size=30),
    st.sampled_from(["<|endoftext|>", "<|bos|>", "<|im_start|>user\n", "</think>", "<|", "<0x0A>", "Ġ", "▁"]),
)
TEXTS = st.lists(NASTY, max_size=8).map("".join)


def check_round_trip(corpus: Artifact, tokenizer: Artifact, dataset: Artifact, split_of_share: float) -> int:
    """Compares every document with its tokens; returns how many there are."""
    decoder, split_of = Tokenizer.load(tokenizer.path), splitter(SEED, split_of_share)
    streams = {
        (split, shards.source): packed_documents(shards)
        for split in SPLITS
        for shards in TokenShards.open_sources(dataset, split)
    }
    count = 0
    for document in read_documents(corpus):
        ids = next(streams[split_of(document.group), document.source])
        assert (ids[0], ids[-1]) == (decoder.bos_id, decoder.eos_id)
        assert decoder.decode(ids) == document.text, document.id
        count += 1
    assert all(next(stream, None) is None for stream in streams.values()), "no token is left"
    return count


def packed_documents(shards: TokenShards) -> Iterator[list[int]]:
    start = 0
    for end in shards.document_ends.tolist():
        yield shards.read(start, end - start).tolist()
        start = end
    assert start == shards.token_count


@given(texts=st.lists(TEXTS, min_size=10, max_size=40))
@settings(max_examples=10)
def test_any_text_comes_back(tmp_path_factory: pytest.TempPathFactory, tokenizer: Artifact, texts: list[str]) -> None:
    folder = tmp_path_factory.mktemp("nasty")
    # What is in no doubt: enough documents for both splits, and for a window.
    documents = [*texts, *(f"plain text {number}" for number in range(30))]
    corpus = publish_corpus(
        folder / "corpus", [Document(f"d:{number}", text, "ab"[number % 2]) for number, text in enumerate(documents)], 9
    )
    config = DatasetConfig(window=16, validation_share=0.4, shard_tokens=300, workers=1)
    dataset = build_dataset(config, SEED, corpus, tokenizer, folder / "dataset", quiet_context()[0])
    assert check_round_trip(corpus, tokenizer, dataset, 0.4) == len(documents)


def test_a_long_line_comes_back(tokenizer: Artifact, tmp_path: Path) -> None:
    """One document of many batches' length, without a line break, longer than the shards."""
    draw = np.random.default_rng(0)
    line = "".join(map(chr, draw.integers(32, 0x2FFF, 700_000)))
    documents = [Document("long", line, "a"), *(Document(f"d:{number}", "short", "a") for number in range(40))]
    corpus = publish_corpus(tmp_path / "corpus", documents)
    config = DatasetConfig(window=16, validation_share=0.4, shard_tokens=100_000, workers=1, packing="best_fit")
    dataset = build_dataset(config, SEED, corpus, tokenizer, tmp_path / "dataset", quiet_context()[0])
    assert check_round_trip(corpus, tokenizer, dataset, 0.4) == 41


@pytest.mark.long
@pytest.mark.timeout(1200)
def test_all_of_the_wikipedia_comes_back(shared_data: Path, tmp_path: Path) -> None:
    def articles() -> Iterator[Document]:
        for path in sorted((shared_data / "wikipedia-en-2015").glob("*.jsonl.gz")):
            with gzip.open(path, "rt", encoding="utf-8") as lines:
                for number, line in enumerate(lines):
                    yield Document(f"{path.name}:{number}", json.loads(line)["text"], "wikipedia")

    corpus = publish_corpus(tmp_path / "corpus", articles(), 500)
    settings = TokenizerConfig(vocabulary_size=8192, train_characters=2_000_000)
    tokenizer = train_tokenizer(settings, corpus, tmp_path / "tokenizer", quiet_context()[0])
    config = DatasetConfig(shard_tokens=1_000_000)
    dataset = build_dataset(config, SEED, corpus, tokenizer, tmp_path / "dataset", quiet_context()[0])
    assert check_round_trip(corpus, tokenizer, dataset, config.validation_share) == sum(1 for _ in articles())
