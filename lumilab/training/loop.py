"""The training loop: one for pretraining, fine-tuning and preference training.

A run is a pure function of its configuration, its data and its seed: batches and learning rates are functions of the
step, and a saved state holds all the rest. So a run that was stopped or killed anywhere and started again ends with
the same weights, bit for bit, as one that was left alone (on one machine; float sums depend on the hardware).
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from lumilab.errors import ConfigError, InputError, TimeLimitReached
from lumilab.model import Transformer
from lumilab.recipe.training import TrainingConfig
from lumilab.training.hardware import Hardware, keep_freed_memory, memory_explained, repeatable, resolve
from lumilab.training.objective import Batch, Objective
from lumilab.training.optimizers import TrainingOptimizer
from lumilab.training.randomness import seed_all, undisturbed
from lumilab.training.schedules import learning_rate_share
from lumilab.training.states import Progress, StateFolder
from lumilab.training.telemetry import Meter, TrainingLog
from lumilab.training.time_limit import TimeLimit
from lumilab.work.context import WorkContext

Sampler = Callable[[Transformer, int], list[tuple[str, str]]]
LossFunction = Callable[[Transformer, Batch], Tensor]


def train(
    model: Transformer,
    objective: Objective,
    config: TrainingConfig,
    states: StateFolder,
    context: WorkContext,
    *,
    seed: int,
    sampler: Sampler | None = None,
    tokens_per_byte: float | None = None,
) -> Progress:
    """Trains `model` in place for `config.steps` steps, going on from the newest state in `states` if there is one.

    Args:
        model: with its first weights.
        objective: what to train on.
        config: how; checked when it was made.
        states: where to save, and to resume from.
        context: progress and stopping.
        seed: of the global random number generators.
        sampler: writes samples every `config.sample_every` steps.
        tokens_per_byte: of the validation text, to tell its loss in bits per byte as well.

    Raises:
        Interrupted: a stop was asked for; the last step is saved.
        TimeLimitReached: `config.time_limit` is over; the last step is saved.
        ConfigError: the gradient was not finite for too many steps in a row.
        DamageError, MismatchError: the newest state cannot be used.
        ResourceError: the machine lacks what was chosen, or memory.
    """
    limit = TimeLimit(config.time_limit)
    hardware = resolve(config, work_of(model, config))
    context.report.say(hardware.describe(), style="dim")
    keep_freed_memory()
    seed_all(seed)
    model.to(hardware.device).activation_dtype = hardware.dtype
    optimizer = TrainingOptimizer(model, config.optimizer, hardware.dtype)
    progress = states.restore(model, optimizer) or Progress()
    if progress.step:
        context.report.say(f"Going on from step {progress.step:,} of {config.steps:,}")
    with (
        memory_explained(config),
        repeatable(hardware.device),
        TrainingLog(states.folder, progress.step) as log,
        context.report.task("training", total=config.steps, unit="steps") as task,
    ):
        task.start_at(progress.step)
        run = _Run(model, objective, config, hardware, optimizer, context, log, tokens_per_byte)
        saved = progress
        progress = run.validate_if_due(progress)  # where an earlier part of the run was stopped before it
        while progress.step < config.steps and not (context.stop.requested or limit.reached):
            progress = run.validate_if_due(run.step(progress))
            task.advance(1, **run.meter.facts())
            if sampler and config.sample_every and progress.step % config.sample_every == 0:
                run.sample(sampler, progress.step)
            if progress.step % config.checkpoint_every == 0 or progress.best_step == progress.step:
                states.save(model, optimizer, progress)
                saved = progress
        if progress != saved:
            states.save(model, optimizer, progress)
    context.stop.check()
    if progress.step < config.steps:
        raise TimeLimitReached(str(config.time_limit))
    return progress


def work_of(model: Transformer, config: TrainingConfig) -> float:
    """Floating-point operations of the whole run, at most: six a parameter and token (Kaplan et al. 2020, 2.1)."""
    parameters = sum(parameter.numel() for parameter in model.parameters())
    return 6.0 * parameters * config.steps * config.batch_size * model.config.context


@dataclass
class _Run:
    """The parts of a run, and what is done with them each time."""

    model: Transformer
    objective: Objective
    config: TrainingConfig
    hardware: Hardware
    optimizer: TrainingOptimizer
    context: WorkContext
    log: TrainingLog
    tokens_per_byte: float | None

    def __post_init__(self) -> None:
        self.loss: LossFunction = self.hardware.compile(self.objective.loss)
        self.meter = Meter((self.log.last("step") or {}).get("smoothed_loss"))

    def step(self, progress: Progress) -> Progress:
        """One optimizer step; returns the progress after it."""
        batch = self.objective.batch(progress.step)
        share = learning_rate_share(progress.step, self.config.steps, self.config.schedule)
        loss = self._backward(batch, progress.step)
        norm = self._clip()
        progress = replace(progress, step=progress.step + 1, tokens=progress.tokens + batch.trained)
        if math.isfinite(loss) and math.isfinite(norm):
            self.optimizer.step(share)
            self.meter.count(loss, batch.ids.numel())
            progress = replace(progress, skipped_in_row=0)
        else:
            progress = self._skip(progress, loss, norm)
        self.optimizer.zero_grad()
        if progress.step % self.config.log_every == 0 or progress.step == self.config.steps:
            since = (progress.step - 1) // self.config.log_every * self.config.log_every
            self.log.write(
                "step",
                progress.step,
                loss=loss,
                smoothed_loss=self.meter.smoothed,
                learning_rate=share * self.config.optimizer.learning_rate,
                gradient_norm=norm,
                tokens=progress.tokens,
                tokens_per_second=self.meter.lap(),
                seconds=self.meter.seconds,
                **self.objective.facts(since, progress.step - since),
            )
        return progress

    def validate_if_due(self, progress: Progress) -> Progress:
        """Measures the validation loss at its steps, once; a stop leaves the progress as it was."""
        due = progress.step == self.config.steps or progress.step % self.config.validate_every == 0
        if not due or progress.step in (0, progress.validated_step):
            return progress
        began = time.monotonic()
        loss = self._validation_loss()
        self.meter.pause(time.monotonic() - began)
        if loss is None:
            return progress
        bits = {} if self.tokens_per_byte is None else {"bits_per_byte": loss / math.log(2) * self.tokens_per_byte}
        self.log.write("validation", progress.step, loss=loss, **bits)
        told = "".join(f" · {value:.4f} bits per byte" for value in bits.values())
        self.context.report.say(f"  step {progress.step:,} · validation loss {loss:.4f}{told}")
        progress = replace(progress, validation_loss=loss, validated_step=progress.step)
        if progress.best_loss is None or loss < progress.best_loss:
            progress = replace(progress, best_loss=loss, best_step=progress.step)
        return progress

    def sample(self, sampler: Sampler, step: int) -> None:
        """Lets the sampler write, without any effect on the training."""
        began = time.monotonic()
        self.model.eval()
        with torch.no_grad(), undisturbed():
            pairs = sampler(self.model, step)
        self.model.train()
        for prompt, text in pairs:
            self.context.report.say(f"  {prompt} ⟶ {text}", style="italic")
            self.log.write("sample", step, prompt=prompt, text=text)
        self.meter.pause(time.monotonic() - began)

    def _backward(self, batch: Batch, step: int) -> float:
        """Adds up the gradient of the loss per trained token of the whole batch; returns that loss."""
        trained = batch.trained
        if trained == 0:
            raise InputError(
                f"The batch of step {step} has no token to train on",
                mend="check the mask of the data: every example needs something to learn.",
            )
        total = torch.zeros((), device=self.hardware.device)
        for part in batch.split(self.config.micro_batch_size):
            loss = self.loss(self.model, part.to(self.hardware.device)) / trained
            torch.autograd.backward(loss)
            total += loss.detach()
        return total.item()

    def _clip(self) -> float:
        """The gradient's norm before it is scaled down to the largest one allowed."""
        parameters = [parameter for parameter in self.model.parameters() if parameter.grad is not None]
        norm = torch.nn.utils.get_total_norm([parameter.grad for parameter in parameters if parameter.grad is not None])
        if self.config.optimizer.clip:
            torch.nn.utils.clip_grads_with_norm_(parameters, self.config.optimizer.clip, norm)
        return norm.item()

    def _skip(self, progress: Progress, loss: float, norm: float) -> Progress:
        """Counts a step whose gradient cannot be used.

        Raises:
            ConfigError: there were too many in a row.
        """
        progress = replace(progress, skipped=progress.skipped + 1, skipped_in_row=progress.skipped_in_row + 1)
        told = f"step {progress.step:,}: loss {loss}, gradient norm {norm}"
        self.context.report.say(f"  {told}: no update from this batch", style="yellow")
        self.log.write("skipped", progress.step, in_row=progress.skipped_in_row, reason=told)
        if progress.skipped_in_row > self.config.max_skipped_steps:
            raise ConfigError(
                f"The gradient was not finite for {progress.skipped_in_row} steps in a row, so training stops",
                where=told,
                mend="lower the learning rate, lengthen the warm-up, or use dtype=float32; saved steps are kept.",
            )
        return progress

    def _validation_loss(self) -> float | None:
        """Mean loss over the validation batches' trained tokens; None when there are none, or on a stop."""
        total, trained = 0.0, 0
        self.model.eval()
        # With gradients the compiled program is that of training; compiling another would cost more than it saves.
        with torch.set_grad_enabled(self.hardware.compiled):
            for batch in self.objective.validation():
                if self.context.stop.requested:
                    break
                total += self.loss(self.model, batch.to(self.hardware.device)).item()
                trained += batch.trained
        self.model.train()
        return total / trained if trained and not self.context.stop.requested else None
