"""Learning: against a naive trainer written from the paper, and the same file every time on any number of cores."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from itertools import pairwise
from pathlib import Path

import pytest
import regex
from tiny_corpus import publish_corpus, quiet_context, some_documents
from transformers.models.qwen2.tokenization_qwen2 import PRETOKENIZE_REGEX

from lumilab.artifact import Artifact
from lumilab.corpus.document import Document
from lumilab.errors import InputError, Interrupted
from lumilab.recipe.tokenizer import TokenizerConfig
from lumilab.tokenizer.load import Tokenizer
from lumilab.tokenizer.plan import tokenizer_identity
from lumilab.tokenizer.train import train_tokenizer

SMALL = TokenizerConfig(vocabulary_size=512)


def learn(corpus: Artifact, target: Path, config: TokenizerConfig = SMALL) -> Artifact:
    return train_tokenizer(config, corpus, target, quiet_context()[0])


def naive_merges(texts: list[str], count: int, first_bytes: dict[bytes, int]) -> list[tuple[bytes, bytes]]:
    """Byte-pair encoding as in Sennrich et al. 2016, algorithm 1; among equally frequent pairs the lowest ids win."""
    words = Counter(
        tuple(bytes([byte]) for byte in piece.encode())
        for text in texts
        for piece in regex.findall(PRETOKENIZE_REGEX, text)
    )
    ids = dict(first_bytes)
    merges = []
    while len(merges) < count:
        pairs: Counter[tuple[bytes, bytes]] = Counter()
        for word, times in words.items():
            for pair in pairwise(word):
                pairs[pair] += times
        best = min(pairs, key=lambda pair: (-pairs[pair], ids[pair[0]], ids[pair[1]]))
        if pairs[best] < 2:
            break
        merges.append(best)
        ids.setdefault(best[0] + best[1], len(ids) + 72)
        words = Counter({merged(word, best): times for word, times in words.items()})
    return merges


def merged(word: tuple[bytes, ...], pair: tuple[bytes, bytes]) -> tuple[bytes, ...]:
    result: list[bytes] = []
    place = 0
    while place < len(word):
        if word[place : place + 2] == pair:
            result.append(pair[0] + pair[1])
            place += 2
        else:
            result.append(word[place])
            place += 1
    return tuple(result)


def test_the_merges_are_those_of_a_naive_trainer(tmp_path: Path) -> None:
    documents = some_documents(40)
    trained = learn(publish_corpus(tmp_path / "corpus", documents), tmp_path / "tokenizer")
    tokenizer = Tokenizer.load(trained.path)
    first_bytes = {tokenizer.token_bytes(token): token for token in range(72, 328)}
    expected = naive_merges([document.text for document in documents], 512 - 328, first_bytes)
    learned = [tokenizer.token_bytes(token) for token in range(328, tokenizer.vocabulary_size)]
    assert learned == [left + right for left, right in expected]


def test_the_file_says_what_gguf_readers_look_for(trained: Artifact) -> None:
    definition = json.loads((trained.path / "tokenizer.json").read_text(encoding="utf-8"))
    split, byte_level = definition["pre_tokenizer"]["pretokenizers"]
    assert split["pattern"] == {"Regex": PRETOKENIZE_REGEX}
    assert (split["behavior"], split["invert"]) == ("Isolated", False)
    assert (byte_level["type"], byte_level["add_prefix_space"], byte_level["use_regex"]) == ("ByteLevel", False, False)
    assert definition["normalizer"] is None
    assert definition["post_processor"] is None
    assert definition["decoder"]["type"] == "ByteLevel"


def test_two_runs_give_equal_bytes(corpus: Artifact, trained: Artifact, tmp_path: Path) -> None:
    again = learn(corpus, tmp_path / "again")
    assert again.digest == trained.digest
    assert (again.path / "tokenizer.json").read_bytes() == (trained.path / "tokenizer.json").read_bytes()


@pytest.mark.parametrize("threads", [pytest.param("1", marks=pytest.mark.long), "3"])
def test_the_number_of_threads_changes_nothing(
    corpus: Artifact, trained: Artifact, tmp_path: Path, threads: str
) -> None:
    script = (
        "import sys, pathlib\n"
        "from lumilab.artifact import Artifact\n"
        "from lumilab.recipe.tokenizer import TokenizerConfig\n"
        "from lumilab.tokenizer.train import train_tokenizer\n"
        "from lumilab.work.context import WorkContext\n"
        "corpus, target = map(pathlib.Path, sys.argv[1:])\n"
        "train_tokenizer(TokenizerConfig(vocabulary_size=512), Artifact.open(corpus), target, WorkContext())\n"
    )
    target = tmp_path / "tokenizer"
    environment = os.environ | {"RAYON_NUM_THREADS": threads, "PYTHONHASHSEED": threads}
    command = [sys.executable, "-c", script, str(corpus.path), str(target)]
    subprocess.run(command, check=True, env=environment, capture_output=True)
    assert Artifact.open(target).digest == trained.digest


def test_the_artifact_names_its_corpus_and_settings(corpus: Artifact, trained: Artifact) -> None:
    assert trained.manifest.kind == "tokenizer"
    assert trained.manifest.config == {"tokenizer": tokenizer_identity(SMALL)}
    assert trained.manifest.inputs["corpus"].digest == corpus.digest
    assert set(trained.manifest.files) == {"tokenizer.json", "card.json", "TOKENIZER_CARD.md"}
    assert list(trained.problems()) == []


def test_a_small_corpus_gives_a_small_vocabulary_and_says_so(tmp_path: Path) -> None:
    corpus = publish_corpus(tmp_path / "corpus", [Document("one", "ab ab cd", "s")])
    context, said = quiet_context()
    trained = train_tokenizer(SMALL, corpus, tmp_path / "tokenizer", context)
    # 72 reserved, 256 bytes, and two pairs that occur twice: "ab" at the start, " a" + "b" need three of them.
    tokenizer = Tokenizer.load(trained.path)
    assert tokenizer.vocabulary_size == trained.manifest.statistics["vocabulary_size"]
    assert [tokenizer.token_bytes(token) for token in range(328, tokenizer.vocabulary_size)] == [b"ab"]
    assert "329" in said.getvalue()
    card = json.loads((trained.path / "card.json").read_bytes())
    assert (card["vocabulary_size"], card["vocabulary_asked"]) == (329, 512)
    assert tokenizer.decode(tokenizer.encode("zebra 東京")) == "zebra 東京"


def test_learning_stays_near_the_characters_asked(corpus: Artifact, tmp_path: Path) -> None:
    config = TokenizerConfig(vocabulary_size=512, train_characters=5_000)
    trained = learn(corpus, tmp_path / "tokenizer", config)
    card = json.loads((trained.path / "card.json").read_bytes())
    assert 4_000 < card["trained_on_characters"] <= 5_000


def test_min_frequency_is_kept(tmp_path: Path) -> None:
    corpus = publish_corpus(tmp_path / "corpus", [Document("one", "xy " * 7 + "zw " * 4, "s")])
    trained = learn(corpus, tmp_path / "t", TokenizerConfig(vocabulary_size=512, min_frequency=5))
    tokenizer = Tokenizer.load(trained.path)
    learned = {tokenizer.token_bytes(token) for token in range(328, tokenizer.vocabulary_size)}
    assert learned == {b"xy", b" xy"}


@pytest.mark.parametrize("documents", [[], [Document("empty", "", "s")]])
def test_a_corpus_without_text_is_refused(tmp_path: Path, documents: list[Document]) -> None:
    corpus = publish_corpus(tmp_path / "corpus", documents)
    with pytest.raises(InputError, match="no text"):
        learn(corpus, tmp_path / "tokenizer")
    assert not (tmp_path / "tokenizer").exists()


def test_a_stop_leaves_nothing_behind(corpus: Artifact, tmp_path: Path) -> None:
    context, _ = quiet_context()
    context.stop.request(15)
    with pytest.raises(Interrupted):
        train_tokenizer(SMALL, corpus, tmp_path / "tokenizer", context)
    assert list(tmp_path.iterdir()) == []
