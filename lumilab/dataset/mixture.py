"""Which window each sample of a run is: a pure function of its number, the seed, and how sources are mixed.

A run's samples are numbered from 0. They fall into *segments*, each from a sample on, with a way to choose:

- natural: all windows of all sources once an epoch, in one random order. Sample k of the segment is window
  `permute(k mod n)` of all n windows, in the order of epoch k div n;
- weighted: `lumilab.dataset.schedule` says which source, and that source's windows come in random orders of their own,
  each exactly once in every epoch of the source. How often a source has been drawn goes on counting from one weighted
  segment to the next, so that an epoch is not begun anew where the weights change.

Nothing else is ever kept: no list of windows, no buffer. So a run is at any of its samples at once, whatever the number
of devices, threads or restarts (`lumilab.dataset.order` has the random orders). Changing the weights in the middle of a
run appends a segment; the samples before it are as they were.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from lumilab.dataset.order import order_key, permute
from lumilab.dataset.schedule import WeightedSchedule
from lumilab.errors import ConfigError, InputError, MismatchError
from lumilab.recipe.dataset import MixtureConfig

PHASES = "mixture.phases"

Numbers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Segment:
    """A stretch of a run with one way to choose sources.

    Attributes:
        from_sample: its first sample; it lasts until the next segment's.
        weights: the share of the samples by source; None for the natural mix.
    """

    from_sample: int = 0
    weights: Mapping[str, float] | None = None

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return {"from_sample": self.from_sample, "weights": None if self.weights is None else dict(self.weights)}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Segment:
        """What `to_json` gave."""
        return cls(int(value["from_sample"]), None if value["weights"] is None else dict(value["weights"]))


NATURAL = (Segment(),)


@dataclass(frozen=True)
class _Stretch:
    """A segment ready for use: its schedule, and how often each source was drawn before it (natural: all together)."""

    start: int
    schedule: WeightedSchedule | None
    drawn: Numbers


class Mixture:
    """The samples of a run.

    Args:
        windows: how many windows each source has, in the order of the sources.
        seed: names the random orders.
        segments: one after the other, the first from sample 0.

    Attributes:
        sources: their names.
        segments: as given.

    Raises:
        ConfigError: a segment names a source that is not there, or the cycle of its weights is too long.
        InputError: a segment draws from a source that has not one window, or there is no window at all.
        ValueError: the segments do not rise from sample 0.
    """

    def __init__(self, windows: Mapping[str, int], seed: int, segments: Sequence[Segment] = NATURAL) -> None:
        starts = [segment.from_sample for segment in segments]
        if not starts or starts[0] != 0 or any(first >= second for first, second in pairwise(starts)):
            raise ValueError(f"segments must rise from sample 0, not {starts}")
        self.sources = tuple(windows)
        self.segments = tuple(segments)
        self.seed = seed
        self._counts: Numbers = np.array([windows[source] for source in self.sources], dtype=np.int64)
        self._ends = np.cumsum(self._counts)
        self._starts = np.array(starts, dtype=np.int64)
        self._stretches = self._stretched()

    @classmethod
    def planned(cls, config: MixtureConfig, windows: Mapping[str, int], seed: int, window: int, batch: int) -> Mixture:
        """The mixture that a recipe asks for.

        A phase's budget of tokens is windows of `window` tokens, rounded up to whole batches, so that a step never
        mixes two phases. The last phase goes on to the end of the run, also where it has a budget.

        Raises:
            ConfigError: as the class; or a source has no weight in any phase that names it.
        """
        if not config.phases:
            return cls(windows, seed)
        for source in {name for phase in config.phases for name in phase.weights}:
            if source in windows and not any(phase.weights.get(source) for phase in config.phases):
                raise ConfigError(
                    f"The source {source} has weight 0 wherever it is named",
                    where=PHASES,
                    mend="give it a weight in one of the phases, or leave it out of all.",
                )
        segments, start = [], 0
        for phase in config.phases:
            segments.append(Segment(start, phase.weights))
            start += -(-(phase.tokens or 1) // (window * batch)) * batch
        return cls(windows, seed, segments)

    def locate(self, samples: Numbers) -> tuple[Numbers, Numbers]:
        """The source of each sample, by its place in `sources`, and which of the source's windows it is.

        Args:
            samples: int64, shape [n], in any order.

        Returns:
            Two int64 arrays of shape [n].
        """
        sources, windows = np.empty_like(samples), np.empty_like(samples)
        segments = np.searchsorted(self._starts, samples, side="right") - 1
        for number in np.unique(segments).tolist():
            here = segments == number
            stretch = self._stretches[number]
            locate = self._natural if stretch.schedule is None else self._weighted
            sources[here], windows[here] = locate(stretch, samples[here] - stretch.start)
        return sources, windows

    def shares(self, first: int, count: int) -> dict[str, float]:
        """The realised mix: what share of the samples `first` to `first + count` is of each source."""
        sources, _ = self.locate(np.arange(first, first + count, dtype=np.int64))
        found = np.bincount(sources, minlength=len(self.sources)) / count
        return dict(zip(self.sources, found.tolist(), strict=True))

    def extend(self, from_sample: int, weights: Mapping[str, float] | None) -> Mixture:
        """The same run with other weights (None: the natural mix) from a sample on, to its end.

        The samples before are as they were; segments that were planned to begin later are given up.

        Raises:
            As the class.
        """
        kept = [segment for segment in self.segments if segment.from_sample < from_sample]
        return self.with_segments([*kept, Segment(from_sample, weights)])

    def with_segments(self, segments: Sequence[Segment]) -> Mixture:
        """The same sources and seed, with another plan.

        Raises:
            As the class.
        """
        return Mixture(dict(zip(self.sources, self._counts.tolist(), strict=True)), self.seed, segments)

    @property
    def window_count(self) -> int:
        """Windows of all sources together."""
        return int(self._ends[-1])

    def _natural(self, stretch: _Stretch, places: Numbers) -> tuple[Numbers, Numbers]:
        key = (self.seed,)
        windows = _shuffled(places + stretch.drawn[0], self.window_count, key)
        sources = np.searchsorted(self._ends, windows, side="right")
        return sources, windows - (self._ends - self._counts)[sources]

    def _weighted(self, stretch: _Stretch, places: Numbers) -> tuple[Numbers, Numbers]:
        assert stretch.schedule is not None
        sources, draws = stretch.schedule.locate(places)
        draws += stretch.drawn[sources]
        for number in np.unique(sources).tolist():
            here = sources == number
            draws[here] = _shuffled(draws[here], int(self._counts[number]), (self.seed, self.sources[number]))
        return sources, draws

    def _stretched(self) -> list[_Stretch]:
        natural, weighted = np.zeros(1, dtype=np.int64), np.zeros_like(self._counts)
        stretches = []
        for number, segment in enumerate(self.segments):
            self._check(segment, number)
            schedule = None
            if segment.weights is not None:
                weights = [segment.weights.get(source, 0.0) for source in self.sources]
                schedule = WeightedSchedule(weights, f"{PHASES}[{number}].weights")
            stretches.append(_Stretch(segment.from_sample, schedule, natural if schedule is None else weighted))
            if number + 1 < len(self.segments):
                length = self.segments[number + 1].from_sample - segment.from_sample
                natural = natural + (length if schedule is None else 0)
                weighted = weighted + (0 if schedule is None else schedule.drawn(length))
        return stretches

    def _check(self, segment: Segment, number: int) -> None:
        if segment.weights is None:
            if not self._counts.sum():
                raise InputError(
                    "No source has a whole window of text",
                    where="dataset.window",
                    mend="lower dataset.window, or add text to corpus.sources.",
                )
            return
        where = f"{PHASES}[{number}].weights"
        if not any(segment.weights.values()) or any(weight < 0 for weight in segment.weights.values()):
            raise ConfigError("Weights must not be negative, nor all zero", where=where, mend="change the weights.")
        for source, weight in segment.weights.items():
            if source not in self.sources:
                close = difflib.get_close_matches(source, self.sources, 1, 0.0)
                meant = f"did you mean {close[0]}? " if close else ""
                raise ConfigError(
                    f"There is no source {source} in the dataset's training text",
                    where=where,
                    mend=f"{meant}Its training text is of {', '.join(self.sources)}.",
                )
            if weight and not self._counts[self.sources.index(source)]:
                raise InputError(
                    f"The source {source} has not one whole window, and cannot be given a share",
                    where=where,
                    mend=f"leave {source} out, lower dataset.window, or add text to the source.",
                )


def check_state(state: Mapping[str, Any], seed: int, dataset: str) -> None:
    """Refuses a loader's state that is of another run.

    Raises:
        MismatchError: its seed or its dataset's digest is another.
    """
    for name, given, own in (("seed", state["seed"], seed), ("dataset", state["dataset"], dataset)):
        if given != own:
            raise MismatchError(
                f"The loader's state is of another {name}: {given}, where this loader has {own}",
                where=f"state[{name!r}]",
                mend="make the loader with the dataset and the seed of the run that is to go on.",
            )


def _shuffled(draws: Numbers, size: int, key: tuple[int | str, ...]) -> Numbers:
    """The windows of draws 0, 1, ... from `size` windows: each epoch in a random order of its own."""
    epochs, places = np.divmod(draws, size)
    windows = np.empty_like(draws)
    for epoch in np.unique(epochs).tolist():
        here = epochs == epoch
        windows[here] = permute(places[here], size, order_key(*key, epoch))
    return windows
