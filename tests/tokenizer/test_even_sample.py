"""The sample: as much as asked, from everywhere, the same every time."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from lumilab.tokenizer.sample import EvenSample

lengths = st.lists(st.integers(0, 50), min_size=1, max_size=200)


def taken(sizes: list[int], target: int) -> list[int]:
    sample = EvenSample(sum(sizes), target)
    parts = [len(sample.take("x" * size)) for size in sizes]
    assert sample.taken == sum(parts)
    return parts


@given(lengths)
def test_all_is_taken_when_enough_is_asked(sizes: list[int]) -> None:
    assert taken(sizes, sum(sizes)) == sizes
    assert taken(sizes, sum(sizes) + 1) == sizes


@given(lengths, st.integers(1, 10_000))
def test_the_sample_keeps_up_with_its_share_at_every_point(sizes: list[int], target: int) -> None:
    parts = taken(sizes, target)
    total, target = sum(sizes), min(target, sum(sizes))
    assert sum(parts) <= target
    for end in range(1, len(sizes) + 1):
        ahead = sum(parts[:end]) * total - target * sum(sizes[:end])
        assert -max(sizes) * total <= ahead <= max(sizes) * total


def test_long_texts_are_no_likelier_than_short_ones() -> None:
    draw = random.Random(0)
    sizes = [draw.choice([10, 1_000]) for _ in range(20_000)]
    kept = [size for size, part in zip(sizes, taken(sizes, sum(sizes) // 10), strict=True) if part]
    assert abs(sum(size == 1_000 for size in kept) / len(kept) - 0.5) < 0.05


def test_one_long_text_is_cut() -> None:
    assert EvenSample(1000, 100).take("ab" * 500) == "ab" * 50
