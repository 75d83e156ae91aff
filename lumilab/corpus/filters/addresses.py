"""Whether a word is a web or mail address, which is then not split: spaCy 3.8's pattern (URL_MATCH) as a scan.

The pattern: an optional scheme `x://`, an optional `user@`, a host, an optional port of two to five digits, an optional
rest after `/`, `?` or `#`. A host is an IPv4 address that is not private, or labels with dots and a last label of 2 to
63 small (or caseless) letters. None of `: / ? #` can be in a host, so a host ends where the first of them is.
"""

from __future__ import annotations

import numpy as np

from lumilab.corpus.compiled import compiled
from lumilab.corpus.filters.characters import DIGIT, HOST, LOWER, WORD
from lumilab.corpus.filters.text import Characters

_DOT, _COLON, _SLASH, _QUESTION, _HASH, _AT = (ord(character) for character in ".:/?#@")
_HYPHEN, _PLUS, _UNDERSCORE = (ord(character) for character in "-+_")
_ZERO = ord("0")
_LONGEST_LABEL = 64
_LONGEST_DOMAIN = 63


@compiled
def is_address(characters: Characters, kinds: Characters, first: int, end: int) -> bool:
    """Whether the whole word from `first` up to `end`, which holds no white space, is an address."""
    after_scheme = _after_scheme(characters, kinds, first, end)
    if _is_host_and_rest(characters, kinds, first, end) or (
        after_scheme > 0 and _is_host_and_rest(characters, kinds, after_scheme, end)
    ):
        return True
    for place in range(first + 1, end):
        if characters[place] == _AT and _is_host_and_rest(characters, kinds, place + 1, end):
            return True
    return False


@compiled
def _after_scheme(characters: Characters, kinds: Characters, first: int, end: int) -> int:
    """Where the word goes on after a scheme and `://`, or 0."""
    place = first
    while place < end and (
        kinds[place] & WORD or characters[place] == _HYPHEN or characters[place] == _PLUS or characters[place] == _DOT
    ):
        place += 1
    if (
        place - first >= 2
        and place + 2 < end
        and characters[place] == _COLON
        and characters[place + 1] == _SLASH
        and characters[place + 2] == _SLASH
    ):
        return place + 3
    return 0


@compiled
def _is_host_and_rest(characters: Characters, kinds: Characters, first: int, end: int) -> bool:
    """A host, a port and a path from `first` to the end of the word."""
    stop = first
    while stop < end:
        code = characters[stop]
        if code in (_COLON, _SLASH, _QUESTION, _HASH):
            break
        if not (kinds[stop] & (HOST | LOWER) or code in (_DOT, _HYPHEN, _UNDERSCORE)):
            return False
        stop += 1
    place = stop
    if place < end and characters[place] == _COLON:
        place += 1
        while place < end and kinds[place] & DIGIT:
            place += 1
        if not 2 <= place - stop - 1 <= 5:
            return False
    if place < end:
        code = characters[place]
        if code not in (_SLASH, _QUESTION, _HASH):
            return False
    return _is_domain(characters, kinds, first, stop) or _is_public_ip(characters, first, stop)


@compiled
def _is_domain(characters: Characters, kinds: Characters, first: int, end: int) -> bool:
    last_dot = end - 1
    while last_dot >= first and characters[last_dot] != _DOT:
        if not kinds[last_dot] & LOWER:
            return False
        last_dot -= 1
    if last_dot <= first or not 2 <= end - last_dot - 1 <= _LONGEST_DOMAIN:
        return False
    label = first
    for place in range(first, last_dot + 1):
        if characters[place] == _DOT:
            if not 1 <= place - label <= _LONGEST_LABEL:
                return False
            if not kinds[label] & HOST or not kinds[place - 1] & HOST:
                return False
            label = place + 1
        elif not (kinds[place] & HOST or characters[place] == _HYPHEN or characters[place] == _UNDERSCORE):
            return False
    return True


@compiled
def _is_public_ip(characters: Characters, first: int, end: int) -> bool:
    """Four numbers: 1-223, two of 0-255, 1-254, and none of the private networks."""
    numbers = np.full(4, -1, np.int64)
    part = 0
    start = first
    for place in range(first, end + 1):
        if place < end and characters[place] != _DOT:
            continue
        if part == 4:
            return False
        numbers[part] = _octet(characters, start, place, part)
        if numbers[part] < 0:
            return False
        part += 1
        start = place + 1
    if part != 4:
        return False
    a, b = numbers[0], numbers[1]
    private = a in (10, 127) or (a == 169 and b == 254) or (a == 192 and b == 168) or (a == 172 and 16 <= b <= 31)
    return not private


@compiled
def _octet(characters: Characters, first: int, end: int, part: int) -> int:
    """A number of an IP address, or -1."""
    length = end - first
    if not 1 <= length <= 3:
        return -1
    value = 0
    for place in range(first, end):
        if not _ZERO <= characters[place] <= _ZERO + 9:
            return -1
        value = value * 10 + int(characters[place]) - _ZERO
    leading_zero = characters[first] == _ZERO
    if part == 0:
        return value if not leading_zero and value <= 223 else -1
    if part == 3:
        return value if not leading_zero and value <= 254 else -1
    return value if value <= 255 and not (length == 3 and leading_zero) else -1
