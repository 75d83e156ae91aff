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
_INVERSE_POWERS = np.array([pow(int(BASE_INVERSE), power, 1 << 64) for power in range(5)], np.uint64)
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
    # Few texts repeat a part, so a key of some of its characters is tried first, and all characters only if it repeats.
    repeats = _tabulate_parts(characters, kinds, first, end, line_ends, skip_blank, table, False)
    if repeats.repeated > 0:
        return _tabulate_parts(characters, kinds, first, end, line_ends, skip_blank, table, True)
    return repeats


@compiled
def _tabulate_parts(
    characters: Characters,
    kinds: Characters,
    first: int,
    end: int,
    line_ends: int,
    skip_blank: bool,
    table: Hashes,
    exact: bool,
) -> Repeats:
    """The same between two places; unless `exact`, it may take parts for repeated that are not."""
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
            key = _part_hash(characters, start, place) if exact else _part_sketch(characters, start, place)
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
def _part_sketch(characters: Characters, first: int, end: int) -> np.uint64:
    """A hash of a part's length and some sixteen of its characters; never 0."""
    total = MULTIPLIER + np.uint64(end - first)
    for place in range(first, end, max(1, (end - first) >> 4)):
        total = total * BASE + np.uint64(characters[place])
    return total + np.uint64(total == 0)


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
        size = ends[word] - starts[word]
        for place in range(starts[word], ends[word]):
            prefix[length] = total
            length += 1
            total += np.uint64(characters[place] + np.uint32(1)) * power
            power *= BASE
        for _ in range(size >> 2):
            back *= _INVERSE_POWERS[4]
        back *= _INVERSE_POWERS[size & 3]
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
    shortest: int,
    candidates: Positions,
) -> int:
    """Finds each word from which on the next BEGINNING letters are the same as those from another word on.

    Runs of `shortest` words or more that are repeated begin with such a word, or have fewer letters; words of both
    kinds are written to `candidates` (int32 [count]), ascending. Returns their number.
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
    found = 0
    for word in range(count - shortest + 1):
        if shared[word] or lengths[word + shortest] - lengths[word] < BEGINNING:
            candidates[found] = word
            found += 1
    return found


@compiled
def repeated_runs(
    prefix: Hashes,
    inverse: Hashes,
    lengths: Positions,
    count: int,
    size: int,
    candidates: Positions,
    table: Hashes,
) -> int:
    """The letters of the runs of `size` words that were there before; counted runs do not overlap.

    Runs that begin with none of the `candidates` are passed over: they neither are repeated nor repeat another.
    """
    mask = table_size(candidates.size) - 1
    table[: mask + 1] = 0
    repeated = 0
    next_place = 0
    for place in candidates:
        if place + size > count:
            break
        if place < next_place:
            continue
        first, end = lengths[place], lengths[place + size]
        key = (prefix[end] - prefix[first]) * inverse[place]
        key += np.uint64(key == 0)
        slot = slot_for(table, mask, key)
        if table[slot] == key:
            repeated += end - first
            next_place = place + size
        else:
            table[slot] = key
    return repeated
