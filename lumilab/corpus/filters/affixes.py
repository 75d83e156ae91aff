"""How the beginning, the end and the middle of a word split off: spaCy 3.8's English rules, one function each.

spaCy has a regular expression of alternatives for each (spacy/lang/punctuation.py, spacy/lang/en/punctuation.py). An
affix is one character that the flags name, or one of the few cases below. Where the pattern searches for an end, the
leftmost match counts, which is the longest.
"""

from __future__ import annotations

import numpy as np

from lumilab.corpus.compiled import compiled
from lumilab.corpus.filters.characters import (
    ALPHA,
    BEFORE_DOT,
    CURRENCY,
    ICON,
    LOWER,
    PREFIX,
    QUOTE,
    SUFFIX,
    UPPER,
)
from lumilab.corpus.filters.text import Characters, Hashes, hash_of
from lumilab.corpus.filters.word_table import UNIT, look_up

# Units of measure and currencies, split off after a digit. "тбكم" is two that lost the space between them in spaCy's
# list.
UNITS = """km km² km³ m m² m³ dm dm² dm³ cm cm² cm³ mm mm² mm³ ha µm nm yd in ft kg g mg µg t lb oz m/s km/h kmh mph
hPa Pa mbar mb MB kb KB gb GB tb TB T G M K км км² км³ м м² м³ дм дм² дм³ см см² см³ мм мм² мм³ нм кг г мг м/с км/ч кПа
Па мбар Кб КБ кб Мб МБ мб Гб ГБ гб Тб ТБ тбكم كم² كم³ م م² م³ سم سم² سم³ مم مم² مم³ كم غرام جرام جم كغ ملغ كوب اكواب
% US$ C$ A$"""
_LONGEST_UNIT = 5
_ZERO, _NINE, _DOT, _PLUS, _HYPHEN, _STAR, _CARET = (ord(character) for character in "09.+-*^")
_COMMA, _DOLLAR, _TILDE, _U, _S, _C, _A, _SMALL_S, _F, _K = (ord(character) for character in ",$~USCAsFK")
_COLON, _LESS, _GREATER, _EQUALS, _SLASH = (ord(character) for character in ":<>=/")
_APOSTROPHE, _CURLY, _ELLIPSIS, _EN_DASH, _EM_DASH, _DEGREE = (ord(character) for character in "'’…–—°")


@compiled
def is_ascii_digit(code: np.uint32) -> bool:
    """Whether a character is one of 0 to 9."""
    return bool(_ZERO <= code <= _NINE)


@compiled
def prefix_length(characters: Characters, kinds: Characters, first: int, end: int) -> int:
    """How many characters split off the beginning of the word from `first` up to `end`; 0 for none."""
    code = characters[first]
    if kinds[first] & PREFIX:
        return 1
    if code == _PLUS:
        return 0 if first + 1 < end and is_ascii_digit(characters[first + 1]) else 1
    if code == _DOT:
        place = first
        while place < end and characters[place] == _DOT:
            place += 1
        return place - first if place - first >= 2 else 0
    if (code in (_C, _A)) and first + 1 < end and characters[first + 1] == _DOLLAR:
        return 2
    if code == _U and first + 2 < end and characters[first + 1] == _S and characters[first + 2] == _DOLLAR:
        return 3
    return 0


@compiled
def suffix_length(characters: Characters, kinds: Characters, table: Hashes, first: int, end: int) -> int:
    """How many characters split off the end of the word from `first` up to `end`; 0 for none."""
    last = end - 1
    if last < first:
        return 0
    code = characters[last]
    has_two = last > first
    length = 1 if kinds[last] & SUFFIX else 0
    if has_two:
        before = characters[last - 1]
        if code == _ELLIPSIS and before == _ELLIPSIS:
            return 2
        if (code in (_SMALL_S, _S)) and (before in (_APOSTROPHE, _CURLY)):
            length = 2
        elif code == _DOT:
            return _dots(characters, kinds, first, end)
        elif (code == _PLUS and is_ascii_digit(before)) or (kinds[last] & CURRENCY and is_ascii_digit(before)):
            length = 1
    return max(length, _unit(characters, table, first, end))


@compiled
def _dots(characters: Characters, kinds: Characters, first: int, end: int) -> int:
    """A run of full stops; or one, after what a sentence may end with."""
    place = end
    while place > first and characters[place - 1] == _DOT:
        place -= 1
    if end - place >= 2:
        return end - place
    before = end - 2
    if kinds[before] & BEFORE_DOT:
        return 1
    if before > first:
        code = characters[before]
        if kinds[before] & UPPER and kinds[before - 1] & UPPER:
            return 1
        if characters[before - 1] == _DEGREE and (code in (_F, _C, _K)):
            return 1
    return 0


@compiled
def _unit(characters: Characters, table: Hashes, first: int, end: int) -> int:
    """A unit of measure or a currency after a digit: the nearest one, because no unit holds a digit."""
    for place in range(end - 1, max(first, end - 1 - _LONGEST_UNIT) - 1, -1):
        if is_ascii_digit(characters[place]):
            length = end - 1 - place
            if length > 0 and look_up(table, hash_of(characters, place + 1, end)) & UNIT:
                return length
            return 0
    return 0


@compiled
def infix_length(characters: Characters, kinds: Characters, first: int, place: int, end: int) -> int:
    """How many characters at `place`, within the word from `first` up to `end`, stand between two parts; 0 for none."""
    code = characters[place]
    if kinds[place] & ICON or code == _ELLIPSIS:
        return 1
    if code == _DOT and place + 1 < end and characters[place + 1] == _DOT:
        stop = place
        while stop < end and characters[stop] == _DOT:
            stop += 1
        return stop - place
    if place == first or place + 1 >= end:
        return 0
    before, after = kinds[place - 1], kinds[place + 1]
    after_digit = is_ascii_digit(characters[place - 1])
    if code in (_PLUS, _HYPHEN, _STAR, _CARET):
        following = characters[place + 1]
        if after_digit and (is_ascii_digit(following) or following == _HYPHEN):
            return 1
    if code == _DOT:
        return 1 if before & (LOWER | QUOTE) and after & (UPPER | QUOTE) else 0
    if code == _COMMA:
        return 1 if before & ALPHA and after & ALPHA else 0
    if not (before & ALPHA or after_digit):
        return 0
    if code in (_COLON, _LESS, _GREATER, _EQUALS, _SLASH):
        return 1 if after & ALPHA else 0
    return _hyphens(characters, kinds, place, end)


@compiled
def _hyphens(characters: Characters, kinds: Characters, place: int, end: int) -> int:
    """One to three hyphens, one en dash, one or two em dashes or a tilde, with a letter behind."""
    code = characters[place]
    if code == _HYPHEN:
        longest = 3
    elif code == _EM_DASH:
        longest = 2
    elif code in (_EN_DASH, _TILDE):
        longest = 1
    else:
        return 0
    length = 1
    while length < longest and place + length < end and characters[place + length] == code:
        length += 1
    return length if place + length < end and kinds[place + length] & ALPHA else 0
