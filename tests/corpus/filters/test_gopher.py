"""Gopher's rules at their thresholds, on texts made so that the shares can be worked out by hand."""

from __future__ import annotations

from typing import Any

import pytest

from lumilab.corpus.filters import build_filters
from lumilab.recipe.filters import FiltersConfig, GopherQuality, GopherRepetition


def reason(text: str, section: str, **thresholds: Any) -> str | None:
    """The verdict of a section in which only these rules are on; without any, of the section with its defaults."""
    off = {"stop_words"} if section == "gopher_quality" else set()
    kind = {"gopher_repetition": GopherRepetition, "gopher_quality": GopherQuality}[section]
    others = dict.fromkeys(set(kind.model_fields) - off) if thresholds else {}
    filters = build_filters(FiltersConfig.model_validate({section: others | thresholds}))
    assert filters is not None
    found = filters.apply(text)
    assert found.text == text
    return found.reason


def default(section: str, rule: str) -> Any:
    return getattr({"gopher_repetition": GopherRepetition(), "gopher_quality": GopherQuality()}[section], rule)


def numbered(different: int, repeated: int) -> list[str]:
    """Parts p0, p1 ... of two characters each, then p0 again and again."""
    return [*(f"p{number}" for number in range(different)), *["p0"] * repeated]


# --- repetition: lines and paragraphs -----------------------------------------------------------------------------


@pytest.mark.parametrize(("between", "rule"), [("\n\n", "duplicate_paragraphs"), ("\n", "duplicate_lines")])
def test_repeated_parts(between: str, rule: str) -> None:
    phrase = f"gopher_repetition: {rule.replace('_', ' ')}"
    assert default("gopher_repetition", rule) == 0.3
    for different, repeated, expected in ((8, 2, None), (7, 3, None), (6, 4, phrase)):  # 2, 3 and 4 of 10 parts
        text = between.join(numbered(different, repeated))
        assert reason(text, "gopher_repetition", **{rule: 0.3}) == expected
    assert reason(text, "gopher_repetition", **{rule: 0.4}) is None
    assert reason(text, "gopher_repetition", **{rule: 0.39}) == phrase


@pytest.mark.parametrize(
    ("between", "rule", "phrase", "filling"),
    [
        # 4 + 2 + filling + 2 + 4 characters, of which 4 are there twice: 4 / 20 with a filling of 8
        ("\n\n", "duplicate_paragraph_characters", "characters in duplicate paragraphs", 8),
        # 4 + 1 + filling + 1 + 4 characters: 4 / 20 with a filling of 10
        ("\n", "duplicate_line_characters", "characters in duplicate lines", 10),
    ],
)
def test_characters_in_repeated_parts(between: str, rule: str, phrase: str, filling: int) -> None:
    assert default("gopher_repetition", rule) == 0.2
    for more, expected in ((1, None), (0, None), (-1, f"gopher_repetition: {phrase}")):
        text = between.join(["same", "x" * (filling + more), "same"])
        assert reason(text, "gopher_repetition", **{rule: 0.2}) == expected
    assert reason(text, "gopher_repetition", **{rule: 0.22}) is None


def test_what_a_line_and_a_paragraph_is() -> None:
    """Lines end at any run of new lines, paragraphs at two; white space around the text is cut off for paragraphs."""
    thirds = {"duplicate_lines": 0.3}
    assert reason("a\n\n\nb\nc\na", "gopher_repetition", **thirds) is None  # 1 of 4
    assert reason("a\n\n\nb\na", "gopher_repetition", **thirds) is not None  # 1 of 3
    assert reason("a\nb\na\nb", "gopher_repetition", duplicate_paragraphs=0.0) is None  # one paragraph
    assert reason("\n\na\n\n\n", "gopher_repetition", duplicate_paragraphs=0.0) is None
    assert reason("\na\n", "gopher_repetition", duplicate_lines=0.3) is not None  # an empty line at both ends
    assert reason("a\r\na", "gopher_repetition", duplicate_lines=0.0) is None  # "a\r" is another line


# --- repetition: runs of words ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("size", "threshold", "run", "length"),
    [
        (2, 0.20, "ab cd", 50),  # 5 characters, twice in 50
        (3, 0.18, "abc de fg", 100),  # 9, twice in 100
        (4, 0.16, "ab c d e", 100),  # 8, twice in 100
    ],
)
def test_most_frequent_run(size: int, threshold: float, run: str, length: int) -> None:
    rule, phrase = f"top_{size}_gram", f"gopher_repetition: top {size}-gram"
    assert default("gopher_repetition", rule) == threshold
    for more, expected in ((1, None), (0, None), (-1, phrase)):
        text = f"{run} {run} ".ljust(length + more, "z")
        assert reason(text, "gopher_repetition", **{rule: threshold}) == expected
    assert reason(text, "gopher_repetition", **{rule: threshold + 0.01}) is None


@pytest.mark.parametrize("size", range(5, 11))
def test_repeated_runs(size: int) -> None:
    """A run of `size` words with 20 - size letters, twice: (20 - size) of 100 characters were there before."""
    rule, phrase = f"duplicate_{size}_grams", f"gopher_repetition: duplicate {size}-grams"
    threshold = (20 - size) / 100
    assert default("gopher_repetition", rule) == threshold
    letters = iter("abcdefghijklmnop")
    longer = 20 - 2 * size  # letters beyond one for each word
    lengths = [1 + longer // size + (place < longer % size) for place in range(size)]
    run = " ".join("".join(next(letters) for _ in range(length)) for length in lengths)
    assert len(run) == 19
    for more, expected in ((1, None), (0, None), (-1, phrase)):
        text = f"{run} {run} ".ljust(100 + more, "z")
        assert reason(text, "gopher_repetition", **{rule: threshold}) == expected
    assert reason(text, "gopher_repetition", **{rule: threshold + 0.01}) is None


def test_repeated_runs_do_not_overlap() -> None:
    """Ten times the same letter: the first five words are new, as is each further start until the run is full."""
    # Words 0-4 are new, 1-5 are the same letters again and count five; so do 6-10, which are not all there.
    text = "a a a a a a a a a a"  # 19 characters
    assert reason(text, "gopher_repetition", duplicate_5_grams=5 / 19) is None
    assert reason(text, "gopher_repetition", duplicate_5_grams=4 / 19) == "gopher_repetition: duplicate 5-grams"


def test_the_empty_text() -> None:
    assert reason("", "gopher_repetition") == "gopher_repetition: empty"


# --- quality ------------------------------------------------------------------------------------------------------

PROSE = "the cat and the dog that have walked to market with me"


def test_number_of_words() -> None:
    few, many = "gopher_quality: too few words", "gopher_quality: too many words"
    assert (default("gopher_quality", "min_words"), default("gopher_quality", "max_words")) == (50, 100_000)
    for count, expected in ((49, few), (50, None), (51, None)):
        assert reason("word " * count, "gopher_quality", min_words=50) == expected
    assert reason("word " * 49 + "# # # ...", "gopher_quality", min_words=50) == few  # symbols are no words
    for count, expected in ((99_999, None), (100_000, None), (100_001, many)):
        assert reason("a " * count, "gopher_quality", max_words=100_000) == expected
    assert reason("a b c # .", "gopher_quality", max_words=3) is None
    assert reason("a b c # .", "gopher_quality", max_words=2) == many


def test_mean_length_of_words() -> None:
    phrase = "gopher_quality: mean word length"
    quality = GopherQuality()
    assert (quality.min_mean_word_length, quality.max_mean_word_length) == (3.0, 10.0)
    for text, expected in (("aa aaaa", None), ("aa aaa", phrase), ("aa aaaaa", None), ("aa ... aaaa", None)):
        assert reason(text, "gopher_quality", min_mean_word_length=3.0) == expected
    for text, expected in (("b" * 9 + " " + "b" * 11, None), ("b" * 9 + " " + "b" * 12, phrase), ("b" * 9, None)):
        assert reason(text, "gopher_quality", max_mean_word_length=10.0) == expected
    assert reason("aa aaa", "gopher_quality", min_mean_word_length=2.5) is None


@pytest.mark.parametrize(
    ("rule", "sign", "phrase"),
    [
        ("max_hashes_per_word", "#", "hashes"),
        ("max_ellipses_per_word", "...", "ellipses"),
        ("max_ellipses_per_word", "…", "ellipses"),
    ],
)
def test_signs_for_each_word(rule: str, sign: str, phrase: str) -> None:
    """The sign is a word itself: one of it and nine others are 1 / 10."""
    assert default("gopher_quality", rule) == 0.1
    for others, expected in ((10, None), (9, None), (8, f"gopher_quality: {phrase}")):
        assert reason("word " * others + sign, "gopher_quality", **{rule: 0.1}) == expected
    assert reason("word " * 8 + sign, "gopher_quality", **{rule: 0.12}) is None


@pytest.mark.parametrize("mark", ["•", "-", "  • ", "\t-"])
def test_bullets(mark: str) -> None:
    assert default("gopher_quality", "max_bullet_lines") == 0.9
    for bullets, expected in ((8, None), (9, None), (10, "gopher_quality: bullet lines")):
        text = "\n".join([f"{mark}word"] * bullets + ["word"] * (10 - bullets))
        assert reason(text, "gopher_quality", max_bullet_lines=0.9) == expected
    assert reason(text, "gopher_quality", max_bullet_lines=1.0) is None


@pytest.mark.parametrize("end", ["...", "…", "...  ", "so on…\t"])
def test_lines_that_trail_off(end: str) -> None:
    assert default("gopher_quality", "max_ellipsis_lines") == 0.3
    for trailing, expected in ((2, None), (3, None), (4, "gopher_quality: lines ending in an ellipsis")):
        text = "\r\n".join([f"word{end}"] * trailing + ["word."] * (10 - trailing))
        assert reason(text, "gopher_quality", max_ellipsis_lines=0.3) == expected
    assert reason(text, "gopher_quality", max_ellipsis_lines=0.4) is None


def test_words_with_a_letter() -> None:
    phrase = "gopher_quality: words without letters"
    assert default("gopher_quality", "min_alphabetic_words") == 0.8
    for letters, expected in ((9, None), (8, None), (7, phrase)):
        text = "é2 " * letters + "12 " * (10 - letters)
        assert reason(text, "gopher_quality", min_alphabetic_words=0.8) == expected
    assert reason(text, "gopher_quality", min_alphabetic_words=0.7) is None


def test_stop_words() -> None:
    phrase = "gopher_quality: stop words"
    quality = GopherQuality()
    assert quality.min_stop_words == 2
    assert quality.stop_words == ["the", "be", "to", "of", "and", "that", "have", "with"]
    given = {"stop_words": quality.stop_words}
    for text, expected in (("the the The", phrase), ("the of", None), ("the of and", None), ("THE OF", phrase)):
        assert reason(text, "gopher_quality", min_stop_words=2, **given) == expected
    assert reason("the the", "gopher_quality", min_stop_words=1, **given) is None
    assert reason("der und", "gopher_quality", min_stop_words=2, stop_words=["der", "und"]) is None


def test_prose_passes_everything() -> None:
    lines = [f"On day {number} {PROSE} {chr(97 + number) * 3} of it" for number in range(12)]
    assert reason(". ".join(lines), "gopher_quality") is None


def test_a_text_without_a_word() -> None:
    """datatrove divides by the number of words there; here a rule that asks for words drops it first."""
    assert reason("", "gopher_quality") == "gopher_quality: too few words"
    assert reason(" \n", "gopher_quality", max_hashes_per_word=0.1) == "gopher_quality: no words"
