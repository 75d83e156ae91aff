"""The recipe's quality filters: every threshold of every rule, and the presets that set them together.

A section that is null is a filter that is off, a threshold that is null a rule that is off. `preset` fills in the
sections it knows; what the recipe sets itself wins, value by value. Where the figures are from:

- Gopher: Rae et al. 2021 (arXiv:2112.11446), section A.1 and table A1.
- C4: Raffel et al. 2020 (JMLR 21, 140), section 2.2, with the rules of its published code.
- FineWeb: Penedo et al. 2024 (arXiv:2406.17557), section 3.6, and FineWeb-2 (arXiv:2506.20920). The paper, the code
  that made the first FineWeb and the code since December 2024 differ; each has a preset.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from lumilab.recipe.section import Count, Section, Share, setting

Words = Annotated[int, Field(ge=0)]
Limit = Annotated[float, Field(ge=0)]


class LanguageFilter(Section):
    """Documents in other languages are dropped. Comes first."""

    languages: list[str] = setting(["en"], "codes of the languages that are kept (ISO 639-1)", min_length=1)
    min_score: Share = setting(0.65, "drop unless the language is more certain than this")
    model_file: str | None = setting(None, "a fastText model such as lid.176.bin; null for the built-in one")


class LengthFilter(Section):
    """Documents that are too short to learn from are dropped. A word comes to about 1.3 tokens."""

    min_words: Words = setting(100, "drop documents of fewer words (as the other filters count words)")
    max_words: Count | None = setting(None, "drop documents of more words")


class GopherRepetition(Section):
    """Drops documents that repeat themselves; all shares are of the text's characters unless they say otherwise."""

    duplicate_paragraphs: Share | None = setting(0.30, "largest share of paragraphs that were there before")
    duplicate_paragraph_characters: Share | None = setting(0.20, "largest share of characters in such paragraphs")
    duplicate_lines: Share | None = setting(0.30, "largest share of lines that were there before")
    duplicate_line_characters: Share | None = setting(0.20, "largest share of characters in such lines")
    top_2_gram: Limit | None = setting(0.20, "largest share of the most frequent pair of words")
    top_3_gram: Limit | None = setting(0.18, "largest share of the most frequent three words in a row")
    top_4_gram: Limit | None = setting(0.16, "largest share of the most frequent four words in a row")
    duplicate_5_grams: Limit | None = setting(0.15, "largest share of runs of 5 words that were there before")
    duplicate_6_grams: Limit | None = setting(0.14, "largest share of runs of 6 words that were there before")
    duplicate_7_grams: Limit | None = setting(0.13, "largest share of runs of 7 words that were there before")
    duplicate_8_grams: Limit | None = setting(0.12, "largest share of runs of 8 words that were there before")
    duplicate_9_grams: Limit | None = setting(0.11, "largest share of runs of 9 words that were there before")
    duplicate_10_grams: Limit | None = setting(0.10, "largest share of runs of 10 words that were there before")


class GopherQuality(Section):
    """Drops documents whose words and lines are not those of prose."""

    min_words: Count | None = setting(50, "fewest words that are not mere symbols")
    max_words: Count | None = setting(100_000, "most words that are not mere symbols")
    min_mean_word_length: Limit | None = setting(3.0, "smallest mean length of these words in characters")
    max_mean_word_length: Limit | None = setting(10.0, "largest mean length of these words in characters")
    max_hashes_per_word: Limit | None = setting(0.1, "most `#` for each word")
    max_ellipses_per_word: Limit | None = setting(0.1, "most ellipses for each word")
    max_bullet_lines: Share | None = setting(0.9, "largest share of lines that begin with a bullet or a hyphen")
    max_ellipsis_lines: Share | None = setting(0.3, "largest share of lines that end with an ellipsis")
    min_alphabetic_words: Share | None = setting(0.8, "smallest share of words with at least one letter")
    min_stop_words: Count | None = setting(2, "fewest different words of `stop_words`")
    stop_words: list[str] = setting(
        ["the", "be", "to", "of", "and", "that", "have", "with"], "frequent words that any prose has some of"
    )


class C4Quality(Section):
    """Drops lines that are not sentences, then documents with too little left; changes the text."""

    terminal_punctuation: bool = setting(True, "drop lines that do not end in . ? ! or a quotation mark")
    min_sentences: Count | None = setting(5, "fewest sentences in the lines that are left")
    min_words_per_line: Count | None = setting(3, "drop lines of fewer words (parted by white space)")
    max_word_length: Count | None = setting(1000, "drop lines with a longer word, in characters")
    remove_citations: bool = setting(True, "remove [1], [edit] and [citation needed]")
    lorem_ipsum: bool = setting(True, "drop documents with the words lorem ipsum")
    javascript: bool = setting(True, "drop lines that mention javascript")
    curly_bracket: bool = setting(True, "drop documents with a { in a line that is left")
    policy: bool = setting(True, "drop lines about cookies, privacy policies and terms of use")


class C4Paragraphs(Section):
    """Drops documents without enough long lines (the rule of mC4)."""

    min_paragraphs: Count = setting(3, "fewest lines of that length")
    min_characters: Count = setting(200, "characters a line needs to count")


class FineWebQuality(Section):
    """Drops lists, menus and forms by the shape of their lines."""

    min_line_punctuation: Share | None = setting(0.12, "smallest share of lines that end in punctuation")
    allow_no_punctuation: bool = setting(False, "keep documents in which no line at all does")
    stop_characters: Literal["unicode", "ascii"] = setting(
        "unicode", "such punctuation: unicode for every script's sentence ends, ascii for . ? ! and quotation marks"
    )
    max_short_lines: Share | None = setting(0.67, "largest share of short lines")
    short_line_characters: Words = setting(30, "a line of at most this many characters is short")
    max_duplicate_line_characters: Share | None = setting(0.01, "largest share of characters in repeated lines")
    max_new_lines_per_word: Limit | None = setting(0.3, "most line ends for each word")
    blank_lines: bool = setting(False, "count blank lines as lines (in the first two rules)")
    drop_at_threshold: bool = setting(
        False, "drop also at exactly the threshold, not only beyond it (but for line ends for each word)"
    )


_FINEWEB_V1 = {
    "language": {},
    "gopher_repetition": {},
    "gopher_quality": {},
    "c4": {"terminal_punctuation": False},
    "fineweb": {"stop_characters": "ascii", "blank_lines": True, "drop_at_threshold": True},
}
_PAPER = _FINEWEB_V1 | {
    "fineweb": {
        "stop_characters": "ascii",
        "blank_lines": True,
        "drop_at_threshold": True,
        "max_duplicate_line_characters": 0.1,
        "max_new_lines_per_word": None,
    }
}
# FineWeb-2 tunes some of these for each language but has no English; here they are FineWeb's.
_FINEWEB_2 = {
    "gopher_repetition": {
        "duplicate_paragraphs": None,
        "duplicate_paragraph_characters": None,
        "duplicate_line_characters": None,
    },
    "gopher_quality": {},
    "fineweb": {"max_short_lines": None, "max_duplicate_line_characters": 0.1},
}
PRESETS: dict[str, dict[str, Any]] = {
    "none": {},
    "gopher": {"gopher_repetition": {}, "gopher_quality": {}},
    "c4": {"c4": {}},
    "fineweb-v1": _FINEWEB_V1,
    "fineweb-paper": _PAPER,
    "fineweb-2": _FINEWEB_2,
}


class FiltersConfig(Section):
    """Which documents are good enough. The filters run in this order; the first that fails a document names why."""

    preset: Literal["none", "gopher", "c4", "fineweb-v1", "fineweb-paper", "fineweb-2"] = setting(
        "none", "fills in the sections below; values that are set there win"
    )
    language: LanguageFilter | None = setting(None, "which languages; null for any")
    length: LengthFilter | None = setting(None, "how long at least; null for any length")
    gopher_repetition: GopherRepetition | None = setting(None, "Gopher's rules on repetition; null for off")
    gopher_quality: GopherQuality | None = setting(None, "Gopher's rules on words and lines; null for off")
    c4: C4Quality | None = setting(None, "C4's rules on lines and sentences; null for off")
    c4_paragraphs: C4Paragraphs | None = setting(None, "mC4's rule on paragraphs; null for off")
    fineweb: FineWebQuality | None = setting(None, "FineWeb's rules on lines; null for off")

    @model_validator(mode="before")
    @classmethod
    def _fill_in_preset(cls, values: Any) -> Any:
        """Lays the set values over the preset's, section by section; a null switches a section off."""
        if not isinstance(values, dict) or values.get("preset", "none") not in PRESETS:
            return values  # for the validator to refuse
        filled = dict(values)
        for name, preset in PRESETS[values.get("preset", "none")].items():
            own = values.get(name, {})
            filled[name] = preset | own if isinstance(own, dict) else own
        return filled

    @model_validator(mode="after")
    def _possible(self) -> Self:
        quality = self.gopher_quality
        if quality and quality.min_stop_words and quality.min_stop_words > len(set(quality.stop_words)):
            raise ValueError(
                f"gopher_quality.min_stop_words ({quality.min_stop_words}) is more than there are stop_words: lower it"
            )
        return self
