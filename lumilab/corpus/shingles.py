"""Shingles of raw text: every run of k normalised words as one 64-bit hash, in one pass over its UTF-8 bytes.

Near-duplicate search and decontamination compare texts by these. Normalisation makes two printings of one text equal:

- Letters are made lowercase, one by one (Unicode's simple lowercase; "ß" stays, "İ" becomes "i").
- Diacritics go: after canonical decomposition the marks of combining class 1 and 200 to 240, which stand across, above
  or below any letter, and 10 to 36, the points of Hebrew, Arabic and Syriac. Marks that spell stay: vowel signs (0),
  nukta (7), the voicing of kana (8), virama (9), the vowels and tones of Thai, Lao and Tibetan (84 to 132).
- A run of decimal digits of any script becomes one "0".
- What is neither letter, mark nor number (punctuation, symbols, white space, controls) ends a word. Format characters
  (soft hyphen, joiners, byte-order mark) and variation selectors vanish.
- Han, kana, Thai, Lao, Burmese and Khmer are written without spaces: each of their characters is a word.

This follows the text normalisation of datatrove (`simplify_text`, Penedo et al., arXiv:2406.17557, section 3.4), which
drops every nonspacing mark and leaves the cutting of words to a tokenizer per language. The tables come from the
running Python's `unicodedata`, so letters that a later Unicode adds count as separators until then.

A word's hash is multiplicative over its code points; a shingle's is the polynomial of its words' hashes modulo 2^64,
kept while rolling as in Karp and Rabin (1987), then mixed. Two different shingles agree with probability about 2^-64.
"""

from __future__ import annotations

import unicodedata
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from numba import njit

Bytes = npt.NDArray[np.uint8]
Hashes = npt.NDArray[np.uint64]

# What a code point is folded to, where it is not a letter: these two, or a letter with the flag.
ENDS_WORD = 0
VANISHES = 1
WORD_BY_ITSELF = 1 << 31
CHUNK = 4096  # shingles handed on at a time: they stay in the first-level cache

_HAN = ((0x3400, 0x4DC0), (0x4E00, 0xA000), (0x20000, 0x323B0))  # no case and no marks, so no look at each of them
_UNSPACED = ((0x0E00, 0x0F00), (0x1000, 0x10A0), (0x1780, 0x1800), (0x3040, 0x3100), (0x31F0, 0x3200), (0xF900, 0xFB00))
_HANGUL = (0xAC00, 0xD7A4)
_FOLDED = 0x20000  # code points from here on are Han or separators
_SKIPPED = (_HAN[0], _HAN[1], _HANGUL, (0xD800, 0xF900))  # below _FOLDED; the last are surrogates and private use
_NO_CHARACTER = "\U0010ffff"  # stands between characters that must not act on each other
_TABLE = 0x323B0

# Odd 64-bit constants: of FNV-like hashing (from the fraction of the golden ratio), and of splitmix64 (Steele et al.).
_LETTER = np.uint64(0x9E3779B97F4A7C15)
_WORD = np.uint64(0xD6E8FEB86659FD93)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)
_START = np.uint64(0x243F6A8885A308D3)
_DIGIT = np.uint32(ord("0"))

# Places in the state that is handed from one call of `next_shingles` to the next; from _RING on the window's words.
_LETTERS, _LAST, _ROLLING, _SLOT, _FULL, _POWER, _RING = range(7)


@lru_cache(maxsize=1)
def fold_table() -> npt.NDArray[np.uint32]:
    """What each code point below 0x323B0 becomes: uint32, computed once in about 0.05 s."""
    table = np.zeros(_TABLE, np.uint32)
    every = np.arange(_TABLE, dtype=np.uint32)
    for first, last in _HAN:
        table[first:last] = every[first:last] | np.uint32(WORD_BY_ITSELF)
    table[slice(*_HANGUL)] = every[slice(*_HANGUL)]
    begin = 0
    for first, last in (*_SKIPPED, (_FOLDED, _FOLDED)):
        table[begin:first] = _folded_range(begin, first)
        begin = last
    for first, last in _UNSPACED:
        letters = table[first:last]
        letters[(letters > VANISHES) & (letters != _DIGIT)] |= np.uint32(WORD_BY_ITSELF)
    table.setflags(write=False)
    return table


def _folded_range(first: int, last: int) -> list[int]:
    """Of each code point in a range: its letter, ENDS_WORD or VANISHES."""
    characters = list(map(chr, range(first, last)))
    # A letter that is small and whole already stays as it is; asking for all at once is ten times faster.
    bare = unicodedata.normalize("NFD", _NO_CHARACTER.join(characters).lower()).split(_NO_CHARACTER)
    return [
        code if plain == character and category in ("Ll", "Lo", "Lm") else _folded(character, category)
        for code, character, plain, category in zip(
            range(first, last), characters, bare, map(unicodedata.category, characters), strict=True
        )
    ]


def _folded(character: str, category: str) -> int:
    """One code point, ENDS_WORD or VANISHES for a character outside the ranges that need no look."""
    if category[0] not in "LMN":
        return VANISHES if category == "Cf" else ENDS_WORD
    if category == "Nd":
        return ord("0")
    if category == "Mn" and "VARIATION SELECTOR" in unicodedata.name(character, ""):
        return VANISHES
    kept = [part for part in unicodedata.normalize("NFD", character.lower()) if not _is_diacritic(part)]
    # Some letters of Indic scripts have no composed form in any normal form; they stay as they are.
    composed = unicodedata.normalize("NFC", "".join(kept)) if kept else ""
    if len(composed) > 1:
        return ord(character)
    return ord(composed) if composed else VANISHES


def _is_diacritic(character: str) -> bool:
    place = unicodedata.combining(character)
    return place == 1 or 10 <= place <= 36 or 200 <= place <= 240


@njit(cache=True, nogil=True)
def mixed(value: np.uint64) -> np.uint64:
    """All bits of the result depend on all bits of the value (the finaliser of splitmix64); a bijection."""
    value = (value ^ (value >> np.uint64(30))) * _MIX_1
    value = (value ^ (value >> np.uint64(27))) * _MIX_2
    return value ^ (value >> np.uint64(31))


@njit(cache=True, nogil=True)
def _decoded(data: Bytes, position: int) -> tuple[np.uint32, int]:
    """The code point of two to four bytes and its length; bytes that are no UTF-8 count as separators of length 1."""
    lead = np.uint32(data[position])
    length = 2 if lead < np.uint32(0xE0) else (3 if lead < np.uint32(0xF0) else 4)
    if lead < np.uint32(0xC2) or lead > np.uint32(0xF4) or position + length > data.size:
        return np.uint32(0x110000), 1
    code = lead & np.uint32(0x7F >> length)
    for ahead in range(1, length):
        code = (code << np.uint32(6)) | (np.uint32(data[position + ahead]) & np.uint32(0x3F))
    return code, length


@njit(cache=True, nogil=True)
def _add_word(letters: np.uint64, state: Hashes, out: Hashes, written: int) -> int:
    """Ends a word: rolls the window on and, once it is full, writes the shingle's hash. Returns the new count."""
    word = mixed(letters)
    slot = state[_SLOT]
    rolling = state[_ROLLING] * _WORD + word - state[slot] * state[_POWER]
    state[slot], state[_ROLLING] = word, rolling
    slot += np.uint64(1)
    if slot == np.uint64(state.size):
        slot, state[_FULL] = np.uint64(_RING), np.uint64(1)
    state[_SLOT] = slot
    out[written] = mixed(rolling)  # overwritten by the next while the window is not full
    return written + int(state[_FULL])


@njit(cache=True, nogil=True)
def next_shingles(
    data: Bytes, position: int, state: Hashes, fold: npt.NDArray[np.uint32], out: Hashes
) -> tuple[int, int]:
    """Fills `out` with the hashes of the next shingles.

    Args:
        data: the whole text as UTF-8.
        position: where to go on; 0 at first.
        state: of `new_state`, what is half read; changed.
        fold: of `fold_table`.
        out: uint64, at least 2; filled from its beginning.

    Returns:
        Where to go on (above the text's length when all is done), and how many hashes were written.
    """
    letters = state[_LETTERS]
    last = np.uint32(state[_LAST])
    written = 0
    while position <= data.size and written + 1 < out.size:  # a step writes at most two
        value = np.uint32(ENDS_WORD)
        # Most bytes are ASCII letters within a word: a loop of their own, as short as can be.
        while position < data.size:
            byte = data[position]
            value = fold[byte]
            if byte >= np.uint8(0x80) or value <= _DIGIT:
                break
            letters = (letters ^ np.uint64(value)) * _LETTER
            last = value
            position += 1
        length = 1
        if position < data.size and data[position] >= np.uint8(0x80):
            code, length = _decoded(data, position)
            value = fold[code] if code < np.uint32(_TABLE) else np.uint32(ENDS_WORD)
        elif position == data.size:
            value = np.uint32(ENDS_WORD)
        position += length
        if value == np.uint32(VANISHES):
            continue
        if value > np.uint32(VANISHES) and value < np.uint32(WORD_BY_ITSELF):
            if value != _DIGIT or last != _DIGIT:
                letters = (letters ^ np.uint64(value)) * _LETTER
            last = value
            continue
        if last != np.uint32(ENDS_WORD):
            written = _add_word(letters, state, out, written)
            letters, last = _START, np.uint32(ENDS_WORD)
        if value != np.uint32(ENDS_WORD):
            written = _add_word((_START ^ np.uint64(value)) * _LETTER, state, out, written)
    state[_LETTERS], state[_LAST] = letters, np.uint64(last)
    return position, written


def new_state(words: int) -> Hashes:
    """What `next_shingles` starts a text with, for shingles of this many words."""
    state = np.zeros(_RING + words, np.uint64)
    state[_LETTERS], state[_SLOT] = _START, _RING
    state[_POWER] = pow(int(_WORD), words, 1 << 64)
    return state


@njit(cache=True, nogil=True)
def _all_shingles(data: Bytes, state: Hashes, fold: npt.NDArray[np.uint32]) -> Hashes:
    out = np.empty(data.size // 2 + 3, np.uint64)  # a word and what ends it, or a word by itself, takes two bytes
    _, written = next_shingles(data, 0, state, fold, out)
    return out[:written].copy()


def shingle_hashes(data: bytes, words: int) -> Hashes:
    """The hashes of all shingles of a UTF-8 text, in the text's order with repetitions: uint64 [count].

    A text of fewer words has none. Needs up to 8 bytes of memory for each of the text's.
    """
    hashes: Hashes = _all_shingles(np.frombuffer(data, np.uint8), new_state(words), fold_table())
    return hashes
