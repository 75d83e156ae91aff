"""The counts behind Gopher's repetition rules, over hashes: repeated lines and paragraphs, repeated runs of words.

Two texts are taken for equal when their 64-bit polynomial hashes are. Runs of words are compared in two ways, as in
datatrove: the most frequent run as a list of words, repeated runs as their letters joined ("a bc" equals "ab c").
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from lumilab.corpus.compiled import compiled
from lumilab.corpus.filters.characters import SPACE
from lumilab.corpus.filters.text import BASE, BASE_INVERSE, MULTIPLIER, Characters, Hashes, Positions, slot_for

_NEW_LINE = ord("\n")
BEGINNING = 14  # letters; most runs of five words have more, and few texts share so many by chance


class Repeats(NamedTuple):
    """Parts of a text, those that were there before, and the characters of these."""

    parts: int
    repeated: int
    characters: int


@compiled
def table_size(entries: int) -> int:
    """A power of two, at least twice the entries."""
    size = 16
    while size < 2 * entries:
        size *= 2
    return size


@compiled
def repeated_parts(
    characters: Characters, kinds: Characters, size: int, line_ends: int, strip: bool, skip_blank: bool, table: Hashes
) -> Repeats:
    """Parts between runs of at least `line_ends` new lines; with `line_ends` 0, between single ones.

    `strip` leaves out white space around the whole text, `skip_blank` parts of white space alone. `table` is uint64
    with room for twice the parts, and 16.
    """
    first, end = 0, size
    if strip:
        while first < end and kinds[first] & SPACE:
            first += 1
        while end > first and kinds[end - 1] & SPACE:
            end -= 1
    parts = repeated = repeated_characters = 0
    mask = table_size(_most_parts(characters, first, end)) - 1
    table[: mask + 1] = 0
    start = first
    place = first
    while place <= end:
        if place < end:
            if characters[place] != _NEW_LINE:
                place += 1
                continue
            stop = place + 1
            while line_ends > 0 and stop < end and characters[stop] == _NEW_LINE:
                stop += 1
            if stop - place < line_ends:
                place = stop
                continue
        if not (skip_blank and _is_blank(kinds, start, place)):
            parts += 1
            key = _part_hash(characters, start, place)
            slot = slot_for(table, mask, key)
            if table[slot] == key:
                repeated += 1
                repeated_characters += place - start
            table[slot] = key
        if place == end:
            break
        start = place = stop
    return Repeats(parts, repeated, repeated_characters)


@compiled
def _most_parts(characters: Characters, first: int, end: int) -> int:
    count = 1
    for place in range(first, end):
        count += characters[place] == _NEW_LINE
    return count


@compiled
def _is_blank(kinds: Characters, first: int, end: int) -> bool:
    while first < end and kinds[first] & SPACE:
        first += 1
    return first == end


@compiled
def _part_hash(characters: Characters, first: int, end: int) -> np.uint64:
    """The hash of a part, never 0: that of four polynomials, each of every fourth character, which do not wait."""
    a = b = c = d = MULTIPLIER + np.uint64(end - first)
    place = first
    while place + 4 <= end:
        a = a * BASE + np.uint64(characters[place])
        b = b * BASE + np.uint64(characters[place + 1])
        c = c * BASE + np.uint64(characters[place + 2])
        d = d * BASE + np.uint64(characters[place + 3])
        place += 4
    while place < end:
        a = a * BASE + np.uint64(characters[place])
        place += 1
    total = ((a * MULTIPLIER + b) * MULTIPLIER + c) * MULTIPLIER + d
    return total + np.uint64(total == 0)


@compiled
def hash_words(
    characters: Characters,
    starts: Positions,
    ends: Positions,
    count: int,
    prefix: Hashes,
    inverse: Hashes,
    words: Hashes,
    lengths: Positions,
) -> None:
    """For the words joined without spaces: the hash up to each letter, and for each word what is needed to use it.

    `prefix` (uint64) receives the hash up to each letter, `lengths` (int32) the letters up to each word, each with one
    value more than there are; `inverse` BASE to minus these letters, `words` each word's own hash.
    """
    total = np.uint64(0)
    power = np.uint64(1)
    back = np.uint64(1)
    length = 0
    for word in range(count):
        inverse[word], lengths[word] = back, length
        before = total
        for place in range(starts[word], ends[word]):
            prefix[length] = total
            length += 1
            total += np.uint64(characters[place] + np.uint32(1)) * power
            power *= BASE
            back *= BASE_INVERSE
        words[word] = (total - before) * inverse[word]
    prefix[length], lengths[count] = total, length


@compiled
def top_run(
    words: Hashes, lengths: Positions, count: int, size: int, table: Hashes, times: Positions, places: Positions
) -> tuple[int, int]:
    """How often the most frequent run of `size` words is there, and its characters with one space between words.

    Of equally frequent runs the one that comes first counts. Zeros when there are too few words.
    """
    runs = count - size + 1
    if runs < 1:
        return 0, 0
    mask = table_size(runs) - 1
    table[: mask + 1] = 0
    best, best_place = 0, 0
    for place in range(runs):
        key = words[place]
        for word in range(place + 1, place + size):
            key = (key ^ (key >> np.uint64(31))) * MULTIPLIER + words[word]
        key += np.uint64(key == 0)
        slot = slot_for(table, mask, key)
        if table[slot] == 0:
            table[slot] = key
            times[slot] = 0
            places[slot] = place
        times[slot] += 1
        if times[slot] > best or (times[slot] == best and places[slot] < best_place):
            best, best_place = times[slot], places[slot]
    return best, lengths[best_place + size] - lengths[best_place] + size - 1


@compiled
def longest_run(lengths: Positions, count: int, size: int) -> int:
    """The characters of the longest run of `size` words with one space between words."""
    longest = 0
    for place in range(count - size + 1):
        longest = max(longest, lengths[place + size] - lengths[place])
    return longest + size - 1


@compiled
def shared_beginnings(
    prefix: Hashes,
    inverse: Hashes,
    lengths: Positions,
    count: int,
    table: Hashes,
    places: Positions,
    shared: npt.NDArray[np.bool_],
) -> None:
    """Marks each word from which on the next BEGINNING letters are the same as those from another word on.

    Runs of words that are equal and not shorter begin with such a word. Words too near the end are marked, too.
    """
    mask = table_size(count) - 1
    table[: mask + 1] = 0
    for word in range(count):
        first = lengths[word]
        shared[word] = first + BEGINNING > lengths[count]
        if shared[word]:
            continue
        key = (prefix[first + BEGINNING] - prefix[first]) * inverse[word]
        key += np.uint64(key == 0)
        slot = slot_for(table, mask, key)
        if table[slot] == 0:
            table[slot] = key
            places[slot] = word
        else:
            shared[word] = shared[places[slot]] = True


@compiled
def repeated_runs(
    prefix: Hashes,
    inverse: Hashes,
    lengths: Positions,
    count: int,
    size: int,
    shared: npt.NDArray[np.bool_],
    table: Hashes,
) -> int:
    """The letters of the runs of `size` words that were there before; counted runs do not overlap.

    Runs that `shared` shows to be there only once are passed over: they neither are repeated nor repeat another.
    """
    runs = count - size + 1
    if runs < 1:
        return 0
    mask = table_size(runs) - 1
    table[: mask + 1] = 0
    repeated = 0
    place = 0
    while place < runs:
        first, end = lengths[place], lengths[place + size]
        if not shared[place] and end - first >= BEGINNING:
            place += 1
            continue
        key = (prefix[end] - prefix[first]) * inverse[place]
        key += np.uint64(key == 0)
        slot = slot_for(table, mask, key)
        if table[slot] == key:
            repeated += end - first
            place += size
        else:
            table[slot] = key
            place += 1
    return repeated
