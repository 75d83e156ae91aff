"""The report's part on each training: what it measured over its steps, as curves with their numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from lumilab.page.curves import Series, curve_chart, legend
from lumilab.page.pieces import folded, section, table
from lumilab.page.svg import safe
from lumilab.report.log import STEP_FIGURES, VALIDATION_FIGURES, History, is_number
from lumilab.report.run_view import RunView, Training
from lumilab.work.progress import format_bytes, format_count, format_seconds

MIX, ERROR = "mix/", "_stderr"
ROWS = 60  # of the table behind the curves
EVENTS_SHOWN = 20

# What each measure of preference training and GRPO is counted in; names as in TRL. Others are shown without a unit.
UNITS = {
    "rewards": "reward (beta x nats)",
    "logps": "log-probability (nats)",
    "reward": "reward",
    "length": "tokens of an answer",
    "cut": "share of the answers",
    "without_signal": "share of the groups",
}


@dataclass(frozen=True)
class Chart:
    """One picture: its title, its curves, and what the upward axis counts."""

    title: str
    series: Sequence[Series]
    upwards: str
    shown: Callable[[float], str] = "{:g}".format
    include: Sequence[float] = ()


def training_curves(run: RunView) -> str:
    """All trainings of a run; says so if there is none yet."""
    if not run.trainings:
        return section("Training", "<p>Nothing has been trained yet.</p>")
    return section("Training", *(_training(training) for training in run.trainings))


def _training(training: Training) -> str:
    history = training.history
    title = training.stage if training.current else f"{training.stage} (not ended)"
    if not history.events:
        return section(title, "<p>Nothing has been logged yet.</p>", level=3)
    charts = [chart for chart in charts_of(history) if any(each.points for each in chart.series)]
    name = f"{training.stage}-{training.key}"
    over = (0.0, float(history.step))
    figures = "".join(_figure(f"{name}-{index}", training.stage, chart, over) for index, chart in enumerate(charts))
    return section(
        title,
        f"<p>{safe(_words(training))}</p>",
        f'<div class="charts">{figures}</div>' if figures else "<p>No step has been logged yet.</p>",
        _skipped(history),
        folded("The numbers", _numbers(history)),
        level=3,
    )


def charts_of(history: History) -> Iterator[Chart]:
    """What there is to draw of a training, the loss first; a chart may turn out to have no points."""
    yield Chart(
        "Loss",
        [
            Series("training, each logged step", history.curve("step", "loss"), colour=0, faint=True),
            Series("training, smoothed", history.curve("step", "smoothed_loss"), colour=0),
            Series("validation", history.curve("validation", "loss"), colour=1),
        ],
        "loss (nats per token)" if not history.measures("step", _known(history)) else "loss",
    )
    yield Chart(
        "Validation", [Series("validation", history.curve("validation", "bits_per_byte"), colour=1)], "bits per byte"
    )
    yield from _measures(history)
    yield from _suites(history)
    yield Chart(
        "Learning rate",
        [Series("learning rate", history.curve("step", "learning_rate"))],
        "learning rate",
        include=(0,),
    )
    norms = [Series("gradient norm", history.curve("step", "gradient_norm"))]
    yield Chart("Gradient norm", norms, "norm before clipping", include=(0,))
    speed = [Series("throughput", history.curve("step", "tokens_per_second"))]
    yield Chart("Throughput", speed, "tokens per second", format_count, include=(0,))
    usage = [Series("MFU", history.curve("step", "mfu"))]
    yield Chart("Model FLOPs utilisation", usage, "share of the device's peak", include=(0,))
    yield Chart("Memory", [Series("memory", history.curve("step", "memory"))], "bytes", format_bytes, include=(0,))
    names = [name for name in history.measures("step", STEP_FIGURES) if name.startswith(MIX)]
    mix = [Series(name.removeprefix(MIX), history.curve("step", name)) for name in names]
    yield Chart("Data mix", mix, "share of the windows", include=(0, 1))


def _known(history: History) -> frozenset[str]:
    """The figures of a step that are no measure of the objective."""
    mixes = {name for name in history.measures("step", STEP_FIGURES) if name.startswith(MIX)}
    return STEP_FIGURES | mixes


def _measures(history: History) -> Iterator[Chart]:
    """The objective's own: those of one family ("rewards/chosen", "rewards/margins") in one picture, but for shares."""
    names = history.measures("step", _known(history))
    names += [name for name in history.measures("validation", VALIDATION_FIGURES) if name not in names]

    def family(name: str) -> str:
        return name if name.endswith("accuracies") else name.partition("/")[0]

    for title, members in groupby(sorted(names, key=family), key=family):
        series = []
        for index, name in enumerate(members):
            label = name.partition("/")[2] or name.replace("_", " ")
            series.append(Series(f"{label}, training", history.curve("step", name), colour=2 * index))
            series.append(Series(f"{label}, validation", history.curve("validation", name), colour=2 * index + 1))
        share = title.endswith("accuracies")
        upwards = "share of the pairs" if share else UNITS.get(title, title.replace("_", " "))
        yield Chart(title.replace("_", " ").capitalize(), series, upwards, include=(0, 1) if share else ())


def _suites(history: History) -> Iterator[Chart]:
    """Scores of small evaluations during training, a picture each, with their standard errors."""
    for name in history.measures("suite", {"event", "step"}):
        if name.endswith(ERROR):
            continue
        points, errors = [], []
        for event in history.named("suite"):
            if is_number(event.get(name)):
                points.append((float(event["step"]), float(event[name])))
                errors.append(float(event[name + ERROR]) if is_number(event.get(name + ERROR)) else 0.0)
        task, _, measure = name.rpartition("/")
        yield Chart(f"{task}: {measure}", [Series(name, points, errors if any(errors) else (), 3)], measure)


def _figure(name: str, stage: str, chart: Chart, over: tuple[float, float]) -> str:
    title = f"{chart.title} of {stage} over its steps"
    drawn = [each for each in chart.series if each.points]
    ends = [f"{each.label}: {chart.shown(each.points[-1][1])} at step {each.points[-1][0]:,.0f}" for each in drawn]
    picture = curve_chart(
        name,
        title,
        "At the end: " + "; ".join(ends) + ".",
        drawn,
        across="steps",
        upwards=chart.upwards,
        shown=chart.shown,
        include=chart.include,
        over=over,
    )
    bars = " Bars: one standard error." if any(each.errors for each in drawn) else ""
    return (
        f"<figure><figcaption><strong>{safe(chart.title)}</strong>{bars} {legend(drawn)}</figcaption>{picture}</figure>"
    )


def _words(training: Training) -> str:
    """Where the training stands, in a sentence or two."""
    history = training.history
    of = f" of {training.steps:,}" if training.steps else ""
    parts = [f"Step {history.step:,}{of}"]
    last = history.last("step")
    if last is not None and is_number(last.get("tokens")):
        parts.append(f"{last['tokens']:,} trained tokens")
    if history.seconds:
        parts.append(f"{format_seconds(history.seconds)} of training")
    losses = history.curve("validation", "loss")
    if losses:
        step, loss = min(losses, key=lambda point: point[1])
        parts.append(f"best validation loss {loss:.4f} at step {step:,.0f}")
    now = "" if training.current else " It is going on." if training.running else " Nothing is at work on it now."
    begun = (history.last("begin") or {}).get("hardware")
    return ", ".join(parts) + "." + now + (f" {begun}." if isinstance(begun, str) else "")


def _skipped(history: History) -> str:
    """The steps whose batch changed nothing, as their loss or gradient was out of bounds."""
    events = history.named("skipped")
    if not events:
        return ""
    rows = [(f"{event['step']:,}", str(event.get("reason", ""))) for event in events[:EVENTS_SHOWN]]
    more = f", the first {EVENTS_SHOWN}" if len(events) > EVENTS_SHOWN else ""
    title = "1 skipped step" if len(events) == 1 else f"{len(events):,} skipped steps{more}"
    return folded(title, table(("#step", "what was seen"), rows))


def _numbers(history: History) -> str:
    """What the curves are drawn from; of a long log evenly chosen steps."""
    steps = sorted({event["step"] for name in ("step", "validation", "suite") for event in history.named(name)})
    kept = set(steps)
    if len(steps) > ROWS:
        kept = {steps[place * (len(steps) - 1) // (ROWS - 1)] for place in range(ROWS)}
    columns = [
        (event, name)
        for event in ("step", "validation", "suite")
        for name in history.measures(event, ("event", "step"))
    ]
    values = {column: dict(history.curve(*column)) for column in columns}
    rows = [
        (f"{step:,}", *(_cell(values[column].get(float(step))) for column in columns)) for step in steps if step in kept
    ]
    titles = [name if event == "step" else f"{event} {name}" for event, name in columns]
    fewer = f'<p class="note">{len(rows)} of {len(steps)} logged steps, evenly chosen.</p>'
    words = fewer if len(rows) < len(steps) else ""
    return words + table(("#step", *(f"#{title.replace('_', ' ')}" for title in titles)), rows)


def _cell(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if value == int(value) and abs(value) >= 1 else f"{value:.5g}"
