"""The counts behind Gopher's quality rules, FineWeb's line rules and the word counts, one kernel each.

Kernels return whole numbers; the rules (`rules.py`) divide and compare them in floating point just as datatrove does.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from lumilab.corpus.compiled import compiled
from lumilab.corpus.filters.characters import LETTER, LINE_END, SPACE, STOP, SYMBOL
from lumilab.corpus.filters.text import Characters, Hashes, Positions, hash_of

_HASH, _DOT, _ELLIPSIS, _BULLET, _HYPHEN, _NEW_LINE, _RETURN = (ord(character) for character in "#.…•-\n\r")
_QUESTION, _EXCLAMATION, _DOUBLE_QUOTE, _QUOTE = (ord(character) for character in "?!\"'")


class WordCounts(NamedTuple):
    """Words that are more than symbols, their characters, words with a letter, and different stop words."""

    not_symbols: int
    characters: int
    alphabetic: int
    stop_words: int


class LineCounts(NamedTuple):
    """Hashes and ellipses in the text; lines, those that begin with a bullet, those that end with an ellipsis."""

    hashes: int
    ellipses: int
    lines: int
    bullets: int
    ellipsis_ends: int


@compiled
def count_words(
    characters: Characters,
    kinds: Characters,
    starts: Positions,
    ends: Positions,
    count: int,
    stop_words: Hashes,
    longest_stop_word: int,
) -> WordCounts:
    """Counts over the words; `stop_words` are hashes, each once."""
    not_symbols = length = alphabetic = 0
    seen = np.zeros(stop_words.size, np.bool_)
    unseen = stop_words.size
    for word in range(count):
        common = np.uint32(SYMBOL)
        some = np.uint32(0)
        place = starts[word]
        while place < ends[word] and (common or not some & np.uint32(LETTER)):  # a letter at its beginning tells all
            common &= kinds[place]
            some |= kinds[place]
            place += 1
        size = ends[word] - starts[word]
        if not common:
            not_symbols += 1
            length += size
        if some & np.uint32(LETTER):
            alphabetic += 1
        if unseen > 0 and size <= longest_stop_word:
            key = hash_of(characters, starts[word], ends[word])
            for index in range(stop_words.size):
                if stop_words[index] == key and not seen[index]:
                    seen[index] = True
                    unseen -= 1
    return WordCounts(not_symbols, length, alphabetic, stop_words.size - unseen)


@compiled
def count_lines(characters: Characters, kinds: Characters, size: int) -> LineCounts:
    """Counts over the lines as `str.splitlines` parts them."""
    hashes = ellipses = lines = bullets = ellipsis_ends = 0
    start = dots = 0
    for place in range(size + 1):
        if place < size:
            code = characters[place]
            dots = dots + 1 if code == _DOT else 0
            if dots == 3:  # as str.count does, without overlap
                ellipses += 1
                dots = 0
            ellipses += code == _ELLIPSIS
            hashes += code == _HASH
            if not kinds[place] & LINE_END:
                continue
            if code == _NEW_LINE and place > 0 and characters[place - 1] == _RETURN:
                start = place + 1  # one line end of two characters
                continue
        elif start == size:
            break
        lines += 1
        first, last = start, place - 1
        while first < place and kinds[first] & SPACE:
            first += 1
        while last >= start and kinds[last] & SPACE:
            last -= 1
        if first < place:
            bullets += characters[first] == _BULLET or characters[first] == _HYPHEN
            ellipsis_ends += characters[last] == _ELLIPSIS or (
                last - start >= 2
                and characters[last] == _DOT
                and characters[last - 1] == _DOT
                and characters[last - 2] == _DOT
            )
        start = place + 1
    return LineCounts(hashes, ellipses, lines, bullets, ellipsis_ends)


class LineShapes(NamedTuple):
    """Lines parted by new lines: all and not blank; those that end well and that are short, of each; new lines."""

    lines: int
    stopped: int
    short: int
    not_blank: int
    not_blank_stopped: int
    not_blank_short: int
    new_lines: int


@compiled
def shape_of_lines(
    characters: Characters, kinds: Characters, size: int, ascii_stops: bool, short_line: int
) -> LineShapes:
    """The counts of FineWeb's rules; a line of at most `short_line` characters is short."""
    lines = stopped = short = not_blank = not_blank_stopped = not_blank_short = 0
    start = 0
    blank = True
    for place in range(size + 1):
        if place < size and characters[place] != _NEW_LINE:
            blank = blank and kinds[place] & SPACE != 0
            continue
        ends_well = place > start and _is_stop(characters[place - 1], kinds[place - 1], ascii_stops)
        is_short = place - start <= short_line
        lines += 1
        stopped += ends_well
        short += is_short
        if not blank:
            not_blank += 1
            not_blank_stopped += ends_well
            not_blank_short += is_short
        start = place + 1
        blank = True
    return LineShapes(lines, stopped, short, not_blank, not_blank_stopped, not_blank_short, lines - 1)


@compiled
def _is_stop(code: np.uint32, kind: np.uint32, ascii_stops: bool) -> bool:
    if not ascii_stops:
        return bool(kind & np.uint32(STOP))
    return code in (_DOT, _QUESTION, _EXCLAMATION, _DOUBLE_QUOTE, _QUOTE)
