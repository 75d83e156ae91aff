"""Every share that the filters compare, to the last bit: each threshold is set to datatrove's own value and beside it.

At the value itself a document stays; at the next number below (or above, for least values) just this rule drops it.
"""

from __future__ import annotations

import math
import re
from bisect import bisect_left
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

pytest.importorskip("datatrove")

from datatrove.data import Document
from datatrove.pipeline.filters import C4QualityFilter
from datatrove.pipeline.filters.gopher_quality_filter import STOP_WORDS
from datatrove.pipeline.filters.gopher_repetition_filter import (
    find_all_duplicate,
    find_duplicates,
    find_top_duplicate,
    get_n_grams,
)
from datatrove.utils.text import (
    PUNCTUATION_SET,
    TERMINAL_PUNCTUATION,
    split_into_words,
)
from real_texts import real_texts, spoilt
from spacy_pieces import line_texts, texts

from lumilab.corpus.filters import Verdict, build_filters
from lumilab.recipe.filters import FiltersConfig

# Few words and line ends, so that much is repeated; long and short, so that joined letters are alike by chance.
REPETITIVE = st.lists(
    st.sampled_from(
        ["a", "b", "ab", "ba", "abc", "abcdefghijklmn", "abcdefghijklmno", "a.", " ", " ", "\n", "\n", "\n\n"]
    ),
    min_size=1,
    max_size=60,
).map("".join)
TEXTS = REPETITIVE | texts() | line_texts()
Measures = dict[str, tuple[float, str]]  # by rule: the value, and the reason when it is beyond the threshold
SHARES = ("min_alphabetic_words", "min_line_punctuation")  # cannot be more than 1


def apply(text: str, **sections: Any) -> Verdict:
    built = build_filters(FiltersConfig.model_validate(sections))
    assert built is not None
    return built.apply(text)


def beside(section: str, most: Measures, least: Measures) -> Iterator[tuple[dict[str, Any], str | None]]:
    """Thresholds at the values, then for each rule its own just beyond; each with the reason to expect."""
    # A count that has to be at least 0 is a rule that is off.
    exact: dict[str, Any] = {
        rule: None if isinstance(value, int) and value == 0 else value for rule, (value, _) in (most | least).items()
    }
    yield exact, None
    for rule, (value, reason) in most.items():
        lower = value - 1 if isinstance(value, int) else math.nextafter(value, -1)
        if lower > 0 or (lower == 0 and isinstance(value, float)):
            yield exact | {rule: lower}, f"{section}: {reason}"
    for rule, (value, reason) in least.items():
        upper = value + 1 if isinstance(value, int) else math.nextafter(value, math.inf)
        if rule not in SHARES or upper <= 1:
            yield exact | {rule: upper}, f"{section}: {reason}"


def repetition(text: str) -> Measures:
    """Gopher's shares, counted by datatrove's functions."""
    paragraphs, lines = re.split(r"\n{2,}", text.strip()), re.split(r"\n+", text)
    repeated_paragraphs, repeated_lines = find_duplicates(paragraphs), find_duplicates(lines)
    words = split_into_words(text)
    shares: Measures = {
        "duplicate_paragraphs": (repeated_paragraphs[0] / len(paragraphs), "duplicate paragraphs"),
        "duplicate_paragraph_characters": (
            repeated_paragraphs[1] / len(text),
            "characters in duplicate paragraphs",
        ),
        "duplicate_lines": (repeated_lines[0] / len(lines), "duplicate lines"),
        "duplicate_line_characters": (repeated_lines[1] / len(text), "characters in duplicate lines"),
    }
    for size in (2, 3, 4):
        runs = get_n_grams(words, size)
        shares[f"top_{size}_gram"] = (find_top_duplicate(runs) / len(text) if runs else 0.0, f"top {size}-gram")
    for size in range(5, 11):
        share = find_all_duplicate(words, size) / len(text)
        shares[f"duplicate_{size}_grams"] = (share, f"duplicate {size}-grams")
    return shares


def quality(text: str) -> tuple[Measures, Measures]:
    """Gopher's counts of words, signs and lines."""
    words = split_into_words(text)
    plain = [word for word in words if not set(word) <= PUNCTUATION_SET]
    lines = text.splitlines()
    mean = sum(map(len, plain)) / len(plain)
    bullets = sum(line.lstrip()[:1] in ("•", "-") and line.strip() != "" for line in lines)
    ends = sum(line.rstrip().endswith(("...", "…")) for line in lines)
    most: Measures = {
        "max_words": (len(plain), "too many words"),
        "max_mean_word_length": (mean, "mean word length"),
        "max_hashes_per_word": (text.count("#") / len(words), "hashes"),
        "max_ellipses_per_word": ((text.count("...") + text.count("…")) / len(words), "ellipses"),
        "max_bullet_lines": (bullets / len(lines), "bullet lines"),
        "max_ellipsis_lines": (ends / len(lines), "lines ending in an ellipsis"),
    }
    least: Measures = {
        "min_words": (len(plain), "too few words"),
        "min_mean_word_length": (mean, "mean word length"),
        "min_alphabetic_words": (
            sum(any(map(str.isalpha, word)) for word in words) / len(words),
            "words without letters",
        ),
        "min_stop_words": (len(set(words) & set(STOP_WORDS)), "stop words"),
    }
    return most, least


def line_shape(text: str) -> tuple[Measures, Measures]:
    """FineWeb's shares of lines."""
    lines = [line for line in text.split("\n") if line.strip()]
    most: Measures = {
        "max_short_lines": (sum(len(line) <= 30 for line in lines) / len(lines), "short lines"),
        "max_duplicate_line_characters": (
            find_duplicates(lines)[1] / len(text.replace("\n", "")),
            "duplicate lines",
        ),
        "max_new_lines_per_word": (text.count("\n") / len(split_into_words(text)), "new lines per word"),
    }
    ends_well = sum(line.endswith(tuple(TERMINAL_PUNCTUATION)) for line in lines) / len(lines)
    return most, {"min_line_punctuation": (ends_well, "lines without punctuation")}


def check_repetition(text: str) -> None:
    for thresholds, reason in beside("gopher_repetition", repetition(text), {}):
        assert apply(text, gopher_repetition=thresholds).reason == reason, thresholds


def check_quality(text: str) -> None:
    nine = [*STOP_WORDS, "onewordmore"]  # than any text has, so that one more can be asked for than there are
    for thresholds, reason in beside("gopher_quality", *quality(text)):
        assert apply(text, gopher_quality={"stop_words": nine} | thresholds).reason == reason, thresholds


def check_line_shape(text: str) -> None:
    for thresholds, reason in beside("fineweb", *line_shape(text)):
        assert apply(text, fineweb=thresholds).reason == reason, thresholds


def check_sentences(text: str, terminal_punctuation: bool) -> None:
    """As many sentences as datatrove counts are enough, one more is too many; what is left is its text."""

    def judge(sentences: int) -> tuple[str | None, str]:
        document = Document(text=text, id="")
        rules = C4QualityFilter(filter_no_terminal_punct=terminal_punctuation, min_num_sentences=sentences)
        answer = rules.filter(document)
        return (None if answer is True else f"c4: {answer[1].replace('_', ' ')}"), document.text

    def ours(sentences: int | None) -> tuple[str | None, str]:
        verdict = apply(text, c4={"terminal_punctuation": terminal_punctuation, "min_sentences": sentences})
        return verdict.reason, verdict.text

    assert ours(None) == judge(0)
    if judge(0)[0] is None:
        sentences = bisect_left(range(1, 1_000), True, key=lambda least: judge(least)[0] is not None)
        assert ours(sentences or None) == judge(sentences)
        assert ours(sentences + 1) == ("c4: too few sentences", text)


def has_a_word(text: str) -> bool:
    """Whether there is a word that is more than signs: datatrove cannot divide by none."""
    return any(not set(word) <= PUNCTUATION_SET for word in split_into_words(text))


@given(TEXTS.filter(bool))
@example("\n\na\n\n \n\na")
@example("ab c a bc abcdefghijklmno " * 7)
@settings(max_examples=30)
def test_gopher_repetition(text: str) -> None:
    check_repetition(text)


@given(TEXTS.filter(has_a_word))
@settings(max_examples=30)
def test_gopher_quality(text: str) -> None:
    check_quality(text)


@given(TEXTS.filter(lambda text: text.strip() != ""))
@settings(max_examples=30)
def test_fineweb(text: str) -> None:
    check_line_shape(text)


@given(line_texts(), st.booleans())
@settings(max_examples=40)
def test_c4(text: str, terminal_punctuation: bool) -> None:
    check_sentences(text, terminal_punctuation)


def test_real_texts(shared_data: Path) -> None:
    for named in real_texts(shared_data, each=2, longest=400):
        text = spoilt(*named)[1]
        check_repetition(text)
        check_line_shape(text)
        check_sentences(text, terminal_punctuation=False)
        if has_a_word(text):
            check_quality(text)


@pytest.mark.long
@pytest.mark.timeout(1_200)
@given(TEXTS.filter(has_a_word), line_texts(), st.booleans())
@settings(max_examples=1_000)
def test_very_many_texts(text: str, lines: str, terminal_punctuation: bool) -> None:
    check_repetition(text)
    check_quality(text)
    check_line_shape(text)
    check_sentences(lines, terminal_punctuation)
