"""The permutation: a bijection at any size, keyed, the same for scalars and arrays, and well mixed."""

from __future__ import annotations

from hashlib import blake2b

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lumilab.dataset.order import order_key, permute

keys = st.integers(0, 2**64 - 1)


def reference(place: int, size: int, key: int) -> int:
    """The same network in plain Python integers, as the module's text describes it.

    Besides being a check of the vectorised one, this pins the order: were it to change, every run that goes on after
    an upgrade would see other samples than it would have.
    """
    bits = (size - 1).bit_length()
    low = (bits + 1) // 2
    digest = blake2b(key.to_bytes(8, "little"), digest_size=64).digest()
    round_keys = [int.from_bytes(digest[8 * number : 8 * number + 8], "little") for number in range(8)]
    while True:
        left, right = place >> low, place % 2**low
        for number, round_key in enumerate(round_keys):
            if number % 2 == 0:
                left ^= splitmix_finaliser(right ^ round_key) % 2 ** (bits - low)
            else:
                right ^= splitmix_finaliser(left ^ round_key) % 2**low
        place = left * 2**low + right
        if place < size:
            return place


def splitmix_finaliser(value: int) -> int:
    value = (value ^ (value >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
    value = (value ^ (value >> 27)) * 0x94D049BB133111EB % 2**64
    return value ^ (value >> 31)


@given(st.integers(1, 2**40), keys, st.data())
@settings(max_examples=200, deadline=None)
def test_it_is_the_network_described(size: int, key: int, data: st.DataObject) -> None:
    places = data.draw(st.lists(st.integers(0, size - 1), min_size=1, max_size=10))
    expected = [reference(place, size, key) for place in places]
    assert permute(np.array(places, dtype=np.int64), size, key).tolist() == expected


def test_a_key_is_the_hash_of_its_parts_as_json() -> None:
    assert order_key(42, 0) == int.from_bytes(blake2b(b"[42,0]", digest_size=8).digest(), "little")


def test_every_small_size_is_a_bijection() -> None:
    for size in range(1, 300):
        assert sorted(permute(np.arange(size), size, order_key("small", size)).tolist()) == list(range(size))


@given(st.integers(1, 50_000), keys)
@settings(max_examples=60, deadline=None)
def test_it_is_a_bijection(size: int, key: int) -> None:
    seen = np.zeros(size, dtype=bool)
    seen[permute(np.arange(size), size, key)] = True
    assert seen.all()


@pytest.mark.parametrize("size", [2**20 - 1, 2**20, 2**20 + 1])
def test_it_is_a_bijection_around_a_power_of_two(size: int) -> None:
    assert np.bincount(permute(np.arange(size), size, 5), minlength=size).max() == 1


@given(st.integers(1, 2**40), keys, st.data())
@settings(max_examples=150, deadline=None)
def test_large_sizes_stay_inside_and_apart(size: int, key: int, data: st.DataObject) -> None:
    places = data.draw(st.sets(st.integers(0, size - 1), max_size=50))
    result = permute(np.array(sorted(places), dtype=np.int64), size, key)
    assert result.size == 0 or (result.min() >= 0 and result.max() < size)
    assert len(set(result.tolist())) == len(places)


@given(st.integers(1, 2**40), keys, st.data())
@settings(max_examples=100, deadline=None)
def test_a_scalar_gives_what_the_array_gives(size: int, key: int, data: st.DataObject) -> None:
    places = np.array(data.draw(st.lists(st.integers(0, size - 1), min_size=1, max_size=5)), dtype=np.int64)
    together = permute(places, size, key)
    alone = [permute(place, size, key) for place in places.tolist()]
    assert together.tolist() == alone
    assert all(type(place) is int for place in alone)
    assert together.dtype == np.int64


def test_another_key_is_another_order() -> None:
    size = 10_000
    orders = [permute(np.arange(size), size, order_key(seed, epoch)) for seed in (0, 1) for epoch in (0, 1)]
    for number, order in enumerate(orders):
        for other in orders[:number]:
            # Two random orders agree at about one place, whatever the size; at 20 almost never.
            assert np.count_nonzero(order == other) < 20


def test_the_order_is_well_mixed() -> None:
    """Chi-square of where each tenth of the places goes, over many keys: 81 degrees of freedom."""
    size, rounds = 1_000, 50
    places = np.arange(size)
    table = np.zeros((10, 10))
    for key in range(rounds):
        result = permute(places, size, order_key("mixed", key))
        np.add.at(table, (places // 100, result // 100), 1)
    expected = size * rounds / 100
    statistic = ((table - expected) ** 2 / expected).sum()
    assert 40 < statistic < 130  # a random order hardly ever leaves this; the identity gives 450 000


def test_every_order_of_three_occurs_about_equally() -> None:
    counts: dict[tuple[int, ...], int] = {}
    for key in range(3_000):
        order = tuple(permute(np.arange(3), 3, order_key(key)).tolist())
        counts[order] = counts.get(order, 0) + 1
    assert len(counts) == 6
    assert min(counts.values()) > 300


def test_neighbours_do_not_stay_neighbours() -> None:
    size = 2**16
    steps = np.diff(permute(np.arange(size), size, 99))
    assert np.count_nonzero(np.abs(steps) == 1) < 20
    assert len(np.unique(steps)) > size // 4


def test_order_keys_differ_by_part_and_kind() -> None:
    parts = [(1,), (1, 0), ("1",), (0, 1), (1, "0"), (10,), ("", 1)]
    assert len({order_key(*each) for each in parts}) == len(parts)
    assert all(0 <= order_key(*each) < 2**64 for each in parts)


@pytest.mark.parametrize(("index", "size"), [(0, 0), (5, 5), (-1, 5), (0, -3), (0, 2**62 + 1)])
def test_what_is_outside_is_an_error(index: int, size: int) -> None:
    with pytest.raises(ValueError, match="not in"):
        permute(index, size, 1)
