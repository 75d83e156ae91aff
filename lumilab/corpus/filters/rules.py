"""The rules of each filter: counts against thresholds, in datatrove's order and with its `>` and `<`.

A rule returns the reason why a document is dropped, or None. Reasons are fixed phrases, counted in the corpus's card.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np

from lumilab.corpus.filters import c4_lines
from lumilab.corpus.filters.c4_lines import LineRules
from lumilab.corpus.filters.text import text_hash
from lumilab.corpus.filters.workspace import Workspace
from lumilab.recipe.filters import (
    C4Paragraphs,
    C4Quality,
    FineWebQuality,
    GopherQuality,
    GopherRepetition,
    LengthFilter,
)


class Rule(Protocol):
    """One filter."""

    def check(self, text: Workspace) -> str | None:
        """Why the text is dropped, or None."""


def _above(value: float, threshold: float | None) -> bool:
    return threshold is not None and value > threshold


def _below(value: float, threshold: float | None) -> bool:
    return threshold is not None and value < threshold


class Length:
    """Bounds on the number of words."""

    def __init__(self, config: LengthFilter) -> None:
        self.config = config

    def check(self, text: Workspace) -> str | None:
        """Words of any kind, symbols included."""
        if text.word_count < self.config.min_words:
            return "length: too few words"
        if _above(text.word_count, self.config.max_words):
            return "length: too many words"
        return None


class Repetition:
    """Gopher's rules on repetition; shares are of all the text's characters."""

    def __init__(self, config: GopherRepetition) -> None:
        self.config = config
        self.top = ((2, config.top_2_gram), (3, config.top_3_gram), (4, config.top_4_gram))
        self.repeated = (
            (5, config.duplicate_5_grams),
            (6, config.duplicate_6_grams),
            (7, config.duplicate_7_grams),
            (8, config.duplicate_8_grams),
            (9, config.duplicate_9_grams),
            (10, config.duplicate_10_grams),
        )

    def check(self, text: Workspace) -> str | None:
        """Paragraphs, lines, the most frequent runs, the repeated runs."""
        if text.size == 0:
            return "gopher_repetition: empty"
        return self._check_parts(text) or self._check_runs(text)

    def _check_parts(self, text: Workspace) -> str | None:
        config = self.config
        paragraphs = text.repeated_parts(2, strip=True)
        if _above(paragraphs.repeated / paragraphs.parts, config.duplicate_paragraphs):
            return "gopher_repetition: duplicate paragraphs"
        if _above(paragraphs.characters / text.size, config.duplicate_paragraph_characters):
            return "gopher_repetition: characters in duplicate paragraphs"
        lines = text.repeated_parts(1)
        if _above(lines.repeated / lines.parts, config.duplicate_lines):
            return "gopher_repetition: duplicate lines"
        if _above(lines.characters / text.size, config.duplicate_line_characters):
            return "gopher_repetition: characters in duplicate lines"
        return None

    def _check_runs(self, text: Workspace) -> str | None:
        times = None
        for size, threshold in self.top:
            # No run is there more often than the shorter ones in it, so the next table may not be needed.
            if threshold is None or (times is not None and times * text.longest_run(size) / text.size <= threshold):
                continue
            times, length = text.top_run(size)
            if times * length / text.size > threshold:
                return f"gopher_repetition: top {size}-gram"
        for size, threshold in self.repeated:
            if threshold is not None and _above(text.repeated_runs(size) / text.size, threshold):
                return f"gopher_repetition: duplicate {size}-grams"
        return None


class Quality:
    """Gopher's rules on words and lines."""

    def __init__(self, config: GopherQuality) -> None:
        self.config = config
        words = sorted(set(config.stop_words))
        self.stop_words = np.array([text_hash(word) for word in words], np.uint64)
        self.longest_stop_word = max(map(len, words), default=0)

    def check(self, text: Workspace) -> str | None:
        """The words' number, length and kind, signs, lines, stop words."""
        config, words = self.config, text.word_count
        counts = text.count_words(self.stop_words, self.longest_stop_word)
        if _below(counts.not_symbols, config.min_words):
            return "gopher_quality: too few words"
        if _above(counts.not_symbols, config.max_words):
            return "gopher_quality: too many words"
        if counts.not_symbols:
            mean = counts.characters / counts.not_symbols
            if _below(mean, config.min_mean_word_length) or _above(mean, config.max_mean_word_length):
                return "gopher_quality: mean word length"
        if not words:
            return "gopher_quality: no words"
        return self._check_lines(text) or self._check_kinds(counts.alphabetic / words, counts.stop_words)

    def _check_lines(self, text: Workspace) -> str | None:
        config, words = self.config, text.word_count
        counts = text.count_lines()
        if _above(counts.hashes / words, config.max_hashes_per_word):
            return "gopher_quality: hashes"
        if _above(counts.ellipses / words, config.max_ellipses_per_word):
            return "gopher_quality: ellipses"
        if _above(counts.bullets / counts.lines, config.max_bullet_lines):
            return "gopher_quality: bullet lines"
        if _above(counts.ellipsis_ends / counts.lines, config.max_ellipsis_lines):
            return "gopher_quality: lines ending in an ellipsis"
        return None

    def _check_kinds(self, alphabetic: float, stop_words: int) -> str | None:
        if _below(alphabetic, self.config.min_alphabetic_words):
            return "gopher_quality: words without letters"
        if _below(stop_words, self.config.min_stop_words):
            return "gopher_quality: stop words"
        return None


class Lines:
    """C4's rules; changes the text."""

    REASONS = {  # noqa: RUF012 (a constant)
        c4_lines.KEPT: None,
        c4_lines.LOREM_IPSUM: "c4: lorem ipsum",
        c4_lines.CURLY_BRACKET: "c4: curly bracket",
        c4_lines.TOO_FEW_SENTENCES: "c4: too few sentences",
    }

    def __init__(self, config: C4Quality) -> None:
        self.rules = LineRules(
            terminal_punctuation=config.terminal_punctuation,
            min_sentences=-1 if config.min_sentences is None else config.min_sentences,
            min_words=-1 if config.min_words_per_line is None else config.min_words_per_line,
            longest_word=-1 if config.max_word_length is None else config.max_word_length,
            citations=config.remove_citations,
            lorem_ipsum=config.lorem_ipsum,
            javascript=config.javascript,
            curly_bracket=config.curly_bracket,
            policy=config.policy,
        )

    def check(self, text: Workspace) -> str | None:
        """Line by line, then the number of sentences that are left."""
        return self.REASONS[text.filter_lines(self.rules)]


class Paragraphs:
    """mC4's rule on long lines."""

    def __init__(self, config: C4Paragraphs) -> None:
        self.config = config

    def check(self, text: Workspace) -> str | None:
        """The lengths of the longest lines."""
        longest = text.longest_lines(self.config.min_paragraphs)
        enough = len(longest) >= self.config.min_paragraphs and longest[-1] >= self.config.min_characters
        return None if enough else "c4_paragraphs: too few long lines"


class LineShape:
    """FineWeb's rules on the shape of lines."""

    def __init__(self, config: FineWebQuality) -> None:
        self.config = config

    def check(self, text: Workspace) -> str | None:
        """Punctuation, short lines, repeated lines, new lines for each word."""
        config = self.config
        shape = text.shape_of_lines(config.stop_characters == "ascii", config.short_line_characters)
        if not shape.not_blank:
            return "fineweb: empty"
        blank = config.blank_lines
        lines = shape.lines if blank else shape.not_blank
        stopped = (shape.stopped if blank else shape.not_blank_stopped) / lines
        allowed = stopped == 0 and config.allow_no_punctuation
        if self._beyond(stopped, config.min_line_punctuation, least=True) and not allowed:
            return "fineweb: lines without punctuation"
        if self._beyond((shape.short if blank else shape.not_blank_short) / lines, config.max_short_lines):
            return "fineweb: short lines"
        repeated = text.repeated_parts(0, skip_blank=True).characters / (text.size - shape.new_lines)
        if self._beyond(repeated, config.max_duplicate_line_characters):
            return "fineweb: duplicate lines"
        if _above(shape.new_lines / text.word_count, config.max_new_lines_per_word):
            return "fineweb: new lines per word"
        return None

    def _beyond(self, value: float, threshold: float | None, *, least: bool = False) -> bool:
        """Whether a share is on the wrong side of its threshold; exactly at it counts where the configuration says."""
        if value == threshold:
            return self.config.drop_at_threshold
        return _below(value, threshold) if least else _above(value, threshold)
