"""Training by TRL's trainers instead of our loop: the same weights, batches and settings, and a checkpoint as ever.

A checkpoint has the names of Hugging Face's layout, so transformers opens it as it is. TRL's trainer is given the
batches of our objective in our order (as rows of single conversations, since its attention knows no packed windows),
our optimizer and our schedule, so what differs is its loop and its arithmetic alone. In between and at the end the
weights are copied into our model, which is validated, asked and published as after our own training.

What TRL saves to go on from is in the folder `trl` beside the checkpoint. The adapter of a LoRA run is ours, put into
their model by PEFT.
"""

from __future__ import annotations

import importlib
import shutil
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from lumilab.errors import ConfigError, ResourceError
from lumilab.model import Transformer, family_of
from lumilab.posttraining.adapters import NAME, PREFIX
from lumilab.recipe.finetuning import FinetuningConfig
from lumilab.training.devices import Devices
from lumilab.training.hardware import resolve_device, resolve_dtype
from lumilab.training.objective import Objective
from lumilab.training.optimizers import TrainingOptimizer
from lumilab.training.randomness import undisturbed
from lumilab.training.run import Probe, Sampler, write_samples
from lumilab.training.schedules import learning_rate_share
from lumilab.training.states import Progress, StateFolder
from lumilab.training.telemetry import TrainingLog
from lumilab.training.validation import judged, steps_between
from lumilab.work.context import WorkContext
from lumilab.work.progress import Task

FOLDER = "trl"  # beside the checkpoint: what TRL goes on from

MakeTrainer = Callable[[Any, Any, dict[str, Any], dict[str, Any]], Any]
"""Makes the trainer of (transformers' model, its tokenizer, values for the trainer's configuration, further arguments
of the trainer)."""


def packages() -> tuple[Any, Any]:
    """The packages trl and datasets.

    Raises:
        ResourceError: one is not installed.
    """
    try:
        return importlib.import_module("trl"), importlib.import_module("datasets")
    except ImportError as error:
        raise ResourceError(
            f"trainer is trl, but the package {error.name} is not installed",
            mend="install it with `pip install 'lumilab[trl]'`, or choose trainer=lumilab.",
        ) from error


def train_with_trl(
    model: Transformer,
    objective: Objective,
    config: FinetuningConfig,
    states: StateFolder,
    context: WorkContext,
    *,
    seed: int,
    make: MakeTrainer,
    base: Path,
    sampler: Sampler | None = None,
    tokens_per_byte: float | None = None,
    probe: Probe | None = None,
) -> Progress:
    """Trains `model` in place as `lumilab.training.loop.train` does, and takes the same arguments; besides

    Args:
        make: makes the trainer.
        base: the checkpoint's folder that the model is from, for transformers to open.

    Raises:
        ResourceError: a package is missing.
        ConfigError: transformers does not know the model's shape, or there are several processes.
        Interrupted: a stop was asked for; what was done is saved.
    """
    if probe is not None:
        raise ConfigError(
            "Benchmarks while training are measured by our own loop only",
            where="suite",
            mend="leave the suite out, or train without TRL.",
        )
    packages()
    if Devices.of_this_process().count > 1:
        raise ConfigError(
            "trainer is trl, which trains in one process here", mend="start one process, or choose trainer=lumilab."
        )
    device = resolve_device(config.device)
    dtype = resolve_dtype(config.dtype, device)
    context.report.say(f"Training with TRL on {device.type}, {str(dtype).removeprefix('torch.')}", style="dim")
    with _quiet():
        theirs, tokenizer = open_with_transformers(model, base)
    theirs.to(device)
    model.to(device)
    model.activation_dtype = dtype
    newest = newest_state(states.folder / FOLDER)
    (optimizer,) = TrainingOptimizer(theirs, config.optimizer, dtype).parts
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: learning_rate_share(min(step, config.steps - 1), config.steps, config.schedule)
    )
    with (
        TrainingLog(states.folder, _step_of(newest)) as log,
        context.report.task("training", total=config.steps, unit="steps") as task,
    ):
        task.start_at(_step_of(newest))
        run = _Following(model, objective, config, context, log, task, sampler, Progress(step=_step_of(newest)))
        values = _arguments(config, states.folder / FOLDER, seed, device, dtype)
        more = {"optimizers": (optimizer, schedule), "callbacks": [_callback(run)]}
        with _quiet():
            trainer = make(theirs, tokenizer, values, more)
            trainer.remove_callback(_printer())
            trainer.train(resume_from_checkpoint=str(newest) if newest else None)
    if run.progress.step < config.steps:
        context.stop.check()
    take_weights(model, trainer.model)
    return run.progress


# --- the model, there and back ---------------------------------------------------------------------------------------


def open_with_transformers(model: Transformer, base: Path) -> tuple[Any, Any]:
    """Transformers' model with our weights, adapted as ours is, and its tokenizer.

    Raises:
        ConfigError: transformers does not know the shape under the names of a checkpoint.
    """
    from transformers import AutoModelForCausalLM, AutoTokenizer

    if family_of(model.config) not in ("qwen3", "llama"):
        raise ConfigError(
            "trainer is trl, but transformers cannot open a model of this shape as it is in a checkpoint",
            where="the checkpoint's model section",
            mend="choose trainer=lumilab, or train one with rope positions, RMS norms and gated layers (qwen3, llama).",
        )
    theirs: Any = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    adapters: Any = getattr(model, "peft_config", None)
    if adapters is not None:
        import peft

        theirs = peft.get_peft_model(theirs, adapters[NAME], adapter_name=NAME)
    with torch.no_grad():
        weights = dict(theirs.named_parameters())
        for name, parameter in model.named_parameters():
            weights[_their_name(theirs, name)].copy_(parameter)
    return theirs, AutoTokenizer.from_pretrained(base)


@torch.no_grad()
def take_weights(model: Transformer, theirs: Any) -> None:
    """Copies all weights of transformers' model, and of its adapter, into ours."""
    weights = dict(theirs.named_parameters())
    for name, parameter in model.named_parameters():
        parameter.copy_(weights[_their_name(theirs, name)])


def _their_name(theirs: Any, name: str) -> str:
    """A parameter's name in their model: PEFT wraps all of it."""
    return PREFIX + name if hasattr(theirs, "peft_config") else name


# --- what is saved ---------------------------------------------------------------------------------------------------


def newest_state(folder: Path) -> Path | None:
    """The newest whole state that TRL saved; what a killed process left unfinished is removed."""
    whole = []
    for path in folder.glob("checkpoint-*"):
        if (path / "trainer_state.json").is_file():  # written last
            whole.append(path)
        else:
            shutil.rmtree(path)
    return max(whole, key=_step_of, default=None)


def _step_of(state: Path | None) -> int:
    return int(state.name.rpartition("-")[2]) if state else 0


# --- the run ---------------------------------------------------------------------------------------------------------


def _arguments(
    config: FinetuningConfig, folder: Path, seed: int, device: torch.device, dtype: torch.dtype
) -> dict[str, Any]:
    """The values of a trainer's configuration that say what ours says."""
    rows = _rows(config)
    return {
        "output_dir": str(folder),
        "max_steps": config.steps,
        "per_device_train_batch_size": rows,
        "gradient_accumulation_steps": config.batch_size // rows,
        "max_grad_norm": config.optimizer.clip,
        "train_sampling_strategy": "sequential",  # our own order
        "bf16": dtype is torch.bfloat16,
        "fp16": dtype is torch.float16,
        "use_cpu": device.type == "cpu",
        "gradient_checkpointing": config.activation_checkpointing,
        "seed": seed,
        "save_steps": config.checkpoint_every,
        "save_total_limit": config.keep_checkpoints,
        "logging_steps": config.log_every,
        "logging_nan_inf_filter": False,
        "report_to": "none",
        "disable_tqdm": True,
        "remove_unused_columns": False,
    }


def _rows(config: FinetuningConfig) -> int:
    """Windows in each forward pass."""
    return config.micro_batch_size if isinstance(config.micro_batch_size, int) else config.batch_size


@dataclass
class _Following:
    """Our side of a run: logs, validation, samples, stopping."""

    model: Transformer
    objective: Objective
    config: FinetuningConfig
    context: WorkContext
    log: TrainingLog
    task: Task
    sampler: Sampler | None
    progress: Progress
    loss: float | None = None

    def __post_init__(self) -> None:
        self.every = steps_between(self.config, self.objective.epoch_steps)
        wanted = self.config.sample_every
        self.sample_every = self.every if wanted is None else wanted

    def after_step(self, step: int, theirs: Any) -> bool:
        """Validates and samples where that is due; whether to stop."""
        self.progress = replace(self.progress, step=step)
        self.task.advance(1, **({} if self.loss is None else {"loss": f"{self.loss:.3f}"}))
        last = step == self.config.steps
        validating, sampling = (
            bool(every) and (last or step % every == 0) for every in (self.every, self.sample_every)
        )
        if validating or sampling:
            take_weights(self.model, theirs)
            self.model.eval()
            with torch.no_grad(), undisturbed():
                if validating:
                    self._validate(step)
                if sampling and self.sampler is not None:
                    write_samples(self.sampler(self.model, step), step, self.log, self.context)
        return self.context.stop.requested

    def _validate(self, step: int) -> None:
        total, count = torch.zeros(()), 0
        device = next(self.model.parameters()).device
        for batch in self.objective.validation(_rows(self.config)):
            total = total + self.objective.loss(self.model, batch.to(device)).flatten().cpu()
            count += int(batch.divisor())
        if not count:
            return
        loss, *means = (total / count).tolist()
        self.log.write("validation", step, loss=loss, **self.objective.measures(means))
        self.context.report.say(f"  step {step:,} · validation loss {loss:.4f}")
        self.progress = judged(self.progress, loss)

    def logged(self, step: int, figures: Mapping[str, Any]) -> None:
        """Passes on what the trainer logs after a step."""
        numbers = {name: float(value) for name, value in figures.items() if isinstance(value, int | float)}
        if "loss" in numbers:
            numbers["gradient_norm"] = numbers.pop("grad_norm", float("nan"))
            self.log.write("step", step, **{name: value for name, value in numbers.items() if name != "epoch"})
            self.loss = numbers["loss"]


@contextmanager
def _quiet() -> Iterator[None]:
    """Transformers' bars are not shown while the block runs (the task shows how far the run is), nor what it says to
    programmers about names to come."""
    logging: Any = importlib.import_module("transformers.utils.logging")  # it has no types
    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            yield
    finally:
        if shown:
            logging.enable_progress_bar()


def _printer() -> Any:
    """What prints each log on its own."""
    from transformers import PrinterCallback

    return PrinterCallback


def _callback(run: _Following) -> Any:
    """The run as what TRL's trainers call."""
    from transformers import TrainerCallback

    class Follower(TrainerCallback):  # type: ignore[misc]  # mypy does not read transformers
        def on_step_end(self, args: Any, state: Any, control: Any, **more: Any) -> None:
            if run.after_step(state.global_step, more["model"]):
                control.should_training_stop = control.should_save = True

        def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **more: Any) -> None:
            run.logged(state.global_step, logs or {})

    return Follower()
