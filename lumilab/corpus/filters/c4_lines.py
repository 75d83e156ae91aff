"""C4's rules on lines in one kernel: which lines stay, how many sentences they hold, what is left of the text.

As datatrove's C4QualityFilter does it: a line is stripped, citations are taken out, and it is dropped for one of
several reasons; some words drop the whole document. Sentences are those of spaCy's sentencizer over the line's words.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from lumilab.corpus.compiled import compiled
from lumilab.corpus.filters.characters import DIGIT, LINE_END, MARK, PUNCTUATION, SENTENCE_END, SPACE
from lumilab.corpus.filters.reunite import Runs, reunite
from lumilab.corpus.filters.text import Characters, Hashes, Positions
from lumilab.corpus.filters.words import split

KEPT, LOREM_IPSUM, CURLY_BRACKET, TOO_FEW_SENTENCES = range(4)  # what becomes of a document


def _rows(phrases: tuple[str, ...]) -> Characters:
    """uint32 [phrases, longest + 1]: the characters of each phrase, then zeros."""
    table = np.zeros((len(phrases), max(map(len, phrases)) + 1), np.uint32)
    for row, phrase in enumerate(phrases):
        table[row, : len(phrase)] = [ord(character) for character in phrase]
    return table


_PHRASES = _rows(
    (
        "lorem ipsum",
        "javascript",
        "terms of use",
        "privacy policy",
        "cookie policy",
        "uses cookies",
        "use of cookies",
        "use cookies",
    )
)
# Where in each phrase two letters are that are rarely together elsewhere: ps, ja, ms, va, and ki for all about cookies.
_RARE = np.array([7, 0, 3, 3, 3, 8, 10, 7])
_CITATION_WORDS = _rows(("[edit]", "[citation needed]"))
_LOREM, _JAVASCRIPT, _POLICY, _OPENS, _CURLY_OPENS = 1, 2, 4, 8, 16  # what is found in a line
_SPACE, _NEW_LINE, _DOT, _CURLY, _OPEN, _CLOSE, _KELVIN = (ord(character) for character in " \n.{[]\u212a")
_QUESTION, _EXCLAMATION, _DOUBLE_QUOTE, _QUOTE = (ord(character) for character in "?!\"'")
_SMALL_A, _SMALL_I, _SMALL_K, _SMALL_S = (ord(character) for character in "aiks")


class LineRules(NamedTuple):
    """The section's values as numbers; -1 for a rule that is off."""

    terminal_punctuation: bool
    min_sentences: int
    min_words: int
    longest_word: int
    citations: bool
    lorem_ipsum: bool
    javascript: bool
    curly_bracket: bool
    policy: bool


class Remains(NamedTuple):
    """What becomes of the document, the first and end of what is left of it, and its words."""

    outcome: int
    first: int
    end: int
    words: int


@compiled
def filter_lines(
    characters: Characters,
    kinds: Characters,
    size: int,
    starts: Positions,
    ends: Positions,
    count: int,
    line_rules: LineRules,
    table: Hashes,
    apart: Runs,
    left: Characters,
    left_kinds: Characters,
) -> Remains:
    """Applies the rules to each line; `starts` and `ends` are the bounds of the text's `count` words.

    `left` and `left_kinds` (uint32, with room for the text and one more) receive what is left of the text.
    """
    written = sentences = words = word = 0
    start = 0
    for place in range(size + 1):
        if place < size and not kinds[place] & LINE_END:
            continue
        first, end = _stripped(kinds, start, place)
        while word < count and starts[word] < first:
            word += 1
        from_word = word
        while word < count and ends[word] <= end:
            word += 1
        ends_text = place == size and start == size
        after_return = place < size and characters[place] == _NEW_LINE and place == start and place > 0
        start = place + 1
        if ends_text or (after_return and characters[place - 1] == ord("\r")):
            continue
        words_in_line, marks = _scan_line(characters, kinds, first, end, line_rules.longest_word)
        if words_in_line < line_rules.min_words:
            continue
        begin = written + (written > 0)
        stop = _copy_line(
            characters, kinds, first, end, line_rules.citations and marks & _OPENS > 0, left, left_kinds, begin
        )
        if line_rules.terminal_punctuation and not _ends_sentence(left, begin, stop):
            continue
        if stop - begin != end - first:
            marks |= _scan_line(left, left_kinds, begin, stop, -1)[1]  # what stood around a citation is together now
        if line_rules.lorem_ipsum and marks & _LOREM:
            return Remains(LOREM_IPSUM, 0, 0, 0)
        if line_rules.javascript and marks & _JAVASCRIPT:
            continue
        if line_rules.curly_bracket and marks & _CURLY_OPENS:
            return Remains(CURLY_BRACKET, 0, 0, 0)
        if line_rules.policy and marks & _POLICY:
            continue
        if stop - begin == end - first:
            line_words = word - from_word
            line_sentences = _sentences(characters, kinds, first, end, starts[from_word:word], ends[from_word:word])
        else:
            line_words, line_sentences = _resplit(left, left_kinds, begin, stop, table, apart)
        words += line_words
        sentences += line_sentences
        if begin > 0:
            left[begin - 1], left_kinds[begin - 1] = _NEW_LINE, SPACE | LINE_END
        written = stop
    if sentences < line_rules.min_sentences:
        return Remains(TOO_FEW_SENTENCES, 0, 0, 0)
    first, end = _stripped(left_kinds, 0, written)
    return Remains(KEPT, first, end, words)


@compiled
def _stripped(kinds: Characters, first: int, end: int) -> tuple[int, int]:
    while first < end and kinds[first] & SPACE:
        first += 1
    while end > first and kinds[end - 1] & SPACE:
        end -= 1
    return first, end


@compiled
def _scan_line(characters: Characters, kinds: Characters, first: int, end: int, longest: int) -> tuple[int, int]:
    """The words between white space (-2 if one is longer than `longest`; -1 allows any), and what is in the line.

    That is _OPENS for a square bracket, _CURLY_OPENS for a curly one, and those of the phrases, added up.
    """
    words = marks = 0
    start = first  # of the current word
    for place in range(first, end + 1):
        if place == end or kinds[place] & SPACE:
            words += place > start
            if longest >= 0 and place - start > longest:
                return -2, marks
            start = place + 1
        elif kinds[place] & MARK:
            code = characters[place]
            if code == _OPEN:
                marks |= _OPENS
            elif code == _CURLY:
                marks |= _CURLY_OPENS
            elif place + 1 < end and _may_follow(characters[place + 1]):
                marks |= _phrase_around(characters, first, place, end)
    return words, marks


@compiled
def _may_follow(code: np.uint32) -> bool:
    """Whether a character can be the second of a phrase's two rare letters."""
    return code | np.uint32(32) in (_SMALL_S, _SMALL_A, _SMALL_I)


@compiled
def _copy_line(
    characters: Characters,
    kinds: Characters,
    first: int,
    end: int,
    citations: bool,
    left: Characters,
    left_kinds: Characters,
    written: int,
) -> int:
    """Copies a line to `written`, without its citations if there may be any; returns where the copy ends."""
    if not citations:
        for place in range(first, end):
            left[written + place - first], left_kinds[written + place - first] = characters[place], kinds[place]
        return written + end - first
    place = first
    while place < end:
        if characters[place] == _OPEN:
            after = _citation_end(characters, kinds, place, end)
            if after > place:
                place = after
                continue
        left[written], left_kinds[written] = characters[place], kinds[place]
        written += 1
        place += 1
    return written


@compiled
def _citation_end(characters: Characters, kinds: Characters, first: int, end: int) -> int:
    """Where the citation that begins at `first` ends, or `first` if none does: [1], [], [edit], [citation needed]."""
    place = first + 1
    while place < end and kinds[place] & DIGIT:
        place += 1
    if place < end and characters[place] == _CLOSE:
        return place + 1
    for words in _CITATION_WORDS:
        length = 0
        while words[length] != 0 and first + length < end and characters[first + length] == words[length]:
            length += 1
        if words[length] == 0:
            return first + length
    return first


@compiled
def _ends_sentence(characters: Characters, first: int, end: int) -> bool:
    """Whether a line ends in . ? ! or a straight quotation mark, and not in an ellipsis."""
    if end <= first:
        return False
    code = characters[end - 1]
    if code == _DOT:
        return not (end - first >= 3 and characters[end - 2] == _DOT and characters[end - 3] == _DOT)
    return code in (_QUESTION, _EXCLAMATION, _DOUBLE_QUOTE, _QUOTE)


@compiled
def _small(code: np.uint32) -> np.uint32:
    """The small letter, as far as the phrases need it: the Kelvin sign is a capital k as well."""
    if ord("A") <= code <= ord("Z"):
        return np.uint32(code + np.uint32(32))
    return np.uint32(_SMALL_K) if code == _KELVIN else code


@compiled
def _phrase_around(characters: Characters, first: int, place: int, end: int) -> int:
    """The kind of the phrase whose rare pair of letters is at `place` in the line from `first` up to `end`, or 0."""
    for row in range(_PHRASES.shape[0]):
        start = place - _RARE[row]
        if start < first or _small(characters[place]) != _PHRASES[row, _RARE[row]]:
            continue
        if place + 1 >= end or _small(characters[place + 1]) != _PHRASES[row, _RARE[row] + 1]:
            continue
        length = 0
        while (
            _PHRASES[row, length] != 0
            and start + length < end
            and _small(characters[start + length]) == _PHRASES[row, length]
        ):
            length += 1
        if _PHRASES[row, length] == 0:
            return min(1 << row, _POLICY)
    return 0


@compiled
def _sentences(
    characters: Characters, kinds: Characters, first: int, end: int, starts: Positions, ends: Positions
) -> int:
    """The sentences in the line from `first` up to `end` with these words; at least one.

    A sentence begins with the first word after a sentence end that is no punctuation. White space other than one space
    between words counts as a word.
    """
    sentences = 1
    seen_end = False
    for word in range(starts.size):
        start, stop = starts[word], ends[word]
        if kinds[start] & SENTENCE_END and stop - start == 1:
            seen_end = True
        elif seen_end:
            punctuation = True
            for place in range(start, stop):
                punctuation = punctuation and kinds[place] & PUNCTUATION != 0
            if not punctuation:
                sentences += 1
                seen_end = False
        following = starts[word + 1] if word + 1 < starts.size else end
        gap = following - stop
        if seen_end and gap > 0 and not (gap == 1 and characters[stop] == _SPACE):
            sentences += 1
            seen_end = False
    return sentences


@compiled
def _resplit(
    characters: Characters, kinds: Characters, first: int, end: int, table: Hashes, apart: Runs
) -> tuple[int, int]:
    """The words and sentences of a line that lost citations, whose words are others now."""
    room = end - first + 1
    starts, ends, suffixes = np.empty(room, np.int32), np.empty(room, np.int32), np.empty(room, np.int32)
    count = split(characters, kinds, first, end, table, starts, ends, suffixes)
    count = reunite(characters, count, table, apart, starts, ends)
    return count, _sentences(characters, kinds, first, end, starts[:count], ends[:count])
