"""The report's last parts: what the training cost, and where everything was made."""

from __future__ import annotations

from statistics import mean, median

from lumilab.artifact import Artifact
from lumilab.page.pieces import section, table
from lumilab.recipe.model import ModelConfig
from lumilab.report.run_view import RunView, Training
from lumilab.work.progress import format_bytes, format_count, format_seconds


def cost(run: RunView) -> str:
    """Time, tokens, operations, speed and memory of each training."""
    trainings = [training for training in run.trainings if training.history.named("step")]
    if not trainings:
        return section("Cost", "<p>Nothing has been trained yet.</p>")
    rows = [_row(training, run.artifact(training.stage) if training.current else None) for training in trainings]
    whole = sum(training.history.seconds for training in trainings)
    columns = ("steps", "trained tokens", "time", "tokens/s (median)", "memory (most)", "FLOP", "MFU (mean)")
    words = (
        f"{format_seconds(whole)} of training in all. Steps that were done again after an interruption do not count. "
        "FLOP: floating-point operations of forward and backward pass on the trained tokens, 6 for each parameter "
        "that a token is multiplied with, and those of attention; tokens that are only read do not count. MFU: those "
        "of a second as a share of the device's peak, where the peak is known."
    )
    return section("Cost", table(("training", *(f"#{name}" for name in columns)), rows), f'<p class="note">{words}</p>')


def _row(training: Training, model: Artifact | None) -> tuple[str, ...]:
    history = training.history
    speeds = [speed for _, speed in history.curve("step", "tokens_per_second")]
    memory = [each for _, each in history.curve("step", "memory")]
    usage = [each for _, each in history.curve("step", "mfu")]
    tokens = max((tokens for _, tokens in history.curve("step", "tokens")), default=0.0)
    operations = operations_of(model, tokens)
    return (
        training.stage if training.current else f"{training.stage} (not ended)",
        f"{history.step:,}",
        f"{tokens:,.0f}",
        format_seconds(history.seconds),
        format_count(median(speeds)) if speeds else "-",
        format_bytes(max(memory)) if memory else "-",
        "-" if operations is None else f"{operations:.3g}",
        f"{100 * mean(usage):.1f} %" if usage else "unknown",
    )


def operations_of(model: Artifact | None, tokens: float) -> float | None:
    """Floating-point operations of training on so many tokens, in windows of the model's context.

    Args:
        model: the checkpoint; None where there is none yet.
        tokens: that were trained on.
    """
    if model is None:
        return None
    from lumilab.training.cost import operations_per_token

    config = model.manifest.config
    shape = ModelConfig.model_validate(config["model"])
    return operations_per_token(shape, config["vocabulary_size"], shape.context).total * tokens


def environment(run: RunView) -> str:
    """With what each result was made, results of the same environment together."""
    places: dict[tuple[str, ...], list[str]] = {}
    for name, result in run.results.items():
        if result.artifact is not None:
            made = result.artifact.manifest.environment
            places.setdefault(tuple(str(made.get(key, "-")) for key in ("lumilab", "python", "platform")), []).append(
                name
            )
    if not places:
        return section("Environment", "<p>There is no result yet.</p>")
    rows = [(", ".join(names), *place) for place, names in places.items()]
    return section("Environment", table(("stages", "lumilab", "Python", "platform"), rows))
