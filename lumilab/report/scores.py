"""The results of `lumi eval` in a run's folder: one file each time, with the names of lm-evaluation-harness.

A measure is a key "NAME,FILTER" of a task, and its standard error "NAME_stderr,FILTER"; either may be "N/A". What
cannot be read as a number is left out, and a file that cannot be read at all is named.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from lumilab.report.log import is_number

FOLDER = "evaluation_results"
# In the names of measures that are no share of the items: those without a bound, and those that go up to 100.
NO_SHARES = ("perplexity", "bits_per", "loss", "likelihood", "bleu", "chrf", "rouge")


@dataclass(frozen=True)
class Score:
    """One measure of one task.

    Attributes:
        task, measure, filter: as the harness names them ("lambada", "acc", "none").
        value, error: and its standard error, where it is known.
        higher_is_better: None where the file does not say.
        items: how many were measured; None where the file does not say.
        shots: examples before each item; None where the file does not say.
        majority: what always giving the most frequent answer would get, where it was counted.
    """

    task: str
    measure: str
    filter: str
    value: float
    error: float | None
    higher_is_better: bool | None
    items: int | None
    shots: int | None
    majority: float | None

    @property
    def name(self) -> str:
        """The measure, with its filter where there is one."""
        return self.measure if self.filter in ("", "none") else f"{self.measure} ({self.filter})"

    @property
    def is_share(self) -> bool:
        """Whether it lies between 0 and 1 by its nature."""
        return not any(word in self.measure for word in NO_SHARES) and 0 <= self.value <= 1


@dataclass(frozen=True)
class Evaluation:
    """One file of results.

    Attributes:
        path: of the file.
        date: when it was measured, UTC; "" where the file does not say.
        model: what was measured: its stage and step, else its name or path.
        digest: of the model; "" where the file does not say.
        scores: by task.
        predicted: how often each label was given, by task.
        assessment: the lines of the comparison with reference targets, as they are.
    """

    path: Path
    date: str
    model: str
    digest: str
    scores: list[Score]
    predicted: dict[str, dict[str, float]]
    assessment: list[Any]


def evaluations_of(run: Path) -> tuple[list[Evaluation], list[str]]:
    """All results of a run, the oldest first, and the names of files that cannot be read."""
    found, broken = [], []
    for path in sorted((run / FOLDER).glob("*.json")):
        try:
            found.append(read_evaluation(path))
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            broken.append(path.name)
    return sorted(found, key=lambda each: (each.date, each.path.name)), broken


def read_evaluation(path: Path) -> Evaluation:
    """One file.

    Raises:
        OSError, ValueError, KeyError, TypeError, AttributeError: it cannot be read, or holds something else.
    """
    stored = json.loads(path.read_bytes())
    ours = stored.get("lumilab") or {}
    baselines = ours.get("baselines") or {}
    date = stored.get("date")
    when = datetime.fromtimestamp(date, UTC).isoformat(sep=" ", timespec="minutes")[:16] if is_number(date) else ""
    stage, step = ours.get("stage"), ours.get("step")
    words = [str(stage)] if stage else []
    words += [f"step {step:,}"] if is_number(step) else []
    predicted = {task: rates for task, each in baselines.items() if (rates := _numbers(each.get("predicted")))}
    return Evaluation(
        path=path,
        date=when,
        model=", ".join(words) or str(ours.get("name") or ours.get("model") or stored.get("model_name") or path.stem),
        digest=str(ours.get("digest") or ""),
        scores=[score for task, figures in stored["results"].items() for score in _scores(task, figures, stored)],
        predicted=predicted,
        assessment=list(ours.get("assessment") or []),
    )


def _scores(task: str, figures: dict[str, Any], stored: dict[str, Any]) -> Iterator[Score]:
    better = (stored.get("higher_is_better") or {}).get(task) or {}
    counts = (stored.get("n-samples") or {}).get(task) or {}
    baseline = (((stored.get("lumilab") or {}).get("baselines") or {}).get(task) or {}).get("majority")
    items = next((value for value in (counts.get("effective"), figures.get("sample_len")) if is_number(value)), None)
    shots = (stored.get("n-shot") or {}).get(task)
    for key, value in figures.items():
        measure, comma, kind = key.partition(",")
        if not comma or measure.endswith("_stderr") or not is_number(value):
            continue
        error = figures.get(f"{measure}_stderr,{kind}")
        yield Score(
            task=task,
            measure=measure,
            filter=kind,
            value=float(value),
            error=float(error) if is_number(error) else None,
            higher_is_better=better.get(measure),
            items=None if items is None else int(items),
            shots=shots if isinstance(shots, int) else None,
            majority=float(baseline) if is_number(baseline) and measure.startswith("acc") else None,
        )


def _numbers(values: Any) -> dict[str, float]:
    if not isinstance(values, dict):
        return {}
    return {str(name): float(value) for name, value in values.items() if is_number(value)}
