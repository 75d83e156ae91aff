"""The short report at the end of a quickstart: the loss curve, the figures beside their baselines, three answers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rich.text import Text

from lumilab.artifact import Artifact
from lumilab.report.curve import draw_curve

BAR = 30  # characters of the longest bar


def summary(pretrain: Artifact, evaluation: Artifact) -> Iterator[Text]:
    """Lines for the terminal.

    Args:
        pretrain: the pretrained checkpoint; its training log lies beside it.
        evaluation: the results of the run.
    """
    points = _losses(pretrain.path.parent / "log.jsonl")
    if len(points) > 1:
        yield Text("\nTraining loss (nats per token) over steps", style="bold")
        yield from (Text(f"  {line}", style="cyan") for line in draw_curve(points))
    results = json.loads(evaluation.file("results.json").read_bytes())
    yield Text("\nBits per byte of the validation text (lower is better)", style="bold")
    yield from _bits_per_byte(results)
    yield from _accuracies(results)
    samples = json.loads(evaluation.file("samples.json").read_bytes())
    if samples:
        yield Text("\nSample conversations", style="bold")
    for sample in samples:
        yield Text.assemble(("  you:   ", "dim"), sample["prompt"])
        yield Text.assemble(("  model: ", "dim"), sample["text"].strip().replace("\n", "\n         "), "\n")


def _losses(path: Path) -> list[tuple[float, float]]:
    """(step, smoothed loss) of each logged step; none when the log is not there (it is no part of the artifact)."""
    if not path.exists():
        return []
    events = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return [(event["step"], event["smoothed_loss"]) for event in events if event["event"] == "step"]


def _bits_per_byte(results: dict[str, Any]) -> Iterator[Text]:
    """A bar for each model and baseline, the longest first, and a plain verdict."""
    models = {name: figures["bits_per_byte"] for name, figures in results["models"].items()}
    baselines = {name: figures["bits_per_byte"] for name, figures in results["baselines"].items() if name != "uniform"}
    rows = sorted((models | baselines).items(), key=lambda row: -row[1])
    longest = rows[0][1]
    for name, bits in rows:
        style = "green" if name in models and name != "untrained" else "dim"
        yield Text(f"  {name:<12} {bits:6.3f}  {'█' * max(round(BAR * bits / longest), 1)}", style=style)
    ours = models["pretrain"]
    lost = [name for name, bits in baselines.items() if bits <= ours]
    if lost:
        yield Text(f"  The trained model does not beat {' and '.join(lost)} on this text.", style="yellow")
    else:
        best = min(baselines, key=lambda name: baselines[name])
        gain = f"{100 * (1 - ours / baselines[best]):.0f} %"
        yield Text(f"  The trained model needs {gain} fewer bits than {best}, the best of the baselines.")


def _accuracies(results: dict[str, Any]) -> Iterator[Text]:
    figures = results["models"]["pretrain"]
    shares = ", ".join(
        f"{100 * figures[f'top_{rank}_accuracy']:.1f} % among its first {rank}" if rank > 1
        else f"{100 * figures[f'top_{rank}_accuracy']:.1f} % at the first guess"
        for rank in (1, 5, 10)
    )  # fmt: skip
    yield Text(f"  It finds the next token: {shares}; perplexity {figures['token_perplexity']:.1f} per token.")
