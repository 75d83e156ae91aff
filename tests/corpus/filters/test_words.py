"""Words beside spaCy's blank English tokenizer, as datatrove calls it, and their tables beside those of the origin."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

pytest.importorskip("datatrove")

from datatrove.utils.text import PUNCTUATION_SET, TERMINAL_PUNCTUATION, split_into_words
from real_texts import many_languages, real_texts
from spacy.lang import char_classes
from spacy.lang.en import English
from spacy.pipeline import Sentencizer
from spacy.symbols import ORTH
from spacy_pieces import texts

from lumilab.corpus.filters import characters as flags
from lumilab.corpus.filters.special_words import special_words
from lumilab.corpus.filters.workspace import Workspace

CODES = [code for code in range(sys.maxunicode + 1) if not 0xD800 <= code < 0xE000]
EVERY = "".join(map(chr, CODES))


@pytest.fixture(scope="module")
def workspace() -> Workspace:
    return Workspace()


def words_of(workspace: Workspace, text: str) -> list[str]:
    workspace.read(text)
    return [text[first:end] for first, end in workspace.words()]


# --- whole texts --------------------------------------------------------------------------------------------------


def test_words_of_real_texts(shared_data: Path, workspace: Workspace) -> None:
    for name, text in real_texts(shared_data, each=3, longest=1_200):
        assert words_of(workspace, text) == split_into_words(text), name


def test_words_in_many_languages(workspace: Workspace) -> None:
    """The rules are the English ones for all of them, as in datatrove with its default."""
    found = list(many_languages())
    assert len(found) > 100
    for name, text in found:
        assert words_of(workspace, text[:500]) == split_into_words(text[:500]), name


@given(texts())
@example("foo/Mr. Smith's (e.g. the U.S.'s) 5km/h...")
@example("can't've don’t 'S ' 's c'mon I'ma 12a.m.a 10°C. a.b.C: :) :)) x:)")
@example("°F.°F. and °c.°K.°f. of it")  # more pieces than the rules would make of them
@settings(max_examples=120)
def test_words_of_nasty_texts(workspace: Workspace, text: str) -> None:
    assert words_of(workspace, text) == split_into_words(text)


@pytest.mark.long
@pytest.mark.timeout(1_200)
@given(texts(60))
@settings(max_examples=5_000)
def test_words_of_very_many_nasty_texts(workspace: Workspace, text: str) -> None:
    assert words_of(workspace, text) == split_into_words(text)


@given(st.text(st.characters() | st.sampled_from("\ud800\udfff\ud83d a.'"), max_size=40))
def test_words_hold_every_character_but_white_space(workspace: Workspace, text: str) -> None:
    """Of lone surrogates too, which spaCy cannot read."""
    assert "".join(words_of(workspace, text)) == "".join(text.split())


@pytest.mark.parametrize(
    "codes",
    [
        [
            *range(0x21, 0x180),
            *range(0x370, 0x600),
            *range(0x2000, 0x2200),
            *range(0x3000, 0x3040),
            *range(0xFF00, 0xFF60),
        ],
        pytest.param(CODES, marks=[pytest.mark.long, pytest.mark.timeout(1_200)]),
    ],
    ids=["common", "all"],
)
def test_each_character_where_rules_look(workspace: Workspace, codes: list[int]) -> None:
    """Before, within and behind a word, between capitals and digits, before a full stop, and in an address."""
    for first in range(0, len(codes), 500):
        block = [chr(code) for code in codes[first : first + 500] if not chr(code).isspace()]
        text = " ".join(f"{c}a a{c} a{c}b A{c}. a{c}. 1{c}2 {c}.io a.{c}B" for c in block)
        assert words_of(workspace, text) == split_into_words(text)


# --- tables -------------------------------------------------------------------------------------------------------


def test_special_words_are_those_of_spacy() -> None:
    rules = English().tokenizer.rules
    theirs = {word: tuple(piece[ORTH] for piece in pieces) for word, pieces in rules.items() if not word.isspace()}
    assert special_words() == theirs


def flagged(flag: int) -> set[str]:
    return {chr(code) for code in np.flatnonzero(flags.character_flags() & np.uint32(flag)).tolist()}


def in_class(content: str) -> set[str]:
    return set(re.findall(f"[{content}]", EVERY))


@pytest.mark.parametrize(
    ("flag", "content"),
    [
        (flags.ALPHA, char_classes.ALPHA),
        (flags.LOWER, char_classes.ALPHA_LOWER),
        (flags.UPPER, char_classes.ALPHA_UPPER),
        (flags.ICON, char_classes.CONCAT_ICONS),
        (flags.DIGIT, r"\d"),
        (flags.WORD, r"\w"),
        (flags.SPACE, r"\s"),
    ],
    ids=["letters", "small letters", "capitals", "symbols", "digits", "word characters", "white space"],
)
def test_classes_are_those_of_the_patterns(flag: int, content: str) -> None:
    assert flagged(flag) == in_class(content)


@pytest.mark.parametrize(
    ("flag", "theirs"),
    [
        (flags.STOP, TERMINAL_PUNCTUATION),
        (flags.SYMBOL, PUNCTUATION_SET),
        (flags.SENTENCE_END, Sentencizer.default_punct_chars),
        (flags.LETTER, filter(str.isalpha, EVERY)),
        (flags.LINE_END, (c for c in EVERY if len(f"a{c}a".splitlines()) == 2)),
    ],
    ids=["line ends well", "symbols", "sentence ends", "letters", "line ends"],
)
def test_sets_are_those_of_datatrove_spacy_and_python(flag: int, theirs: Iterable[str]) -> None:
    assert flagged(flag) == set(theirs)
