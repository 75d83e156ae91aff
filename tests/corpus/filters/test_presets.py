"""What each preset switches on, beside the published figures; length and language; the order of the filters."""

from __future__ import annotations

import math
from typing import Any

import pytest

from lumilab.corpus.filters import Filters, Verdict, build_filters
from lumilab.corpus.language import LanguageIdentifier
from lumilab.recipe.filters import PRESETS, FiltersConfig

# Rae et al. 2021, table A1 and section A.1.
REPETITION = {
    "duplicate_paragraphs": 0.3,
    "duplicate_paragraph_characters": 0.2,
    "duplicate_lines": 0.3,
    "duplicate_line_characters": 0.2,
    "top_2_gram": 0.2,
    "top_3_gram": 0.18,
    "top_4_gram": 0.16,
    "duplicate_5_grams": 0.15,
    "duplicate_6_grams": 0.14,
    "duplicate_7_grams": 0.13,
    "duplicate_8_grams": 0.12,
    "duplicate_9_grams": 0.11,
    "duplicate_10_grams": 0.1,
}
QUALITY = {
    "min_words": 50,
    "max_words": 100_000,
    "min_mean_word_length": 3,
    "max_mean_word_length": 10,
    "max_hashes_per_word": 0.1,
    "max_ellipses_per_word": 0.1,
    "max_bullet_lines": 0.9,
    "max_ellipsis_lines": 0.3,
    "min_alphabetic_words": 0.8,
    "min_stop_words": 2,
    "stop_words": ["the", "be", "to", "of", "and", "that", "have", "with"],
}
# Raffel et al. 2020, section 2.2, and the published code.
C4 = {
    "terminal_punctuation": True,
    "min_sentences": 5,
    "min_words_per_line": 3,
    "max_word_length": 1_000,
    "remove_citations": True,
    "lorem_ipsum": True,
    "javascript": True,
    "curly_bracket": True,
    "policy": True,
}
# Penedo et al. 2024, section 3.6, and the code that made the first FineWeb.
FINEWEB_V1 = {
    "min_line_punctuation": 0.12,
    "allow_no_punctuation": False,
    "stop_characters": "ascii",
    "max_short_lines": 0.67,
    "short_line_characters": 30,
    "max_duplicate_line_characters": 0.01,
    "max_new_lines_per_word": 0.3,
    "blank_lines": True,
    "drop_at_threshold": True,
}
LANGUAGE = {"languages": ["en"], "min_score": 0.65, "model_file": None}
ANY_LINE = C4 | {"terminal_punctuation": False}
WITHOUT_PARAGRAPHS = REPETITION | {
    "duplicate_paragraphs": None,
    "duplicate_paragraph_characters": None,
    "duplicate_line_characters": None,
}
OFF = dict.fromkeys(("language", "length", "gopher_repetition", "gopher_quality", "c4", "c4_paragraphs", "fineweb"))
GOPHER = {"gopher_repetition": REPETITION, "gopher_quality": QUALITY}
EXPECTED: dict[str, dict[str, Any]] = {
    "none": {},
    "gopher": GOPHER,
    "c4": {"c4": C4},
    "fineweb-v1": GOPHER | {"language": LANGUAGE, "c4": ANY_LINE, "fineweb": FINEWEB_V1},
    "fineweb-paper": GOPHER
    | {"language": LANGUAGE, "c4": ANY_LINE}
    | {"fineweb": FINEWEB_V1 | {"max_duplicate_line_characters": 0.1, "max_new_lines_per_word": None}},
    "fineweb-2": {"gopher_repetition": WITHOUT_PARAGRAPHS, "gopher_quality": QUALITY}
    | {
        "fineweb": FINEWEB_V1
        | {"stop_characters": "unicode", "blank_lines": False, "drop_at_threshold": False}
        | {"max_short_lines": None, "max_duplicate_line_characters": 0.1}
    },
}


def filters(**sections: Any) -> Filters:
    built = build_filters(FiltersConfig.model_validate(sections))
    assert built is not None
    return built


def test_every_preset_is_here() -> None:
    assert set(PRESETS) == set(EXPECTED)


@pytest.mark.parametrize("name", EXPECTED)
def test_a_preset_has_the_published_figures(name: str) -> None:
    config = FiltersConfig.model_validate({"preset": name})
    assert config.model_dump() == {"preset": name} | OFF | EXPECTED[name]


@pytest.mark.parametrize("name", EXPECTED)
def test_a_null_switches_a_section_of_a_preset_off(name: str) -> None:
    config = FiltersConfig.model_validate({"preset": name} | OFF)
    assert config.model_dump() == {"preset": name} | OFF
    assert build_filters(config) is None


def test_values_of_the_recipe_win_one_by_one() -> None:
    config = FiltersConfig.model_validate({"preset": "fineweb-v1", "c4": {"min_sentences": 2}, "length": {}})
    assert config.c4 is not None
    assert config.c4.model_dump() == ANY_LINE | {"min_sentences": 2}
    assert config.length is not None
    assert config.length.min_words == 100


def test_length() -> None:
    few, many = "length: too few words", "length: too many words"
    default, bounded = filters(length={}), filters(length={"min_words": 3, "max_words": 5})
    for count, expected in ((99, few), (100, None), (101, None)):
        assert default.apply("word " * count).reason == expected
    for count, expected in ((2, few), (3, None), (5, None), (6, many)):
        assert bounded.apply("word\n" * count).reason == expected
    assert bounded.apply("one, two").reason is None  # a comma is a word


ENGLISH = "The committee will meet again next week, and nobody knows what they are going to decide about the bridge."
GERMAN = "Der Ausschuss tritt nächste Woche wieder zusammen, und niemand weiß, was er über die Brücke beschließen wird."


def test_language() -> None:
    english = filters(language={})
    code, score = LanguageIdentifier().identify(ENGLISH)
    found = {"language": "en", "language_score": score}
    assert code == "en"
    assert score > 0.65
    assert english.apply(ENGLISH) == Verdict(ENGLISH, None, found)
    german = english.apply(GERMAN)
    assert (german.reason, german.meta["language"]) == ("language: not a wanted one", "de")
    assert filters(language={"languages": ["de", "fr"]}).apply(GERMAN).reason is None


def test_a_language_has_to_be_certain_enough() -> None:
    short = "the one"
    code, score = LanguageIdentifier().identify(short)
    assert 0 < score < 1
    uncertain = "language: uncertain"  # at the threshold, too, as in datatrove
    for least, expected in (
        (math.nextafter(score, 0), None),
        (score, uncertain),
        (math.nextafter(score, 1), uncertain),
    ):
        assert filters(language={"languages": [code], "min_score": least}).apply(short).reason == expected


def test_the_first_filter_in_the_order_names_the_reason() -> None:
    """A text that fails everything; with each filter that is taken away, the next one speaks."""
    text = "{ne Zeile\n" * 3
    sections: dict[str, Any] = {
        "language": {},
        "length": {},
        "gopher_repetition": {},
        "gopher_quality": {},
        "c4": {"terminal_punctuation": False, "min_words_per_line": None},
        "c4_paragraphs": {},
        "fineweb": {},
    }
    while sections:
        reason = filters(**sections).apply(text).reason
        first = next(iter(sections))
        assert reason is not None
        assert reason.split(":")[0] == first
        del sections[first]
