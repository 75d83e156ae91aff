"""Several models side by side: scores, ranks, and what may be said of their differences."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from lumilab.evaluation.result_files import Result
from lumilab.evaluation.significance import LEVEL, Difference, difference, item_scores

NORMAL_QUANTILE = 1.959964  # of the standard normal at (1 + LEVEL) / 2


@dataclass(frozen=True)
class Entry:
    """One model's score in one task under one metric.

    Attributes:
        value, error: the score, and its standard error where there is one.
        rank: 1 for the best; models that cannot be told from the best of a rank share it.
        best: whether its value is the best.
        behind: how far from the best; None for the best itself, or where nothing can be said.
    """

    value: float
    error: float | None
    rank: int
    best: bool
    behind: Difference | None


@dataclass(frozen=True)
class Row:
    """A metric of a task, with an entry for each model; None where it was not measured."""

    task: str
    metric: str
    higher_is_better: bool
    entries: tuple[Entry | None, ...]


def compare(results: Sequence[Result]) -> Iterator[Row]:
    """Every metric that at least one model was measured on, in the order of the first that has it."""
    seen = dict.fromkeys(
        (task, metric) for result in results for task in result.tasks for metric, _, _ in result.metrics(task)
    )
    for task, metric in seen:
        owner = next(result for result in results if any(name == metric for name, _, _ in result.metrics(task)))
        higher = owner.higher_is_better(task, metric)
        scores = [next(((v, e) for name, v, e in result.metrics(task) if name == metric), None) for result in results]
        yield Row(task, metric, higher, _entries(results, scores, task, metric, higher))


def tell_apart(one: Result, other: Result, task: str, metric: str) -> Difference | None:
    """How much higher the first's score is: by the same items, or, without them, by the standard errors.

    None where neither the items nor both standard errors are known.
    """
    name = metric.partition(",")[0]
    samples = item_scores(one.samples.get(task, ()), name), item_scores(other.samples.get(task, ()), name)
    if samples[0] is not None and samples[1] is not None and (paired := difference(samples[0], samples[1])) is not None:
        return paired
    scores = [next(((v, e) for key, v, e in result.metrics(task) if key == metric), None) for result in (one, other)]
    if scores[0] is None or scores[1] is None or scores[0][1] is None or scores[1][1] is None:
        return None
    return _unpaired(scores[0][0] - scores[1][0], math.hypot(scores[0][1], scores[1][1]))


def _unpaired(value: float, error: float) -> Difference:
    """As if the models had seen different items: a wider interval than the paired one."""
    if not error or math.isnan(error):
        return Difference(value, value, value, 0.0 if value else 1.0)
    reach = NORMAL_QUANTILE * error
    return Difference(value, value - reach, value + reach, math.erfc(abs(value) / error / math.sqrt(2)))


def _entries(
    results: Sequence[Result],
    scores: Sequence[tuple[float, float | None] | None],
    task: str,
    metric: str,
    higher: bool,
) -> tuple[Entry | None, ...]:
    order = [number for number, score in enumerate(scores) if score is not None]
    order.sort(key=lambda number: scores[number][0], reverse=higher)  # type: ignore[index]  # those with a score
    ranks: dict[int, int] = {}
    leader = order[0]
    for place, number in enumerate(order, start=1):
        apart = tell_apart(results[leader], results[number], task, metric)
        if number == leader or (apart is not None and not apart.certain) or scores[number] == scores[leader]:
            ranks[number] = ranks.get(leader, place)
        else:
            leader, ranks[number] = number, place
    entries: list[Entry | None] = []
    for number, score in enumerate(scores):
        if score is None:
            entries.append(None)
            continue
        best = score[0] == scores[order[0]][0]  # type: ignore[index]
        behind = None if number == order[0] else tell_apart(results[number], results[order[0]], task, metric)
        entries.append(Entry(*score, ranks[number], best, behind))
    return tuple(entries)


@dataclass(frozen=True)
class Change:
    """A metric before and after.

    Attributes:
        worse, better: whether it certainly is, at the level of LEVEL; neither where it cannot be told.
    """

    task: str
    metric: str
    before: float
    after: float
    difference: Difference | None
    worse: bool
    better: bool


def changes(before: Result, after: Result) -> list[Change]:
    """Every metric that both have. Without items and standard errors any difference counts as certain."""
    found = []
    for task in after.tasks:
        earlier = {name: value for name, value, _ in before.metrics(task)}
        for metric, value, _ in after.metrics(task):
            if metric not in earlier:
                continue
            apart = tell_apart(after, before, task, metric)
            certain = value != earlier[metric] if apart is None else apart.certain
            up = value > earlier[metric]
            better = certain and up == after.higher_is_better(task, metric)
            found.append(Change(task, metric, earlier[metric], value, apart, certain and not better, better))
    return found


CONFIDENCE = f"{100 * LEVEL:.0f} %"
