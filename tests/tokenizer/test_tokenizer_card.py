"""The card's figures, counted again here, and its page."""

from __future__ import annotations

import json
from typing import Any

import pytest

from lumilab.artifact import Artifact
from lumilab.corpus.shards import read_documents
from lumilab.tokenizer.load import Tokenizer


@pytest.fixture(scope="module")
def card(trained: Artifact) -> dict[str, Any]:
    return dict(json.loads((trained.path / "card.json").read_bytes()))


def test_the_figures_of_each_source(card: dict[str, Any], corpus: Artifact, tokenizer: Tokenizer) -> None:
    documents = list(read_documents(corpus))
    assert set(card["sources"]) == {document.source for document in documents}
    for source, figures in card["sources"].items():
        texts = [document.text for document in documents if document.source == source]
        tokens = sum(len(tokenizer.encode(text)) for text in texts)
        size = sum(len(text.encode()) for text in texts)
        words = sum(len(text.split()) for text in texts)
        assert (figures["documents"], figures["bytes"], figures["tokens"]) == (len(texts), size, tokens)
        assert figures["bytes_per_token"] == pytest.approx(size / tokens, abs=1e-4)
        assert figures["tokens_per_word"] == pytest.approx(tokens / words, abs=1e-4)


def test_the_sum_and_the_vocabulary(card: dict[str, Any], corpus: Artifact, tokenizer: Tokenizer) -> None:
    for key in ("documents", "bytes", "tokens", "words"):
        assert card["all"][key] == sum(figures[key] for figures in card["sources"].values())
    used = {token for document in read_documents(corpus) for token in tokenizer.encode(document.text)}
    assert card["vocabulary_used"]["tokens"] == len(used)
    assert card["vocabulary_used"]["share"] == pytest.approx(len(used) / (tokenizer.vocabulary_size - 72), abs=1e-4)
    assert card["round_trip"] == {"documents": 160, "changed": []}
    assert card["identity"] == tokenizer.identity


def test_the_longest_tokens(card: dict[str, Any], tokenizer: Tokenizer) -> None:
    lengths = sorted((len(tokenizer.token_bytes(token)) for token in range(tokenizer.vocabulary_size)), reverse=True)
    assert [entry["bytes"] for entry in card["longest_tokens"]] == lengths[:20]
    assert all(len(tokenizer.token_bytes(entry["id"])) == entry["bytes"] for entry in card["longest_tokens"])


def test_the_page_is_a_table_that_holds(trained: Artifact) -> None:
    page = (trained.path / "TOKENIZER_CARD.md").read_text(encoding="utf-8")
    mix, fit = [line for line in page.splitlines() if line.startswith("| ") and "tiny" in line]
    assert mix.count("|") == 4
    assert fit.count("|") == 7
    assert "other\\|one" in page
    assert "160 of 160 documents come back unchanged" in page
