"""The report's part on evaluation: scores of tasks with their intervals and baselines, and the held-back text."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any

from lumilab.page.axes import LogAxis, ShareAxis
from lumilab.page.charts import Bar, bar_chart
from lumilab.page.curves import COLOURS
from lumilab.page.intervals import Group, Measured, interval_chart
from lumilab.page.pieces import figure, folded, section, table
from lumilab.page.svg import safe
from lumilab.report.run_view import RunView
from lumilab.report.samples import texts
from lumilab.report.scores import Evaluation, Score, evaluations_of

SHOWN = 4  # results that are drawn beside one another, the newest


def evaluations(run: RunView) -> str:
    """All that was measured of the run's models; says so if nothing was."""
    found, broken = evaluations_of(run.folder)
    built = run.artifact("evaluation")
    blocks = [f'<p class="warning">{safe(name)} cannot be read as results.</p>' for name in broken]
    if found:
        blocks.append(_tasks(found))
    if built is not None:
        results = json.loads(built.file("results.json").read_bytes())
        blocks.append(_held_back(results))
        blocks.append(_forms(results.get("form_kept", {})))
        samples = json.loads(built.file("samples.json").read_bytes())
        if samples:
            pairs = [(each["prompt"], each["text"]) for each in samples]
            blocks.append(section("Answers of the last model", texts(pairs), level=3))
    return section("Evaluation", *(blocks or ["<p>Nothing has been evaluated yet.</p>"]))


def newest_of_each(found: Sequence[Evaluation]) -> list[tuple[str, dict[tuple[str, str], Score]]]:
    """The newest score of each task and measure for each model, the models in the order of their last results.

    Args:
        found: the oldest first.
    """
    models: dict[str, dict[tuple[str, str], Score]] = {}
    names: dict[str, str] = {}
    for each in found:
        identity = each.digest or each.model
        scores = models.pop(identity, {})
        models[identity] = scores | {(score.task, score.name): score for score in each.scores}
        names[identity] = each.model
    taken = list(names.values())
    return [
        (names[identity] if taken.count(names[identity]) == 1 else f"{names[identity]} ({identity[:8]})", scores)
        for identity, scores in models.items()
    ]


def _tasks(found: Sequence[Evaluation]) -> str:
    models = newest_of_each(found)
    drawn = models[-SHOWN:]
    shares = _chart("scores", "Scores", drawn, shares=True)
    others = _chart("perplexities", "Perplexities", drawn, shares=False)
    more = f"<p class='note'>Drawn are the {SHOWN} models that were measured last.</p>" if len(models) > SHOWN else ""
    return section(
        "Tasks",
        shares,
        others,
        more,
        _table(models),
        folded("How often each label was given", _labels(found)) if any(each.predicted for each in found) else "",
        folded("Assessment", _assessment(found[-1].assessment)) if found[-1].assessment else "",
        folded(f"{len(found)} results", _history(found)),
        level=3,
    )


def _chart(name: str, title: str, models: Sequence[tuple[str, dict[tuple[str, str], Score]]], *, shares: bool) -> str:
    keys = dict.fromkeys(
        key
        for _, scores in models
        for key, score in scores.items()
        if (score.is_share if shares else "perplexity" in score.measure and score.value > 0)
    )
    groups = []
    for task, measure in keys:
        found = [
            (index, label, scores[task, measure])
            for index, (label, scores) in enumerate(models)
            if (task, measure) in scores
        ]
        values = [Measured(label, score.value, score.error, _said(score), index) for index, label, score in found]
        baseline = next((score.majority for _, _, score in found if score.majority is not None), None)
        groups.append(Group(f"{task}: {measure}", values, baseline))
    reached = [each.value for group in groups for each in group.values]
    if not groups:
        return ""
    axis = ShareAxis() if shares else LogAxis(min(reached) / 1.5, max(reached) * 1.5)
    unit = "share, higher is better" if shares else "perplexity, lower is better (logarithmic)"
    words = f"{len(groups)} measures of {len(models)} models."
    picture = interval_chart(name, title, words, groups, axis, unit)
    keys_shown = "".join(
        f'<span class="legend"><span class="stroke s{index % COLOURS}"></span>{safe(label)}</span>'
        for index, (label, _) in enumerate(models)
    )
    note = (
        " Lines: 1.96 standard errors to either side. Dashed: always giving the most frequent answer." if shares else ""
    )
    return figure(picture, f"<strong>{safe(title)}.</strong>{note} {keys_shown}")


def _said(score: Score) -> str:
    if not score.is_share:
        return f"{score.value:,.0f}" if score.value >= 1_000 else f"{score.value:.4g}"
    return f"{100 * score.value:.1f} %" + ("" if score.error is None else f" ± {100 * score.error:.1f}")


def _table(models: Sequence[tuple[str, dict[tuple[str, str], Score]]]) -> str:
    rows = [
        (
            score.task,
            score.name + {True: " ↑", False: " ↓", None: ""}[score.higher_is_better],
            model,
            f"{score.value:.5g}",
            "-" if score.error is None else f"{score.error:.3g}",
            "-" if score.majority is None else f"{score.majority:.4g}",
            "-" if score.items is None else f"{score.items:,}",
            "-" if score.shots is None else str(score.shots),
        )
        for model, scores in models
        for score in scores.values()
    ]
    header = ("task", "measure", "model", "#value", "#standard error", "#majority", "#items", "#shots")
    return table(header, sorted(rows))


def _labels(found: Sequence[Evaluation]) -> str:
    rows = [
        (each.model, task, ", ".join(f"{label}: {100 * share:.0f} %" for label, share in rates.items()))
        for each in found
        for task, rates in each.predicted.items()
    ]
    return table(("model", "task", "answers given"), rows)


def _assessment(lines: Sequence[Any]) -> str:
    """One line each, whether it is a text or figures by name."""
    shown = [
        ", ".join(f"{name}: {value}" for name, value in line.items()) if isinstance(line, dict) else str(line)
        for line in lines
    ]
    return "<ul>" + "".join(f"<li>{safe(line)}</li>" for line in shown) + "</ul>"


def _history(found: Sequence[Evaluation]) -> str:
    rows = [
        (each.date or "-", each.model, each.digest[:12] or "-", ", ".join(_tasks_of(each)), each.path.name)
        for each in reversed(found)
    ]
    return table(("measured (UTC)", "model", "digest", "tasks", "file"), rows)


def _tasks_of(evaluation: Evaluation) -> Iterator[str]:
    for task, _ in groupby(evaluation.scores, key=lambda score: score.task):
        yield task


def _held_back(results: dict[str, Any]) -> str:
    """The stage's own results: models and baselines on the validation text."""
    text = results["text"]
    rows = {
        **results["models"],
        **{name: each for name, each in results["baselines"].items() if "bits_per_byte" in each},
    }
    ordered = sorted(rows.items(), key=lambda row: -row[1]["bits_per_byte"])
    bars = [Bar(name, each["bits_per_byte"], f"{each['bits_per_byte']:.3f}") for name, each in ordered]
    words = f"{text['tokens']:,} tokens ({text['bytes']:,} bytes) of the validation split."
    chart = bar_chart("held-back", "Bits per byte of the held-back text", words, bars)
    header = ("", "#bits per byte", "#loss (nats per token)", "#perplexity per token", "#top 1", "#top 5", "#top 10")
    numbers = [
        (
            name,
            f"{each['bits_per_byte']:.4f}",
            _or_dash(each.get("loss"), "{:.4f}"),
            _or_dash(each.get("token_perplexity"), "{:,.1f}"),
            *(_or_dash(each.get(f"top_{rank}_accuracy"), "{:.1%}") for rank in (1, 5, 10)),
        )
        for name, each in ordered
    ]
    return section(
        "Held-back text",
        figure(chart, f"Bits per byte, lower is better: models, token frequencies and compressors, on {safe(words)}"),
        table(header, numbers),
        level=3,
    )


def _forms(kept: dict[str, Any]) -> str:
    """Of each model that chats, how many held-back questions it answers in the form taught."""
    rows = [(stage, f"{each['asked']:,}", f"{each['keeping']:,}") for stage, each in kept.items()]
    header = ("", "#held-back questions", "#answered in the form taught")
    return section("Form of the answers", table(header, rows), level=3) if rows else ""


def _or_dash(value: float | None, form: str) -> str:
    return "-" if value is None else form.format(value)
