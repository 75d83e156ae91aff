from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from word_reference import shingles_of, words_of

from lumilab.corpus.shingles import fold_table, new_state, next_shingles, shingle_hashes

LETTERS = st.sampled_from([*"abcXYZ019 \n.,'_-é\u0301ÀßİñΣςЖй٣५２ \u00ad\u200d\ufeff漢字かがカ한글กำเ€—“"])


@given(st.lists(st.text(LETTERS, max_size=60), min_size=1, max_size=8), st.integers(1, 4))
def test_hashes_are_equal_where_the_words_are(texts: list[str], words: int) -> None:
    seen: dict[tuple[str, ...], int] = {}
    for text in texts:
        hashes, expected = shingle_hashes(text.encode(), words).tolist(), shingles_of(text, words)
        assert len(hashes) == len(expected)
        for shingle, value in zip(expected, hashes, strict=True):
            assert seen.setdefault(shingle, value) == value
    assert len(set(seen.values())) == len(seen)


def test_every_letter_of_every_script() -> None:
    """Between two other letters, so that none composes with its neighbour into something else."""
    text = "\n".join(f"x{chr(code)}x" for code in range(0x20000) if not 0xD800 <= code < 0xE000)
    hashes, expected = shingle_hashes(text.encode(), 1).tolist(), words_of(text)
    assert len(hashes) == len(expected)
    assert len(set(hashes)) == len(set(expected)) == len(set(zip(hashes, expected, strict=True)))


def test_real_articles_have_the_words_of_the_reference(shared_data: Path) -> None:
    seen: dict[tuple[str, ...], int] = {}
    with gzip.open(shared_data / "wikipedia-en-2015" / "enwiki-003.jsonl.gz", "rt", encoding="utf-8") as file:
        texts = [json.loads(next(file))["text"] for _ in range(25)]
    for text in texts:
        hashes, expected = shingle_hashes(text.encode(), 5).tolist(), shingles_of(text, 5)
        assert len(hashes) == len(expected)
        seen.update(zip(expected, hashes, strict=True))
    assert len(set(seen.values())) == len(seen)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("The quick, brown FOX!", "the quick brown fox"),
        ("caf\u00e9 na\u00efve", "cafe\u0301 nai\u0308ve"),  # composed and decomposed
        ("caf\u00e9", "cafe"),
        ("in 2015 and 1999", "in 3 and 12"),
        ("co\u00adoperate", "cooperate"),
        ("ШКОЛА Ёлка", "школа елка"),
        ("\u05e9\u05c1\u05b8\u05dc\u05d5\u05b9\u05dd", "\u05e9\u05dc\u05d5\u05dd"),  # Hebrew with points and without
        ("漢字", "漢 字"),
    ],
)
def test_spellings_that_are_one(one: str, other: str) -> None:
    assert shingle_hashes(one.encode(), 1).tolist() == shingle_hashes(other.encode(), 1).tolist()


@pytest.mark.parametrize(
    ("one", "other"),
    [("か", "が"), ("कि", "कु"), ("ก\u0e34", "ก\u0e38"), ("a b", "ab"), ("don't", "dont"), ("x 0", "x"), ("e²", "e")],
)
def test_spellings_that_are_not(one: str, other: str) -> None:
    assert shingle_hashes(one.encode(), 1).tolist() != shingle_hashes(other.encode(), 1).tolist()


@given(st.binary(max_size=200))
def test_bytes_that_are_no_text_do_no_harm(data: bytes) -> None:
    assert len(shingle_hashes(data, 1)) <= (len(data) + 1) // 2


@given(st.text(LETTERS, max_size=80), st.integers(2, 7))
def test_handing_on_in_small_pieces_changes_nothing(text: str, room: int) -> None:
    data = np.frombuffer(text.encode(), np.uint8)
    state, out, found, position = new_state(3), np.empty(room, np.uint64), [], 0
    while position <= len(data):
        position, count = next_shingles(data, position, state, fold_table(), out)
        found += out[:count].tolist()
    assert found == shingle_hashes(text.encode(), 3).tolist()


def test_the_reference_splits_as_expected() -> None:
    assert words_of("Don't pay £1,250.50 for Café—漢字 42nd!") == [
        *("don", "t", "pay", "0", "0", "0", "for", "cafe", "漢", "字", "0nd")
    ]
