"""The compiled way to learn merges against the trainer of `tokenizers`: the same words, the same file."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_corpus import some_documents
from tokenizers import Regex, pre_tokenizers

from lumilab.tokenizer.byte_pairs import QWEN2_PATTERN
from lumilab.tokenizer.learn_byte_level import learn_by_reference, learn_compiled
from lumilab.tokenizer.probe import probe_texts
from lumilab.tokenizer.word_counts import WordCounts, classes_of

SPLIT = pre_tokenizers.Split(Regex(QWEN2_PATTERN), behavior="isolated")


def counted(texts: list[str]) -> dict[bytes, int]:
    words = WordCounts()
    words.add(texts)
    data, ends, counts = words.words()
    starts = [0, *ends.tolist()][: ends.size]
    return {
        data[start:end].tobytes(): count
        for start, end, count in zip(starts, ends.tolist(), counts.tolist(), strict=True)
    }


def expected(texts: list[str]) -> dict[bytes, int]:
    return dict(Counter(word.encode() for text in texts for word, _ in SPLIT.pre_tokenize_str(text)))


def odd_text() -> st.SearchStrategy[str]:
    pieces = st.sampled_from(
        [
            *"abZ19 '\n\r\t.,-",
            "'s",
            "'RE",
            "'ll",
            "'ſ",
            "'D",
            "  ",
            "\u00a0",
            "\u3000",
            "\u0085",
            "é",
            "e\u0301",
            "字",
            "²",
            "🙂",
        ]
    )
    letters = st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=4)
    return st.lists(st.one_of(pieces, pieces, letters), max_size=40).map("".join)


@given(odd_text())
@settings(max_examples=1_000)
def test_the_words_of_any_text(text: str) -> None:
    assert counted([text]) == expected([text])


def test_the_words_of_odd_texts_and_of_every_plane() -> None:
    assert counted(probe_texts()) == expected(probe_texts())
    draw = random.Random(1)
    for plane in range(17):
        codes = [code for code in range(plane << 16, (plane + 1) << 16, 5) if not 0xD800 <= code < 0xE000]
        text = "".join(chr(code) + draw.choice(["", " ", "a", "1", ".", "\n"]) for code in codes)
        assert counted([text]) == expected([text])


def test_classes_are_those_of_the_librarys_expressions() -> None:
    kinds = {
        "a": 1, "字": 1, "é": 1, "\u0301": 0, "7": 2, "²": 2, "Ⅷ": 2, " ": 3, "\n": 3, "_": 0, "\U0001f600": 0,
    }  # fmt: skip
    codes = np.array([ord(letter) for letter in kinds], dtype=np.uint32)
    assert classes_of(codes).tolist() == list(kinds.values())
    assert classes_of(codes[:0]).size == 0


def test_each_character_has_its_class_whatever_is_asked_with_it() -> None:
    codes = np.concatenate([np.arange(0, 0x3000), np.arange(0x1D400, 0x1E000)]).astype(np.uint32)
    order = np.random.default_rng(3).permutation(codes.size)
    assert (classes_of(codes)[order] == classes_of(codes[order])).all()


def test_room_is_made_for_many_and_for_long_words() -> None:
    draw = random.Random(2)
    many = " ".join("".join(draw.choices("abcdefghij", k=6)) for _ in range(60_000))
    assert counted([many, "x" * 700_000]) == expected([many, "x" * 700_000])


@pytest.mark.parametrize("size", [328, 330, 400, 1_200])
@pytest.mark.parametrize("min_frequency", [1, 2, 7])
def test_the_file_is_the_references(size: int, min_frequency: int) -> None:
    texts = [[document.text for document in some_documents(60, seed=size)], probe_texts()]
    assert learn_compiled(texts, size, min_frequency) == learn_by_reference(texts, size, min_frequency)


@given(st.lists(st.text(alphabet="ab c", max_size=60), min_size=1, max_size=8))
@settings(max_examples=150)
def test_many_equal_counts_and_overlapping_pairs(texts: list[str]) -> None:
    assert learn_compiled([texts], 420, 1) == learn_by_reference([texts], 420, 1)


@pytest.mark.parametrize("name", ["corpus.en", "tinystories_sample.txt", "german.txt", "address.txt"])
def test_on_the_texts_of_the_reference(shared_data: Path, name: str) -> None:
    text = (shared_data / "tokenizers" / "bpe-training-reference" / name).read_text(encoding="utf-8")
    assert learn_compiled([[text]], 1_000, 2) == learn_by_reference([[text]], 1_000, 2)


@pytest.mark.long
def test_on_wikipedia(wikipedia: list[Path], articles: Callable[[Path], list[str]]) -> None:
    texts = [articles(path) for path in wikipedia[:2]]
    assert learn_compiled(texts, 32_768, 2) == learn_by_reference(texts, 32_768, 2)
