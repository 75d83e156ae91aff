"""What a recipe's pretraining will take, before any of it is spent: every figure with how it was found.

The arithmetic is `lumilab.training.cost` and `.footprint`, the speed is measured by `lumilab.training.probe` or given;
here they meet the recipe and what its run has already made.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from lumilab.artifact import Artifact
from lumilab.corpus.compression import SUFFIXES as COMPRESSED
from lumilab.dataset.split import TRAIN
from lumilab.errors import ConfigError, LumiError, ResourceError
from lumilab.pipeline.estimate import BYTES_PER_TOKEN
from lumilab.pipeline.plan import plan
from lumilab.recipe import Recipe
from lumilab.recipe.training import TrainingConfig
from lumilab.training.cost import (
    OPTIMAL_TOKENS,
    Operations,
    checkpoint_bytes,
    dataset_bytes,
    operations_per_token,
    optimal_tokens,
    parameters_of,
    tokens_of,
)
from lumilab.training.footprint import Footprint, Setup, Strategy, footprint
from lumilab.training.hardware import resolve_device, resolve_dtype
from lumilab.training.memory import most_memory
from lumilab.training.micro_batches import USED
from lumilab.training.probe import Probe, measure
from lumilab.work.context import WorkContext

COMPRESSION = 3.0  # text bytes in a byte of a compressed file, about
HIDDEN = 4 / 3  # of the memory that is foretold: a CPU's allocator, which keeps what is freed, wastes up to a third


@dataclass(frozen=True)
class Figure:
    """One number of a forecast.

    Attributes:
        section: what it belongs to.
        name: what it is.
        value: the number.
        unit: "parameters", "tokens", "bytes", "seconds"...; "" for a ratio.
        how: how it was found.
    """

    section: str
    name: str
    value: float | None
    unit: str
    how: str


@dataclass(frozen=True)
class Terms:
    """What a forecast is asked for beyond the recipe.

    Attributes:
        devices: that train together.
        price: of one device for an hour, in any currency.
        tokens_per_second: of one device, where it is known; else it is measured.
        probe: whether to measure.
    """

    devices: int = 1
    price: float | None = None
    tokens_per_second: float | None = None
    probe: bool = True

    def __post_init__(self) -> None:
        for name, value in (("--price", self.price), ("--tokens-per-second", self.tokens_per_second)):
            if value is not None and not value > 0:
                raise ConfigError(f"{name} is {value:g}", where="command line", mend="give a number above 0.")


@dataclass(frozen=True)
class Text:
    """The tokens there are to train on.

    Attributes:
        train, whole: tokens of the training split, and of both; None where nothing is known.
        how: how they were counted.
    """

    train: float | None
    whole: float | None
    how: str


@dataclass(frozen=True)
class Passes:
    """How many windows each device reads at once, and how that was found."""

    windows: int
    how: str


def forecast(recipe: Recipe, folder: Path, terms: Terms, context: WorkContext) -> list[Figure]:
    """All figures, in the order in which a person wants them.

    Args:
        recipe: what would be run.
        folder: of its run, which may hold the dataset already.
        terms: devices, price, speed.
        context: progress and stopping.

    Raises:
        ConfigError: the terms and the recipe do not go together.
        ResourceError: the machine lacks what the recipe chose by name.
        Interrupted: a stop was asked for during the probe.
    """
    training = recipe.pretrain
    if training.batch_size % terms.devices:
        raise ConfigError(
            f"pretrain.batch_size ({training.batch_size}) cannot be shared by {terms.devices} devices",
            where="command line",
            mend="give --devices a number that divides it, or change pretrain.batch_size.",
        )
    made = _made(recipe, folder)
    tokenizer = made.get("tokenizer")
    vocabulary = recipe.tokenizer.vocabulary_size
    if tokenizer is not None:
        vocabulary = int(tokenizer.manifest.statistics["vocabulary_size"])
    text = _text(recipe, made.get("dataset"))
    operations = operations_per_token(recipe.model, vocabulary, recipe.dataset.window)
    passes = {strategy: _passes(recipe, vocabulary, terms.devices, strategy) for strategy in _strategies(terms)}
    known = tokenizer is not None or recipe.tokenizer.algorithm != "pretrained"
    figures = [*_size(recipe, vocabulary, known), *_tokens(recipe, vocabulary, text), *_work(recipe, operations)]
    for strategy, each in passes.items():
        found = _footprint(recipe, vocabulary, terms.devices, strategy, each.windows)
        figures += _memory(found, each, strategy, terms.devices)
    measured = terms.probe and not terms.tokens_per_second
    probe = _probe(recipe, vocabulary, next(iter(passes.values())).windows, context) if measured else None
    figures += _time(recipe, terms, probe)
    return [*figures, *_disk(recipe, vocabulary, text)]


def as_json(recipe: Recipe, figures: list[Figure]) -> dict[str, Any]:
    """The figures as JSON values."""
    return {"recipe": recipe.name, "figures": [asdict(figure) for figure in figures]}


# --- what there is ---------------------------------------------------------------------------------------------------


def _made(recipe: Recipe, folder: Path) -> dict[str, Artifact]:
    """What a run of the recipe would use as it is, by stage."""
    if not folder.exists():
        return {}  # nothing to be found, so the raw files need not be read
    try:
        steps = plan(recipe, folder, until="dataset")
    except LumiError:
        return {}  # raw files that are not here: what is known is said by `_text`
    return {step.stage.name: step.artifact for step in steps if step.artifact is not None}


def _text(recipe: Recipe, dataset: Artifact | None) -> Text:
    if dataset is not None:
        statistics = dataset.manifest.statistics
        train = statistics[TRAIN]["tokens"]
        return Text(train, train + statistics["validation"]["tokens"], f"counted in {dataset.path.name}")
    from lumilab.corpus.plan import open_sources

    try:
        paths = [raw.path for source in open_sources(recipe.corpus) for raw in source.raw_paths()]
        size = sum(path.stat().st_size * (COMPRESSION if path.suffix in COMPRESSED else 1.0) for path in paths)
    except (LumiError, OSError) as error:
        return Text(None, None, f"unknown: {error}")
    if not paths:
        return Text(None, None, "unknown until the corpus is here")
    whole = size / BYTES_PER_TOKEN
    how = (
        f"estimated: {size / 1e6:,.1f} MB of raw files at {BYTES_PER_TOKEN:g} bytes a token, nothing filtered out"
        "; `lumi pack` counts exactly"
    )
    return Text(whole * (1 - recipe.dataset.validation_share), whole, how)


# --- sections --------------------------------------------------------------------------------------------------------


def _size(recipe: Recipe, vocabulary: int, known: bool) -> Iterator[Figure]:
    """`known` is whether the vocabulary's size is that of a tokenizer that is there, or that will be learnt."""
    counted = parameters_of(recipe.model, vocabulary)
    model = recipe.model
    shape = f"{model.layers} blocks of width {model.width}, {model.heads} heads of {model.head_dim}"
    tied = "the output layer is the same" if model.tie_embeddings else "and the output layer's"
    yield Figure("Size", "parameters", counted.total, "parameters", shape)
    yield Figure("Size", "in matrices", counted.matrices, "parameters", "attention and feed-forward layers")
    entries = f"{vocabulary:,} entries" + (
        "" if known else " by tokenizer.vocabulary_size; the pretrained one has its own"
    )
    yield Figure("Size", "in embeddings", counted.embeddings, "parameters", f"{entries}; {tied}")
    yield Figure("Size", "in norms, biases", counted.vectors, "parameters", "vectors")


def _tokens(recipe: Recipe, vocabulary: int, text: Text) -> Iterator[Figure]:
    training, window = recipe.pretrain, recipe.dataset.window
    tokens, parameters = tokens_of(training, window), parameters_of(recipe.model, vocabulary).total
    optimal = optimal_tokens(parameters)
    how = f"{training.steps:,} steps of {training.batch_size} windows of {window:,}"
    yield Figure("Tokens", "of the run", tokens, "tokens", how)
    yield Figure("Tokens", "for each parameter", tokens / parameters, "", f"{OPTIMAL_TOKENS} make the best of compute")
    yield Figure(
        "Tokens", "compute-optimal", optimal, "tokens", f"{OPTIMAL_TOKENS} a parameter (Hoffmann et al. 2022, table 3)"
    )
    steps = -(-optimal // (training.batch_size * window))
    yield Figure("Tokens", "steps for that", steps, "steps", "pretrain.steps, with this batch and window")
    yield Figure("Tokens", "in the dataset", text.train, "tokens", f"training split, {text.how}")
    if text.train:
        yield Figure("Tokens", "epochs of the run", tokens / text.train, "epochs", "tokens of the run / of the dataset")
        yield Figure("Tokens", "epochs if optimal", optimal / text.train, "epochs", "compute-optimal / of the dataset")


def _work(recipe: Recipe, operations: Operations) -> Iterator[Figure]:
    tokens = tokens_of(recipe.pretrain, recipe.dataset.window)
    model = recipe.model
    yield Figure(
        "Operations",
        "matrix products",
        operations.products * tokens,
        "FLOP",
        f"6 N D: N = {operations.multiplied:,} parameters multiplied with, D = {tokens:,} tokens",
    )
    yield Figure(
        "Operations",
        "attention",
        operations.attention * tokens,
        "FLOP",
        f"12 · {model.layers} layers · {model.heads} heads · {model.head_dim} · window {recipe.dataset.window:,} · D",
    )
    how = "both; recomputed activations not counted" if recipe.pretrain.activation_checkpointing else "both"
    yield Figure("Operations", "of the run", operations.total * tokens, "FLOP", how)


def _strategies(terms: Terms) -> list[Strategy]:
    return ["one"] if terms.devices == 1 else ["ddp", "fsdp"]


def _passes(recipe: Recipe, vocabulary: int, devices: int, strategy: Strategy) -> Passes:
    """As the recipe says; where it leaves it to the machine, what ought to fit here."""
    here, wanted = max(1, recipe.pretrain.batch_size // devices), recipe.pretrain.micro_batch_size
    if wanted is None:
        return Passes(here, "all that a device has of a batch")
    if wanted != "auto":
        return Passes(min(wanted, here), "pretrain.micro_batch_size")
    try:
        room = USED * most_memory(resolve_device(recipe.pretrain.device), devices)
    except ResourceError:
        return Passes(1, "at least; pretrain.micro_batch_size is auto, and the device is not here to be asked")
    sizes = [size for size in range(here, 0, -1) if here % size == 0]
    fitting = (size for size in sizes if _footprint(recipe, vocabulary, devices, strategy, size).peak * HIDDEN <= room)
    return Passes(next(fitting, 1), f"pretrain.micro_batch_size is auto, and {room / 1e9:.1f} GB may be taken")


def _footprint(recipe: Recipe, vocabulary: int, devices: int, strategy: Strategy, windows: int) -> Footprint:
    """The memory of each device where it reads so many windows at once."""
    element, on_cpu = _arithmetic(recipe.pretrain)
    return footprint(
        Setup(
            model=recipe.model,
            vocabulary_size=vocabulary,
            window=recipe.dataset.window,
            training=recipe.pretrain,
            rows=windows,
            element=element,
            on_cpu=on_cpu,
            devices=devices,
            strategy=strategy,
        )
    )


def _arithmetic(training: TrainingConfig) -> tuple[int, bool]:
    """Bytes of an activation, and whether a CPU computes: of this machine, or of one with the device that is named."""
    try:
        device = resolve_device(training.device)
        return resolve_dtype(training.dtype, device).itemsize, device.type == "cpu"
    except ResourceError:
        named = {"auto": torch.bfloat16 if training.device == "cuda" else torch.float32}
        return named.get(training.dtype, getattr(torch, training.dtype, torch.float32)).itemsize, False


def _memory(found: Footprint, passes: Passes, strategy: Strategy, devices: int) -> Iterator[Figure]:
    section = {
        "one": "Memory",
        "ddp": f"Memory of each of {devices}, DDP",
        "fsdp": f"Memory of each of {devices}, FSDP2",
    }
    yield Figure(section[strategy], "windows at once", passes.windows, "windows", passes.how)
    for part in found.parts:
        if part.size:
            yield Figure(section[strategy], part.name, part.size, "bytes", part.how)
    how = f"{found.moment}; tensors alone: a CPU's process takes a fifth to a half more, twice as much when recomputing"
    yield Figure(section[strategy], "at most at once", found.peak, "bytes", how)


def _probe(recipe: Recipe, vocabulary: int, windows: int, context: WorkContext) -> Probe | None:
    """Measures on this machine, on one device; None where that device or its memory is not here."""
    try:
        room = most_memory(resolve_device(recipe.pretrain.device))
    except ResourceError as error:
        context.report.say(f"  Not measured: {error.what}.", style="yellow")
        return None
    smallest = _footprint(recipe, vocabulary, 1, "one", 1).peak * HIDDEN
    if smallest > room:
        context.report.say(
            f"  Not measured: one window takes about {smallest / 1e9:.1f} GB, and {room / 1e9:.1f} GB are free.",
            style="yellow",
        )
        return None
    context.report.say("  Measuring a few training steps with random tokens...", style="dim")
    whole = _footprint(recipe, vocabulary, 1, "one", windows).peak * HIDDEN
    return measure(
        recipe.model,
        vocabulary,
        _of_one_device(recipe.pretrain, windows),
        recipe.dataset.window,
        context.stop,
        rows=1 if whole > room else None,
    )


def _of_one_device(training: TrainingConfig, windows: int) -> TrainingConfig:
    """The training with the size of its passes settled, where it was to be found out."""
    if training.micro_batch_size == "auto":
        return TrainingConfig.model_validate(training.model_dump() | {"micro_batch_size": windows})
    return training


def _time(recipe: Recipe, terms: Terms, probe: Probe | None) -> Iterator[Figure]:
    speed = terms.tokens_per_second
    if probe is not None:
        speed = probe.tokens_per_second
        how = f"measured: median of {probe.steps} steps of {probe.windows} windows, {probe.hardware}"
        yield Figure("Time", "tokens a second", speed, "tokens/s", how)
        if probe.mfu is not None:
            yield Figure("Time", "share of the peak", probe.mfu, "", "MFU: operations above / the device's data sheet")
        yield Figure("Time", "memory measured", probe.memory, "bytes", "the most in those steps")
    elif speed is not None:
        yield Figure("Time", "tokens a second", speed, "tokens/s", "given, of one device")
    if speed is None:
        yield Figure("Time", "of the training", None, "seconds", "not measured: give --tokens-per-second")
        return
    seconds = tokens_of(recipe.pretrain, recipe.dataset.window) / speed / terms.devices
    shared = f", shared by {terms.devices} devices without loss" if terms.devices > 1 else ""
    yield Figure("Time", "of the training", seconds, "seconds", f"tokens / tokens a second{shared}; steps alone")
    if terms.price is not None:
        cost = seconds / 3600 * terms.devices * terms.price
        yield Figure("Time", "cost", cost, "money", f"hours · {terms.devices} devices · {terms.price:g} an hour")


def _disk(recipe: Recipe, vocabulary: int, text: Text) -> Iterator[Figure]:
    counted, training = parameters_of(recipe.model, vocabulary), recipe.pretrain
    if text.whole:
        size = dataset_bytes(text.whole, vocabulary)
        yield Figure("Disk", "dataset", size, "bytes", f"{size / text.whole:g} bytes a token, both splits")
    how = f"{training.keep_checkpoints} newest states and the best (pretrain.keep_checkpoints), and the final weights"
    yield Figure("Disk", "checkpoints", checkpoint_bytes(counted, training), "bytes", how)
