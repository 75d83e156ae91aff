"""Results to read: tables of scores with their standard errors beside what chance and habit would score."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

from lumilab.evaluation.comparison import CONFIDENCE, Change, Entry, Row, compare
from lumilab.evaluation.result_files import Result

PERCENT = ("acc", "exact_match", "top_", "rouge", "f1")


def shown(metric: str, value: float) -> str:
    """A value as people write it: accuracies in percent."""
    if metric.startswith(PERCENT):
        return f"{100 * value:.1f} %"
    return f"{value:,.0f}" if abs(value) >= 10_000 else f"{value:.4g}" if abs(value) < 100 else f"{value:,.1f}"


def score_text(metric: str, value: float, error: float | None) -> str:
    """A value and its standard error, where there is one."""
    value_text = shown(metric, value)
    return value_text if error is None or math.isnan(error) else f"{value_text} ± {shown(metric, error)}"


def baseline_text(result: Result, task: str) -> str:
    """What always giving the most frequent label scores, and which labels the model gave."""
    known: dict[str, Any] | None = result.figures.get("lumilab", {}).get("baselines", {}).get(task)
    if known is None:
        return ""
    predicted = ", ".join(f"{label} {100 * share:.0f} %" for label, share in known["predicted"].items())
    return f"always {known['majority_label']}: {100 * known['majority']:.1f} %; predicted {predicted}"


def summary(result: Result) -> str:
    """The page of one model, in Markdown."""
    own = result.figures.get("lumilab", {})
    date = datetime.fromtimestamp(float(result.figures["date"]), UTC)
    policy = "yes" if own.get("bos") else "no"
    parts = [
        f"# Evaluation of {result.name}",
        f"{date:%Y-%m-%d %H:%M} UTC, {own.get('seconds', 0):.0f} s. Model digest `{str(own.get('digest'))[:12]}`.",
        f"The beginning-of-text token stands before texts of `perplexity` always; before those of tasks: {policy}.",
        "± is one standard error.",
        "\n".join(_table(result)),
        *own.get("assessment", []),
    ]
    return "\n\n".join(parts) + "\n"


def _table(result: Result) -> Iterator[str]:
    yield "| task | shots | items | metric | score | beside it |"
    yield "|---|---:|---:|---|---:|---|"
    for task in result.tasks:
        shots = result.figures.get("n-shot", {}).get(task, "")
        items = (
            result.figures.get("n-samples", {}).get(task, {}).get("effective", result.tasks[task].get("sample_len", ""))
        )
        for metric, value, error in result.metrics(task):
            name = metric.removesuffix(",none").replace(",", ", ")
            beside = baseline_text(result, task) if metric.startswith("acc,") else ""
            yield f"| {task} | {shots} | {items} | {name} | {score_text(metric, value, error)} | {beside} |"


def comparison_text(results: Sequence[Result], row: Row) -> str:
    """Whether anything can be said of the differences in a row."""
    found = [entry for entry in row.entries if entry is not None]
    if len(found) < 2:
        return ""
    behind = [entry.behind for entry in found if entry.behind is not None]
    if not behind:
        return "not known: no items, no errors"
    if not any(one.certain for one in behind):
        return f"not different ({CONFIDENCE})"
    return f"different ({CONFIDENCE})" if len(found) == 2 else f"rank {_ranking(results, row.entries)}"


def _ranking(results: Sequence[Result], entries: Sequence[Entry | None]) -> str:
    """1 A, 2 B = C."""
    ranks: dict[int, list[str]] = {}
    for number, entry in enumerate(entries):
        if entry is not None:
            ranks.setdefault(entry.rank, []).append(str(number + 1))
    return ", ".join(f"{rank}: {' = '.join(names)}" for rank, names in sorted(ranks.items()))


def comparison_page(results: Sequence[Result]) -> str:
    """Several models side by side, in Markdown; the best of a row is bold."""
    head = "| task | metric | " + " | ".join(f"{n}: {one.name}" for n, one in enumerate(results, start=1)) + " | |"
    lines = [head, "|---|---|" + "---:|" * len(results) + "---|"]
    for row in compare(results):
        cells = []
        for entry in row.entries:
            text = "" if entry is None else score_text(row.metric, entry.value, entry.error)
            cells.append(f"**{text}**" if entry is not None and entry.best else text)
        name = row.metric.removesuffix(",none")
        lines.append(f"| {row.task} | {name} | " + " | ".join(cells) + f" | {comparison_text(results, row)} |")
    return "# Comparison\n\n" + "\n".join(lines) + "\n"


def change_text(change: Change) -> str:
    """A metric before and after, and what may be said of it."""
    verdict = "worse" if change.worse else "better" if change.better else "not different"
    interval = ""
    if change.difference is not None:
        low, high = (shown(change.metric, value) for value in (change.difference.low, change.difference.high))
        interval = f", difference {low} to {high}"
    before, after = shown(change.metric, change.before), shown(change.metric, change.after)
    return f"{change.task} {change.metric.removesuffix(',none')}: {before} → {after}{interval}: {verdict}"
