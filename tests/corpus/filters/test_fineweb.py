"""FineWeb's rules at their thresholds on texts counted by hand, and what the presets make of them."""

from __future__ import annotations

from typing import Any

import pytest

from lumilab.corpus.filters import build_filters
from lumilab.recipe.filters import FiltersConfig, FineWebQuality

PUNCTUATION, SHORT = "fineweb: lines without punctuation", "fineweb: short lines"
REPEATED, NEW_LINES = "fineweb: duplicate lines", "fineweb: new lines per word"
RULES = ("min_line_punctuation", "max_short_lines", "max_duplicate_line_characters", "max_new_lines_per_word")


def reason(text: str, **settings: Any) -> str | None:
    """The verdict with only those of the four rules that are given."""
    section = dict.fromkeys(RULES) | settings
    filters = build_filters(FiltersConfig.model_validate({"fineweb": section}))
    assert filters is not None
    return filters.apply(text).reason


def preset(name: str, text: str, **section: Any) -> str | None:
    """The verdict of FineWeb's rules as a preset has them, without its other filters."""
    sections = FiltersConfig.model_validate({"preset": name, "fineweb": section})
    filters = build_filters(FiltersConfig(fineweb=sections.fineweb))
    assert filters is not None
    return filters.apply(text).reason


def test_lines_that_end_in_punctuation() -> None:
    assert FineWebQuality().min_line_punctuation == 0.12
    for ended, expected, at_threshold in ((2, PUNCTUATION, PUNCTUATION), (3, None, PUNCTUATION), (4, None, None)):
        text = "\n".join([f"line {number}." for number in range(ended)] + ["a line"] * (25 - ended))
        assert reason(text, min_line_punctuation=0.12) == expected  # 3 / 25 is 0.12
        assert reason(text, min_line_punctuation=0.12, drop_at_threshold=True) == at_threshold
    assert reason(text, min_line_punctuation=0.17) == PUNCTUATION
    assert reason("no line\nends well", min_line_punctuation=0.12) == PUNCTUATION
    assert reason("no line\nends well", min_line_punctuation=0.12, allow_no_punctuation=True) is None


@pytest.mark.parametrize(
    ("end", "of_any_script", "of_ascii"),
    [
        *((end, True, True) for end in ".?!"),
        *((end, False, True) for end in "'\""),
        *((end, True, False) for end in "。？！।؟።"),
        *((end, False, False) for end in (",", ":", "…", "”", "’", ". ", ")", "¿")),
    ],
)
def test_what_ends_a_line_well(end: str, of_any_script: bool, of_ascii: bool) -> None:
    for stop_characters, ends_well in (("unicode", of_any_script), ("ascii", of_ascii)):
        found = reason(f"a line{end}", min_line_punctuation=0.5, stop_characters=stop_characters)
        assert found == (None if ends_well else PUNCTUATION)


def test_short_lines() -> None:
    assert (FineWebQuality().max_short_lines, FineWebQuality().short_line_characters) == (0.67, 30)
    for short, expected, at_threshold in ((66, None, None), (67, None, SHORT), (68, SHORT, SHORT)):
        text = "\n".join(["é" * 30] * short + ["é" * 31] * (100 - short))
        assert reason(text, max_short_lines=0.67) == expected
        assert reason(text, max_short_lines=0.67, drop_at_threshold=True) == at_threshold
    assert reason(text, max_short_lines=0.68) is None
    assert reason(text, max_short_lines=0.67, short_line_characters=29) is None
    assert reason(text, max_short_lines=0.99, short_line_characters=31) == SHORT


def test_characters_in_repeated_lines() -> None:
    """`a`, a line of 98 characters and `a` again: 1 / 100, for new lines are not counted."""
    assert FineWebQuality().max_duplicate_line_characters == 0.01
    for filling, expected, at_threshold in ((99, None, None), (98, None, REPEATED), (97, REPEATED, REPEATED)):
        text = f"a\n{'b' * filling}\na"
        assert reason(text, max_duplicate_line_characters=0.01) == expected
        assert reason(text, max_duplicate_line_characters=0.01, drop_at_threshold=True) == at_threshold
    assert reason(text, max_duplicate_line_characters=0.02) is None
    assert reason("a\n \n \nb", max_duplicate_line_characters=0.0) is None  # blank lines repeat nothing


def test_new_lines_for_each_word() -> None:
    """Exactly at the threshold stays, whatever is said of the others."""
    assert FineWebQuality().max_new_lines_per_word == 0.3
    for new_lines, expected in ((2, None), (3, None), (4, NEW_LINES)):
        text = "one two three four five six seven eight nine ten" + "\n" * new_lines
        assert reason(text, max_new_lines_per_word=0.3) == expected
        assert reason(text, max_new_lines_per_word=0.3, drop_at_threshold=True) == expected
    assert reason(text, max_new_lines_per_word=0.4) is None


def test_blank_lines() -> None:
    """Two lines, one of them long, one ending well; with two blank lines both are one of four, and three are short."""
    text = f"A line.\n\n{'b' * 31}\n \t"
    for blank_lines, share in ((False, 0.5), (True, 0.25)):
        assert reason(text, min_line_punctuation=share, blank_lines=blank_lines) is None
        assert reason(text, min_line_punctuation=share + 0.01, blank_lines=blank_lines) == PUNCTUATION
        assert reason(text, max_short_lines=1 - share, blank_lines=blank_lines) is None
        assert reason(text, max_short_lines=0.99 - share, blank_lines=blank_lines) == SHORT


@pytest.mark.parametrize("text", ["", " ", "\n\n", "\t\n\u3000"])
def test_no_line_at_all(text: str) -> None:
    assert reason(text, max_short_lines=1.0) == "fineweb: empty"


# --- the presets, by documents that they judge differently --------------------------------------------------------

GOOD = "\n".join(f"This is line number {number}, and it is a long one as lines go here." for number in range(100))


@pytest.mark.parametrize(
    ("text", "v1", "paper", "second", "today"),
    [
        (GOOD, None, None, None, None),
        # 3 of 25 lines end well: at the threshold.
        (
            "\n".join(GOOD.replace(".", "").split("\n")[:22] + GOOD.split("\n")[22:25]),
            PUNCTUATION,
            PUNCTUATION,
            None,
            None,
        ),
        # Lines end in a quotation mark, or in a full stop of another script.
        (GOOD.replace(".", ".'"), None, None, PUNCTUATION, PUNCTUATION),
        (GOOD.replace(".", "。"), PUNCTUATION, PUNCTUATION, None, None),
        # Every line is short.
        ("\n".join(f"Here is short line {number}." for number in range(100)), SHORT, SHORT, None, SHORT),
        # 5 of 105 lines were there before: more than 0.01, less than 0.1 of the characters; then 20 of 120.
        (GOOD + "\n" + "\n".join(GOOD.split("\n")[:5]), REPEATED, None, None, REPEATED),
        (GOOD + "\n" + "\n".join(GOOD.split("\n")[:20]), REPEATED, REPEATED, REPEATED, REPEATED),
        # Long words, one or two to a line.
        ("\n".join(f"{'word' * 9}{number} {'x' * 9}." for number in range(100)), NEW_LINES, None, NEW_LINES, NEW_LINES),
    ],
    ids=["good", "at the threshold", "quotation marks", "other scripts", "short", "some repeated", "repeated", "words"],
)
def test_presets_differ(text: str, v1: str | None, paper: str | None, second: str | None, today: str | None) -> None:
    found = [preset(name, text) for name in ("fineweb-v1", "fineweb-paper", "fineweb-2", "none")]
    assert found == [v1, paper, second, today]


def test_what_is_set_wins_over_the_preset() -> None:
    short = "\n".join(f"Here is short line {number}." for number in range(100))
    assert preset("fineweb-v1", short, max_short_lines=None) is None
    assert preset("fineweb-v1", short, max_short_lines=1.0, drop_at_threshold=False) is None
    assert preset("fineweb-2", short, max_short_lines=0.5) == SHORT
