"""C4's rules: which lines go, which documents, what is left of the text; each can be switched off."""

from __future__ import annotations

from typing import Any

import pytest

from lumilab.corpus.filters import Verdict, build_filters
from lumilab.recipe.filters import C4Paragraphs, C4Quality, FiltersConfig

FIVE = "This is one. This is two. This is three. This is four. This is five."
FEW = "c4: too few sentences"


def apply(text: str, **rules: Any) -> Verdict:
    filters = build_filters(FiltersConfig.model_validate({"c4": rules}))
    assert filters is not None
    return filters.apply(text)


def left(line: str, **rules: Any) -> str:
    """What is left of a line among lines that stay, or the reason why the document goes."""
    verdict = apply(f"{FIVE}\n{line}\n{FIVE}", **rules)
    if verdict.reason is not None:
        return verdict.reason
    first, *lines, last = verdict.text.split("\n")
    assert first == last == FIVE
    return "\n".join(lines)


def test_number_of_sentences() -> None:
    assert C4Quality().min_sentences == 5
    sentence = "These are four words."
    for count, expected in ((4, FEW), (5, None), (6, None)):
        for between in (" ", "\n", "\r\n"):
            verdict = apply(between.join([sentence] * count))
            assert verdict.reason == expected
    assert apply(sentence * 1, min_sentences=1).reason is None
    assert apply(f"{sentence} " * 6, min_sentences=7).reason == FEW
    assert apply(" ".join(["What is this?", "It ended!"] * 3)).reason is None
    assert apply("", min_sentences=None) == Verdict("")


def test_a_dropped_document_keeps_its_text() -> None:
    assert apply("a line that goes\nOnly one is left.") == Verdict("a line that goes\nOnly one is left.", FEW)


@pytest.mark.parametrize(
    ("line", "stays"),
    [
        *((f"This line ends in{end}", True) for end in (".", "?", "!", '"', "'", " .", "....?")),
        *((f"This line ends in{end}", False) for end in ("", ",", ":", "…", "...", "....", "”", "。", ")")),
    ],
)
def test_how_a_line_ends(line: str, stays: bool) -> None:
    assert left(line) == (line if stays else "")
    assert left(line, terminal_punctuation=False) == line


def test_words_in_a_line() -> None:
    assert C4Quality().min_words_per_line == 3
    for line, expected in (
        ("Two words.", ""),
        ("Three whole words.", "Three whole words."),
        ("Here are four words.",) * 2,
    ):
        assert left(line) == expected
    assert left("Two words.", min_words_per_line=2) == left("Two words.", min_words_per_line=None) == "Two words."
    assert left("Here are four words.", min_words_per_line=5) == ""


def test_length_of_a_word() -> None:
    assert C4Quality().max_word_length == 1_000
    for length, stays in ((999, True), (1_000, True), (1_001, False)):
        line = f"It has {'x' * (length - 1)}."
        assert left(line) == (line if stays else "")
    assert left(line, max_word_length=1_001) == left(line, max_word_length=None) == line
    assert left("It has fifteen.", max_word_length=7) == ""


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("It is so.[1]", "It is so."),
        ("It [12] is[] so [edit] and [citation needed] so.", "It  is so  and  so."),
        ("It is [1a] so [Edit] here [ 2].", "It is [1a] so [Edit] here [ 2]."),
        ("The [[3]] is inside.", "The [] is inside."),  # what is left is not looked through again
        ("It ends in [4]. [5]", "It ends in . "),  # and no longer in a full stop: see below
    ],
)
def test_citations(line: str, expected: str) -> None:
    assert left(line, terminal_punctuation=False) == expected
    assert left(line, terminal_punctuation=False, remove_citations=False) == line


def test_a_line_is_looked_at_after_its_citations_are_gone() -> None:
    assert left("It ends in [4]. [5]") == ""
    assert left("We use java[1]script here.") == ""
    assert left("One two [1].") == "One two ."  # but words were counted before


@pytest.mark.parametrize("text", ["Lorem ipsum dolor sit.", "It is LOREM IPSUM there."])
def test_lorem_ipsum(text: str) -> None:
    assert left(text) == "c4: lorem ipsum"
    assert left(text, lorem_ipsum=False) == text


def test_curly_bracket() -> None:
    assert left("It is a { in it.") == "c4: curly bracket"
    assert left("It is a { in it.", curly_bracket=False) == "It is a { in it."
    assert left("It is a } in it.") == "It is a } in it."
    assert left("this line goes {") == ""  # for another reason, and its bracket with it
    assert left("Any JavaScript { goes before.") == ""


def test_javascript() -> None:
    for line in ("Please enable JavaScript.", "It says javascripts there."):
        assert left(line) == ""
        assert left(line, javascript=False) == line


@pytest.mark.parametrize(
    "phrase", ["terms of use", "privacy policy", "cookie policy", "uses cookies", "use of cookies", "use cookies"]
)
def test_policies(phrase: str) -> None:
    for line in (f"This is about {phrase}.", f"Read {phrase.upper()} first!"):
        assert left(line) == ""
        assert left(line, policy=False) == line
    assert left(f"This is about {phrase[:-1]}.") == f"This is about {phrase[:-1]}."


def test_lines_are_stripped_and_joined() -> None:
    verdict = apply("\n\n  First line is here. \r\n\tSecond is it.\u2028Third one. And it.\x0b\x0cFifth it is.\n")
    assert verdict == Verdict("First line is here.\nSecond is it.\nThird one. And it.\nFifth it is.")


def test_later_filters_see_what_is_left() -> None:
    text = f"{FIVE}\n" + "a menu\n" * 20
    for rules, expected in (
        ({}, None),
        ({"terminal_punctuation": False, "min_words_per_line": 1}, "fineweb: short lines"),
    ):
        sections = {"c4": rules, "fineweb": {"min_line_punctuation": None}}
        filters = build_filters(FiltersConfig.model_validate(sections))
        assert filters is not None
        assert filters.apply(text).reason == expected


def test_paragraphs() -> None:
    section = C4Paragraphs()
    assert (section.min_paragraphs, section.min_characters) == (3, 200)
    phrase = "c4_paragraphs: too few long lines"

    def reason(lengths: list[int], **values: int) -> str | None:
        filters = build_filters(FiltersConfig.model_validate({"c4_paragraphs": values}))
        assert filters is not None
        return filters.apply("\n".join("é" * length for length in lengths)).reason

    assert reason([200, 5, 200, 0, 200]) is None
    assert reason([200, 5, 199, 0, 200]) == phrase
    assert reason([200, 201, 202]) is None
    assert reason([900, 900]) == phrase
    assert reason([900, 900], min_paragraphs=2) is None
    assert reason([99, 99, 99], min_characters=99) is None
    assert reason([99, 99, 98], min_characters=99) == phrase
