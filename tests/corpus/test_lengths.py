from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lumilab.corpus.lengths import LengthHistogram

LENGTHS = st.lists(st.integers(0, 127) | st.integers(0, 2**40), min_size=1, max_size=200)


def histogram(lengths: list[int]) -> LengthHistogram:
    made = LengthHistogram()
    for length in lengths:
        made.add(length)
    return made


@given(LENGTHS, st.floats(0, 1))
def test_quantiles_are_at_most_a_64th_below_the_true_ones(lengths: list[int], share: float) -> None:
    true = int(np.quantile(np.array(lengths), share, method="lower"))
    found = histogram(lengths).quantile(share)
    assert found is not None
    assert found <= true
    assert true - found <= true / 64
    if true < 128:
        assert found == true


@given(LENGTHS, st.randoms())
def test_the_order_of_the_documents_does_not_matter(lengths: list[int], random: object) -> None:
    shuffled = sorted(lengths, key=lambda _: random.random())  # type: ignore[attr-defined]
    assert histogram(lengths).summary() == histogram(shuffled).summary()


def test_extremes_and_totals_are_exact() -> None:
    made = histogram([1_000_003, 5, 77_777])
    assert (made.count, made.total, made.shortest, made.longest) == (3, 1_077_785, 5, 1_000_003)


def test_an_empty_histogram_has_no_quantiles() -> None:
    assert set(LengthHistogram().summary().values()) == {None}


@pytest.mark.parametrize("length", [10**6, 10**9, 10**12])
def test_memory_does_not_grow_with_the_number_of_documents(length: int) -> None:
    made = LengthHistogram()
    for number in range(20_000):
        made.add(length + number * (length // 20_000))
    assert len(made._buckets) <= 2 * 64
