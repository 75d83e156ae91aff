"""Baselines against the command-line compressors and counts by hand."""

from __future__ import annotations

import gzip
import lzma
import math
import shutil
import subprocess
from collections import Counter

import numpy as np
import pytest
from tiny_chat import SEED
from tiny_corpus import quiet_context

from lumilab.artifact import Artifact
from lumilab.corpus.shards import read_documents
from lumilab.dataset.shards import TokenShards
from lumilab.dataset.split import splitter
from lumilab.errors import Interrupted
from lumilab.evaluation import baselines
from lumilab.evaluation.heldback import HeldBackText
from lumilab.tokenizer.load import Tokenizer


@pytest.fixture
def text(dataset: Artifact, tokenizer: Tokenizer) -> HeldBackText:
    return HeldBackText.of(dataset, tokenizer, limit=None)


@pytest.fixture
def validation_bytes(dataset: Artifact) -> bytes:
    """The text of the validation documents, straight from the corpus."""
    corpus = Artifact.open((dataset.path / dataset.manifest.inputs["corpus"].path).resolve())
    split_of = splitter(SEED, 0.2)
    documents = [item.text for item in read_documents(corpus) if split_of(item.id) == "validation"]
    return "".join(documents).encode()


def bits(text: HeldBackText, command: str) -> float:
    return baselines.compressed_bits_per_byte(text, command, quiet_context()[0])


def test_the_text_is_that_of_the_validation_documents(text: HeldBackText, validation_bytes: bytes) -> None:
    assert b"".join(text.text()) == validation_bytes
    assert sum(text.size(labels) for labels in text.labels()) == len(validation_bytes)


@pytest.mark.parametrize(
    ("command", "compress"),
    [
        ("gzip -9", lambda data: gzip.compress(data, 9)),
        ("xz -9", lambda data: lzma.compress(data, preset=9)),
        ("xz -9e", lambda data: lzma.compress(data, preset=9 | lzma.PRESET_EXTREME)),
    ],
)
def test_compressors_are_those_of_the_library(
    text: HeldBackText, validation_bytes: bytes, command: str, compress
) -> None:  # type: ignore[no-untyped-def]
    assert bits(text, command) == 8 * len(compress(validation_bytes)) / len(validation_bytes)


@pytest.mark.parametrize("command", list(baselines.COMPRESSORS))
def test_compressors_are_those_of_the_command_line(text: HeldBackText, validation_bytes: bytes, command: str) -> None:
    words = command.split()
    if shutil.which(words[0]) is None:
        pytest.skip(f"{words[0]} is not installed")
    output = subprocess.run([*words, "-c"], input=validation_bytes, stdout=subprocess.PIPE, check=True).stdout
    assert bits(text, command) == pytest.approx(8 * len(output) / len(validation_bytes), rel=0.01)


def test_how_the_text_is_cut_makes_no_difference(text: HeldBackText, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = bits(text, "gzip -9")
    monkeypatch.setattr(baselines, "CHUNK_BYTES", 100)
    assert bits(text, "gzip -9") == whole


def test_token_counts_by_hand(dataset: Artifact, monkeypatch: pytest.MonkeyPatch) -> None:
    shards = TokenShards.open(dataset, "train")
    expected = Counter(shards.read(0, shards.token_count).tolist())
    monkeypatch.setattr(baselines, "COUNTED_TOKENS", 1000)
    counts = baselines.count_tokens(shards, 512, quiet_context()[0])
    assert counts.tolist() == [expected[token] for token in range(512)]


def test_unigram_by_hand(dataset: Artifact, text: HeldBackText) -> None:
    size = text.tokenizer.vocabulary_size
    training = TokenShards.open(dataset, "train")
    counts = Counter(training.read(0, training.token_count).tolist())
    labels = [token for part in text.labels() for token in part.tolist()]
    nats = -sum(math.log((counts[token] + 1) / (training.token_count + size)) for token in labels)
    ranked = sorted(range(size), key=lambda token: (-counts[token], token))
    prediction = baselines.predict_by_frequency(text, training, quiet_context()[0])
    assert prediction.tokens == len(labels) == text.shards.token_count - 1
    assert prediction.nats == pytest.approx(nats)
    assert prediction.hits == {rank: sum(token in ranked[:rank] for token in labels) for rank in (1, 5, 10)}


def test_a_stop_is_heard(text: HeldBackText, dataset: Artifact) -> None:
    context, _ = quiet_context()
    context.stop.request(15)
    with pytest.raises(Interrupted):
        baselines.compressed_bits_per_byte(text, "gzip -9", context)
    with pytest.raises(Interrupted):
        baselines.count_tokens(TokenShards.open(dataset, "train"), 512, context)


def test_a_sample_is_spread_over_the_text(text: HeldBackText) -> None:
    sample = text.sample(3)
    assert sample.count == 3 < text.count
    first = np.concatenate([inputs for inputs, _ in sample.batches()])[:, 0]
    everything = np.concatenate([inputs for inputs, _ in text.batches()])[:, 0]
    assert first.tolist() == [everything[place * text.count // 3] for place in range(3)]
    assert text.sample(10**6).count == text.count
