"""Which pairs of tokens to merge, in which order: byte-pair encoding's learning (Sennrich et al. 2016, algorithm 1).

The pair that occurs most often is merged everywhere, again and again; of equally frequent ones the one with the lowest
ids, as `tokenizers` has it. A merge changes the counts of the neighbouring pairs only, in the words that hold the
pair, so each pair keeps a list of the words it was seen in, and a heap gives the next. Entries of the heap are only
corrected when they come to its top: counts of pairs that are in it never grow.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from lumilab.corpus.compiled import compiled

Array = npt.NDArray[Any]

NONE, NO_ROOM = -1, -2
ARITY = 4  # of the heap: flatter than a binary one, and four entries lie in one line of the cache
SIDES = 4  # to spare
PAIRS, PLACES, WAITING = range(3)  # what `used` counts: pairs in the table, entries of lists, entries of the heap


class _State(NamedTuple):
    """All that changes while merges are learned.

    Attributes:
        symbols, starts, lengths, counts: the words: their tokens, where each begins, how many it has, how often it is.
        keys, pair_counts, heads, touched: the pairs, a hash table: both ids in one number, how often, the first entry
            of its list of words, the merge that changed it last.
        words, following: the entries of all lists: a word, and the next entry.
        heap_counts, heap_keys: the heap: how often a pair was when it was put there, and its two ids.
        changed: slots that a merge has touched.
        used: how much of the table, of the lists and of the heap is in use.
    """

    symbols: Array
    starts: Array
    lengths: Array
    counts: Array
    keys: Array
    pair_counts: Array
    heads: Array
    touched: Array
    words: Array
    following: Array
    heap_counts: Array
    heap_keys: Array
    changed: Array
    used: Array


def learn_merges(
    symbols: Array, ends: Array, counts: Array, min_frequency: int, join: Callable[[int, int], int | None]
) -> None:
    """Finds the merges one after the other.

    Args:
        symbols: the first tokens of all words, int32, one word after the other; merged in place.
        ends: where in them each word ends, int64.
        counts: how often each word occurs, int64.
        min_frequency: pairs that are rarer are not merged.
        join: called with each pair; returns the id of what they become, or None to stop.
    """
    state = _begin(symbols, ends, counts, max(min_frequency, 1))
    highest = int(symbols.max(initial=0))
    left = right = token = NONE
    merge = 0
    while True:
        best = _step(state, left, right, token, merge, max(min_frequency, 1), highest)
        if best == NO_ROOM:
            state = _with_room(state, 2 * highest + SIDES)
            continue
        if best == NONE:
            return
        key = int(state.keys[best])
        left, right = key >> 32, key & 0xFFFFFFFF
        joined = join(left, right)
        if joined is None:
            return
        token = joined
        highest = max(highest, token)
        merge += 1


def _begin(symbols: Array, ends: Array, counts: Array, min_frequency: int) -> _State:
    starts = np.concatenate([[0], ends])[:-1].astype(np.int64)
    room = 1 << 16
    while True:
        state = _State(
            symbols=symbols,
            starts=starts,
            lengths=(ends - starts).astype(np.int32),
            counts=counts,
            keys=np.full(room, NONE, dtype=np.int64),
            pair_counts=np.zeros(room, dtype=np.int64),
            heads=np.full(room, NONE, dtype=np.int64),
            touched=np.full(room, NONE, dtype=np.int64),
            # A word has fewer pairs than tokens, and each place that is merged has one token less and two new pairs.
            words=np.empty(3 * symbols.size + 1, dtype=np.int32),
            following=np.empty(3 * symbols.size + 1, dtype=np.int64),
            heap_counts=np.empty(room, dtype=np.int64),
            heap_keys=np.empty(room, dtype=np.int64),
            changed=np.empty(room, dtype=np.int64),
            used=np.zeros(3, dtype=np.int64),
        )
        if _count_pairs(state, min_frequency):
            return state
        room *= 2


def _with_room(state: _State, pairs: int) -> _State:
    """The same with room for more pairs in the table and the heap."""
    if 2 * (state.used[PAIRS] + pairs) > state.keys.size:
        size = 2 * state.keys.size
        while 2 * (state.used[PAIRS] + pairs) > size:
            size *= 2
        larger = state._replace(
            keys=np.full(size, NONE, dtype=np.int64),
            pair_counts=np.zeros(size, dtype=np.int64),
            heads=np.full(size, NONE, dtype=np.int64),
            touched=np.full(size, NONE, dtype=np.int64),
            changed=np.empty(size, dtype=np.int64),
        )
        _move(state, larger)
        state = larger
    if state.used[WAITING] + pairs > state.heap_counts.size:
        size = 2 * state.heap_counts.size + pairs
        state = state._replace(heap_counts=_resized(state.heap_counts, size), heap_keys=_resized(state.heap_keys, size))
    return state


def _resized(array: Array, size: int) -> Array:
    larger = np.empty(size, dtype=array.dtype)
    larger[: array.size] = array
    return larger


@compiled
def _slot_of(keys: Array, key: Any) -> int:
    """Where a key is in the table, or the empty slot where it belongs."""
    mask = keys.size - 1
    mixed = np.uint64(key) * np.uint64(0x9E3779B97F4A7C15)
    slot = int(np.int64(mixed >> np.uint64(20))) & mask
    while keys[slot] != NONE and keys[slot] != key:
        slot = (slot + 1) & mask
    return slot


@compiled
def _find(keys: Array, left: int, right: int) -> int:
    key = (np.int64(left) << 32) | np.int64(right)
    slot = _slot_of(keys, key)
    return slot if keys[slot] == key else NONE


@compiled
def _see(state: _State, left: int, right: int, word: int, times: int) -> int:
    """Counts a pair that is new in a word, and notes the word; returns its slot."""
    key = (np.int64(left) << 32) | np.int64(right)
    slot = _slot_of(state.keys, key)
    if state.keys[slot] == NONE:
        state.keys[slot] = key
        state.used[PAIRS] += 1
    state.pair_counts[slot] += times
    head = state.heads[slot]
    if head == NONE or state.words[head] != word:
        entry = state.used[PLACES]
        state.words[entry] = word
        state.following[entry] = head
        state.heads[slot] = entry
        state.used[PLACES] += 1
    return slot


@compiled
def _count_pairs(state: _State, min_frequency: int) -> bool:
    """Counts the pairs of all words and fills the heap; False where the table is too small."""
    for word in range(state.starts.size):
        start = state.starts[word]
        for place in range(start, start + state.lengths[word] - 1):
            if 2 * (state.used[PAIRS] + 1) > state.keys.size:
                return False
            _see(state, state.symbols[place], state.symbols[place + 1], word, state.counts[word])
    for slot in range(state.keys.size):
        if state.keys[slot] != NONE:
            _push(state, slot, min_frequency)
    return True


@compiled
def _step(state: _State, left: int, right: int, token: int, merge: int, min_frequency: int, highest: int) -> int:
    """Merges a pair (unless `token` is NONE) and returns the slot of the next, NONE, or NO_ROOM with nothing done."""
    if token != NONE:
        # Every new pair has the new token and one of the others, on one of two sides.
        pairs = 2 * highest + SIDES
        if 2 * (state.used[PAIRS] + pairs) > state.keys.size or state.used[WAITING] + pairs > state.heap_counts.size:
            return NO_ROOM
        _merge(state, left, right, token, merge, min_frequency)
    return _best(state, min_frequency)


@compiled
def _merge(state: _State, left: int, right: int, token: int, merge: int, min_frequency: int) -> None:
    """Merges a pair in all words that hold it; what is new then goes into the heap."""
    changes = 0
    slot = _find(state.keys, left, right)
    entry = state.heads[slot]
    state.heads[slot] = NONE
    while entry != NONE:
        changes = _merge_word(state, state.words[entry], left, right, token, merge, changes)
        entry = state.following[entry]
    state.pair_counts[slot] = 0
    for number in range(changes):
        _push(state, state.changed[number], min_frequency)


@compiled
def _merge_word(state: _State, word: int, left: int, right: int, token: int, merge: int, changes: int) -> int:
    symbols, start, times = state.symbols, state.starts[word], state.counts[word]
    end = start + state.lengths[word]
    source = target = start
    while source < end:
        if symbols[source] != left or source + 1 >= end or symbols[source + 1] != right:
            symbols[target] = symbols[source]
            source += 1
            target += 1
            continue
        if target > start:
            _forget(state, symbols[target - 1], left, times)
            changes = _remember(state, symbols[target - 1], token, word, times, merge, changes)
        if source + 2 < end:
            _forget(state, right, symbols[source + 2], times)
            changes = _remember(state, token, symbols[source + 2], word, times, merge, changes)
        symbols[target] = token
        source += 2
        target += 1
    state.lengths[word] = target - start
    return changes


@compiled
def _forget(state: _State, left: int, right: int, times: int) -> None:
    slot = _find(state.keys, left, right)
    if slot != NONE:
        state.pair_counts[slot] -= times


@compiled
def _remember(state: _State, left: int, right: int, word: int, times: int, merge: int, changes: int) -> int:
    slot = _see(state, left, right, word, times)
    if state.touched[slot] != merge:
        state.touched[slot] = merge
        state.changed[changes] = slot
        changes += 1
    return changes


@compiled
def _move(old: _State, new: _State) -> None:
    """Puts all pairs into a larger table."""
    for slot in range(old.keys.size):
        key = old.keys[slot]
        if key != NONE:
            place = _slot_of(new.keys, key)
            new.keys[place] = key
            new.pair_counts[place] = old.pair_counts[slot]
            new.heads[place] = old.heads[slot]
            new.touched[place] = old.touched[slot]


# --- the heap --------------------------------------------------------------------------------------------------------


@compiled
def _before(count: int, key: int, other_count: int, other_key: int) -> bool:
    """Whether one pair is to be merged before another."""
    return count > other_count or (count == other_count and key < other_key)


@compiled
def _push(state: _State, slot: int, min_frequency: int) -> None:
    """Puts a pair into the heap, unless it is too rare now; should it become frequent, it is put there again."""
    count, key = state.pair_counts[slot], state.keys[slot]
    if count < min_frequency:
        return
    counts, keys = state.heap_counts, state.heap_keys
    place = state.used[WAITING]
    state.used[WAITING] += 1
    while place:
        above = (place - 1) // ARITY
        if not _before(count, key, counts[above], keys[above]):
            break
        counts[place], keys[place] = counts[above], keys[above]
        place = above
    counts[place], keys[place] = count, key


@compiled
def _pop(state: _State) -> None:
    """Takes the first entry away; the last one sinks from its place."""
    counts, keys = state.heap_counts, state.heap_keys
    state.used[WAITING] -= 1
    size = state.used[WAITING]
    count, key = counts[size], keys[size]
    place = 0
    while ARITY * place + 1 < size:
        first = best = ARITY * place + 1
        for below in range(first + 1, min(first + ARITY, size)):
            if _before(counts[below], keys[below], counts[best], keys[best]):
                best = below
        if _before(count, key, counts[best], keys[best]):
            break
        counts[place], keys[place] = counts[best], keys[best]
        place = best
    counts[place], keys[place] = count, key


@compiled
def _best(state: _State, min_frequency: int) -> int:
    """The slot of the pair to merge next, which leaves the heap, or NONE."""
    while state.used[WAITING]:
        count = state.heap_counts[0]
        slot = _slot_of(state.keys, state.heap_keys[0])
        _pop(state)
        if state.pair_counts[slot] == count:
            return slot
        _push(state, slot, min_frequency)
    return NONE
