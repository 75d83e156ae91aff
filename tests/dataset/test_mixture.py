"""The mixture against a simulation that walks through every sample, and its promises at any weights."""

from __future__ import annotations

import random
import tracemalloc
from collections import Counter
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lumilab.dataset.mixture import Mixture, Segment
from lumilab.dataset.order import order_key, permute
from lumilab.dataset.schedule import LONGEST_CYCLE, WeightedSchedule
from lumilab.errors import ConfigError, InputError
from lumilab.recipe.dataset import MixtureConfig

decimals = st.integers(0, 400).map(lambda thousandths: thousandths / 1_000)
some_weights = st.lists(decimals, min_size=1, max_size=6).filter(any)


def chairmen(weights: list[Fraction], samples: int) -> list[int]:
    """Tijdeman's rule as he states it, step by step in fractions: of the sources that are owed enough, the one that
    will soonest be owed too much."""
    shares = [weight / sum(weights) for weight in weights]
    present = sum(share > 0 for share in shares)
    least = Fraction(1, 2 * present - 2) if present > 1 else Fraction(0)
    given, order = [0] * len(shares), []
    for sample in range(1, samples + 1):
        owed = [sample * share - got for share, got in zip(shares, given, strict=True)]
        ready = [place for place, share in enumerate(shares) if share and owed[place] >= least]
        chosen = min(ready, key=lambda place: ((1 - least - owed[place]) / shares[place], place))
        given[chosen] += 1
        order.append(chosen)
    return order


def simulated(windows: dict[str, int], seed: int, segments: list[Segment], samples: int) -> list[tuple[int, int]]:
    """Source and window of every sample, one after the other, with lists and counters."""
    names, answer = list(windows), []
    natural, drawn = 0, Counter[str]()
    everything = [(place, window) for place, name in enumerate(names) for window in range(windows[name])]
    ends = [segment.from_sample for segment in segments[1:]] + [samples]
    for segment, end in zip(segments, ends, strict=True):
        length = min(end, samples) - segment.from_sample
        if length <= 0:
            break
        if segment.weights is None:
            for _ in range(length):
                epoch, place = divmod(natural, len(everything))
                answer.append(everything[permute(place, len(everything), order_key(seed, epoch))])
                natural += 1
            continue
        for source in chairmen([Fraction(str(segment.weights.get(name, 0))) for name in names], length):
            name = names[source]
            epoch, place = divmod(drawn[name], windows[name])
            answer.append((source, permute(place, windows[name], order_key(seed, name, epoch))))
            drawn[name] += 1
    return answer


def located(mixture: Mixture, samples: list[int]) -> list[tuple[int, int]]:
    sources, windows = mixture.locate(np.array(samples, dtype=np.int64))
    assert sources.dtype == windows.dtype == np.int64
    return list(zip(sources.tolist(), windows.tolist(), strict=True))


@given(some_weights)
@settings(max_examples=60)
def test_every_source_always_has_its_share_within_a_sample(weights: list[float]) -> None:
    schedule = WeightedSchedule(weights)
    samples = min(3 * schedule.cycle, 4_000)
    sources, places = schedule.locate(np.arange(samples))
    total = sum(Fraction(str(weight)) for weight in weights)
    present = sum(weight > 0 for weight in weights)
    bound = 1 - Fraction(1, 2 * present - 2) if present > 1 else Fraction(0)
    for source, weight in enumerate(weights):
        share, count = Fraction(str(weight)) / total, 0
        for sample in np.flatnonzero(sources == source).tolist():
            assert places[sample] == count, "the places of a source rise by one"
            assert abs(sample * share - count) <= bound and abs((sample + 1) * share - count - 1) <= bound
            count += 1
        assert schedule.drawn(samples)[source] == count


@given(some_weights)
@settings(max_examples=40)
def test_the_order_is_tijdemans(weights: list[float]) -> None:
    schedule = WeightedSchedule(weights)
    samples = min(2 * schedule.cycle, 600)
    expected = chairmen([Fraction(str(weight)) for weight in weights], samples)
    assert schedule.locate(np.arange(samples))[0].tolist() == expected


def test_weights_are_the_decimals_that_are_written() -> None:
    assert WeightedSchedule([0.1, 0.2, 0.7]).counts.tolist() == [1, 2, 7]
    assert WeightedSchedule([0.3, 0.3, 0.3]).counts.tolist() == [1, 1, 1]
    assert WeightedSchedule([70, 30]).counts.tolist() == [7, 3]
    assert WeightedSchedule([Fraction(1, 3), Fraction(1, 6), 0.5]).counts.tolist() == [2, 1, 3]


def test_a_cycle_longer_than_the_table_is_refused() -> None:
    assert WeightedSchedule([1, LONGEST_CYCLE - 1]).cycle == LONGEST_CYCLE
    with pytest.raises(ConfigError, match="round the weights"):
        WeightedSchedule([0.333333, 0.666667])


@given(
    st.lists(st.integers(1, 40), min_size=1, max_size=4),
    st.integers(0, 3),
    st.lists(st.tuples(st.integers(1, 60), st.none() | st.lists(decimals, min_size=4, max_size=4)), max_size=4),
)
@settings(max_examples=25)
def test_it_is_the_simulation_that_walks_through_every_sample(
    sizes: list[int], seed: int, plan: list[tuple[int, list[float] | None]]
) -> None:
    windows = {f"s{number}": size for number, size in enumerate(sizes)}
    segments, start = [], 0
    for length, weights in plan or [(1, None)]:
        shares = None if weights is None else dict(zip(windows, weights, strict=False))
        segments.append(Segment(start, shares if shares is None or any(shares.values()) else None))
        start += length
    mixture = Mixture(windows, seed, segments)
    expected = simulated(windows, seed, segments, start + 60)
    samples = list(range(start + 60))
    assert located(mixture, samples) == expected
    random.Random(seed).shuffle(samples)
    assert located(mixture, samples[:50]) == [expected[sample] for sample in samples[:50]]
    assert [located(mixture, [sample])[0] for sample in samples[:10]] == [expected[sample] for sample in samples[:10]]


@given(st.lists(st.integers(1, 60), min_size=1, max_size=4), st.lists(st.integers(1, 9), min_size=4, max_size=4))
@settings(max_examples=40)
def test_every_epoch_of_a_source_visits_each_window_once(sizes: list[int], numbers: list[int]) -> None:
    windows = {f"s{number}": size for number, size in enumerate(sizes)}
    first = dict(zip(windows, map(float, numbers), strict=False))
    # The weights change in the middle of epochs, and those go on.
    mixture = Mixture(windows, 5, [Segment(0, first), Segment(37, dict.fromkeys(windows, 1.0))])
    found = located(mixture, list(range(37 + 3 * len(sizes) * max(sizes))))
    for source, size in enumerate(sizes):
        visited = [window for place, window in found if place == source]
        for epoch in range(len(visited) // size):
            assert sorted(visited[epoch * size : (epoch + 1) * size]) == list(range(size))


def test_one_source_has_the_order_of_before_there_were_mixtures() -> None:
    """Runs that were begun without a mixture go on as they were: epochs of `permute` with the key of seed and epoch."""
    expected = [permute(place, 10, order_key(42, epoch)) for epoch in range(3) for place in range(10)]
    assert [window for _, window in located(Mixture({"only": 10}, 42), list(range(30)))] == expected


def test_three_sources_and_two_phases_have_their_shares_to_the_sample() -> None:
    config = MixtureConfig.model_validate(
        {"phases": [{"weights": {"a": 0.5, "b": 0.3, "c": 0.2}, "tokens": 10_000}, {"weights": {"a": 1, "c": 2}}]}
    )
    mixture = Mixture.planned(config, {"a": 100, "b": 1_000, "c": 7}, seed=1, window=32, batch=8)
    # 10 000 tokens are 312.5 windows of 32; whole batches of 8 are 320.
    assert [segment.from_sample for segment in mixture.segments] == [0, 320]
    for count in (1, 7, 100, 319, 320):
        for name, share in {"a": 0.5, "b": 0.3, "c": 0.2}.items():
            assert abs(mixture.shares(0, count)[name] - share) * count < 1
    for count in (1, 2, 50, 3_000):
        realised = mixture.shares(320, count)
        assert realised["b"] == 0
        assert abs(realised["a"] - 1 / 3) * count < 1 and abs(realised["c"] - 2 / 3) * count < 1


def test_new_weights_leave_the_samples_before_as_they_were() -> None:
    windows = {"a": 30, "b": 50}
    before = Mixture(windows, 9, [Segment(0, {"a": 0.5, "b": 0.5}), Segment(500, {"a": 1.0})])
    after = before.extend(101, {"b": 1.0})
    assert [segment.from_sample for segment in after.segments] == [0, 101]
    assert located(after, list(range(101))) == located(before, list(range(101)))
    assert {source for source, _ in located(after, list(range(101, 700)))} == {1}
    # The epoch of b that was going on goes on.
    visited = [window for source, window in located(after, list(range(200))) if source == 1]
    assert sorted(visited[:50]) == sorted(visited[50:100]) == list(range(50))
    assert [Segment.from_json(segment.to_json()) for segment in after.segments] == list(after.segments)


def test_a_mix_of_ten_thousand_million_windows_is_a_small_table() -> None:
    windows = {"web": 7 * 10**9, "code": 2 * 10**9, "books": 10**9}
    tracemalloc.start()
    try:
        mixture = Mixture(windows, 3, [Segment(0, {"web": 0.62, "code": 0.25, "books": 0.13})])
        near = located(mixture, list(range(64)))
        far = located(mixture, list(range(10**9, 10**9 + 64)))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    print(f"peak memory for {sum(windows.values()):,} windows: {peak / 1e3:.0f} kB")  # noqa: T201
    assert peak < 1_000_000
    assert len(set(near + far)) == 128
    assert Mixture({"web": 10**10}, 3).locate(np.array([10**9]))[1][0] == permute(10**9, 10**10, order_key(3, 0))


def refused(kind: type[Exception], weights: dict[str, float], windows: dict[str, int]) -> str:
    with pytest.raises(kind) as error:
        Mixture(windows, 0, [Segment(0, weights)])
    return str(error.value)


def test_what_cannot_be_mixed_is_refused() -> None:
    windows = {"wikipedia": 10, "python": 20, "short": 0}
    told = refused(ConfigError, {"wikipeda": 1.0}, windows)
    assert "no source wikipeda" in told and "did you mean wikipedia?" in told and "python" in told
    assert "weights" in refused(ConfigError, {"wikipedia": 0.0}, windows)
    assert "weights" in refused(ConfigError, {"wikipedia": 2.0, "python": -1.0}, windows)
    assert "not one whole window" in refused(InputError, {"short": 1.0}, windows)
    assert Mixture(windows, 0, [Segment(0, {"short": 0.0, "python": 1.0})]).shares(0, 9)["python"] == 1
    with pytest.raises(InputError, match="No source"):
        Mixture({"short": 0}, 0)
    config = MixtureConfig.model_validate({"phases": [{"weights": {"python": 1, "wikipedia": 0}}]})
    with pytest.raises(ConfigError, match="wikipedia has weight 0"):
        Mixture.planned(config, windows, 0, 8, 8)
    for starts in ([1], [0, 5, 5], []):
        with pytest.raises(ValueError, match="rise from sample 0"):
            Mixture(windows, 0, [Segment(start) for start in starts])
