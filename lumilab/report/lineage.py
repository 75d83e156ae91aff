"""The report's first part: which stages there are, what each was made from, and whether it is still current."""

from __future__ import annotations

from collections.abc import Iterator

from lumilab.page.arcs import Node, arc_diagram
from lumilab.page.pieces import figure, folded, section, table
from lumilab.page.svg import safe
from lumilab.pipeline.records import StageRecord
from lumilab.pipeline.stages import STAGES
from lumilab.report.run_view import RunView, StageResult, Training
from lumilab.work.progress import format_bytes, format_seconds


def lineage(run: RunView) -> str:
    """The graph of the stages, the table behind it, and what is missing."""
    nodes = list(_nodes(run))
    built = [name for name, result in run.results.items() if result.artifact]
    words = f"{len(built)} stages with a result: {', '.join(built) or 'none'}."
    key = (
        "Each stage was made from those whose arrows lead to it; an arrow that follows from others is left out. "
        "Filled: a result; hollow: not ended."
    )
    # On the narrowest screens the words beside the arcs scroll in themselves.
    picture = arc_diagram("lineage", "What was made from what", words, nodes)
    scrolling = f'<div class="scroll" tabindex="0" role="region" aria-label="Graph of the stages">{picture}</div>'
    chart = figure(scrolling, key) if nodes else ""
    return section(
        "Pipeline and lineage",
        chart,
        *(f'<p class="warning">{safe(words)}</p>' for words in _remarks(run)),
        folded("Keys, digests and inputs of each stage", _table(run)) if run.results else "",
    )


def _nodes(run: RunView) -> Iterator[Node]:
    open_ones = {training.stage: training for training in run.trainings if not training.current}
    for stage in STAGES:
        result, training = run.results.get(stage.name), open_ones.get(stage.name)
        if result is not None:
            yield _result_node(result, run)
        elif training is not None:
            yield Node(stage.name, stage.inputs, _training_lines(training), "open")
        elif stage.name in run.working:
            yield Node(stage.name, stage.inputs, (stage.name, "being built now"), "open")


def _result_node(result: StageResult, run: RunView) -> Node:
    name, record = result.stage.name, result.record
    if result.artifact is None:
        return Node(name, tuple(record.inputs), (f"{name} · cannot be read", f"key {record.key}"), "broken")
    state = f"made from an older {' and '.join(result.older)}" if result.older else "current"
    seconds = sum(each.history.seconds for each in run.trainings if each.stage == name and each.current)
    taken = f" · {format_seconds(seconds)}" if seconds else ""
    lines = (
        f"{name} · {state}",
        f"key {record.key} · digest {record.digest[:12]}",
        f"{result.created} · {format_bytes(result.size)}{taken}",
    )
    return Node(name, tuple(record.inputs), lines, "old" if result.older else "good")


def _training_lines(training: Training) -> tuple[str, ...]:
    of = f" of {training.steps:,}" if training.steps else ""
    state = "in training now" if training.running else "training not ended"
    return f"{training.stage} · {state}", f"key {training.key}", f"step {training.history.step:,}{of}"


def _table(run: RunView) -> str:
    rows = [
        (
            name,
            result.record.key,
            result.record.digest,
            _inputs(result.record),
            result.created,
            format_bytes(result.size),
            _state(result),
        )
        for name, result in run.results.items()
    ]
    return table(("stage", "key", "digest (SHA-256)", "made from", "published (UTC)", "#size", "state"), rows)


def _state(result: StageResult) -> str:
    if result.problem:
        return result.problem
    return f"made from an older {' and '.join(result.older)}" if result.older else "current"


def _inputs(record: StageRecord) -> str:
    raw = ["raw files"] if record.raw else []
    return ", ".join([*raw, *(f"{name} {digest[:12]}" for name, digest in record.inputs.items())])


def _remarks(run: RunView) -> Iterator[str]:
    """What is not as it should be, or not there."""
    for name, result in run.results.items():
        if result.problem:
            yield f"The result of {name} cannot be read: {result.problem}."
        if result.older:
            yield f"{name} was made from an older {' and '.join(result.older)}; `lumi run` would make it anew."
    for training in run.trainings:
        if not training.current:
            of = f" of {training.steps:,}" if training.steps else ""
            now = "is going on" if training.running else "has not ended, and nothing is at work on it now"
            yield f"A training of {training.stage} {now}: step {training.history.step:,}{of}."
    for name in run.working:
        if name not in {training.stage for training in run.trainings if training.running}:
            yield f"{name} is being built now."
    missing = [stage.name for stage in STAGES if stage.name not in run.results]
    if missing:
        yield f"No result yet, or not asked for by the recipe: {', '.join(missing)}."
