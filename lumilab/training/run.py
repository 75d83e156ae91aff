"""A training run's parts, and what the loop does with them: a step, its figures, validation, samples.

A step's figures are read when the next step is under way (`lumilab.training.step`), so what is known of the run lags
one step behind what is done, until `settle` asks for it: before anything is measured, saved or decided.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import NamedTuple, TypeVar

import torch

from lumilab.errors import ConfigError, InputError
from lumilab.model import Transformer
from lumilab.recipe.training import TrainingConfig
from lumilab.training.devices import Devices
from lumilab.training.flops import peak_operations, training_operations_per_token
from lumilab.training.hardware import Hardware
from lumilab.training.learner import Learner
from lumilab.training.meter import Meter
from lumilab.training.micro_batches import largest_micro_batch
from lumilab.training.objective import Objective
from lumilab.training.parallel import DistributedLoss, whole_model
from lumilab.training.randomness import undisturbed
from lumilab.training.schedules import learning_rate_share
from lumilab.training.states import Progress
from lumilab.training.step import Figures, Reading, take_step
from lumilab.training.telemetry import NoLog, TrainingLog
from lumilab.training.validation import bits_per_byte, judged, steps_between, validate
from lumilab.work.context import WorkContext

Seen = TypeVar("Seen")


class Sample(NamedTuple):
    """A text that the model wrote.

    Attributes:
        prompt, text: what it was given, and what it wrote.
        reference: what the data has there.
        keeps_form: whether it is an answer in the form that is taught; None where there is none.
    """

    prompt: str
    text: str
    reference: str | None = None
    keeps_form: bool | None = None


Sampler = Callable[[Transformer, int], list[Sample]]
"""What a model writes after a step of training."""

Probe = Callable[[Transformer], Mapping[str, float]]
"""What a model scores in benchmarks while it is being trained, by names as they are logged."""


@dataclass
class Run:
    """The parts of a run, and what is done with them each time."""

    learner: Learner
    objective: Objective
    config: TrainingConfig
    hardware: Hardware
    devices: Devices
    loss_of: DistributedLoss
    context: WorkContext
    log: TrainingLog | NoLog
    sampler: Sampler | None
    tokens_per_byte: float | None
    probe: Probe | None = None

    def __post_init__(self) -> None:
        config = self.config
        self.rows = -(-config.batch_size // self.devices.count)  # all that this rank has; validation takes as many
        if isinstance(config.micro_batch_size, int):
            self.rows = config.micro_batch_size
        self.validate_every = steps_between(config, self.objective.epoch_steps)
        self.sample_every = self.validate_every if config.sample_every is None else config.sample_every
        suite = config.suite
        self.probe_every = (suite.every or config.checkpoint_every) if suite is not None else 0
        peak = peak_operations(self.hardware.device, self.hardware.dtype)
        self.meter = Meter(
            (self.log.last("step") or {}).get("smoothed_loss"),
            self.hardware.device,
            training_operations_per_token(self.learner.model, self.objective.window),
            peak * self.devices.count if peak else None,
            config.optimizer.learning_rate,
        )
        self.waiting: Reading | None = None

    def with_micro_batch(self, progress: Progress) -> Progress:
        """Finds out how many windows fit into memory at once, where that is asked for and not known from before."""
        if self.config.micro_batch_size != "auto":
            return progress
        if progress.micro_batch is None:
            batch = self.objective.batch(progress.step)
            apart = self.loss_of.kind != "fsdp"  # there a pass gathers weights from all ranks
            passes = partial(self.objective.loss, self.learner.model) if apart else self.loss_of
            with self.hardware.not_compiling():
                found = largest_micro_batch(self.learner, passes, batch, self.devices, apart=apart)
            progress = replace(progress, micro_batch=found)
            told = f"{found} of {len(batch.ids)} windows fit into memory at once"
            self.context.report.say(f"  {told} (micro_batch_size)")
        self.rows = progress.micro_batch or self.rows
        return progress

    def done(self, progress: Progress) -> bool:
        """Whether all steps are taken, or enough validations were without a lower loss."""
        patience = self.config.early_stopping
        return progress.step >= self.config.steps or bool(patience and progress.without_improvement >= patience)

    def anything_due(self, step: int) -> bool:
        """Whether validation, samples or a state follow the step; else its figures may wait for the next one."""
        each = (self.validate_every, self.sample_every, self.probe_every, self.config.checkpoint_every)
        return step == self.config.steps or any(every and step % every == 0 for every in each)

    def step(self, progress: Progress) -> Progress:
        """One optimizer step; the progress after it knows the figures of the steps before."""
        begun = take_step(
            self.learner,
            self.loss_of,
            self.objective.batch(progress.step),
            progress.step,
            learning_rate_share(progress.step, self.config.steps, self.config.schedule),
            self.devices,
            rows=self.rows,
            clip=self.config.optimizer.clip,
        )
        progress = self.settle(progress)
        self.waiting = begun
        return replace(progress, step=progress.step + 1)

    def settle(self, progress: Progress) -> Progress:
        """Reads the figures of the last step, counts and logs them.

        Raises:
            InputError: it had nothing to train on.
            ConfigError: too many steps in a row were skipped.
        """
        if self.waiting is None:
            return progress
        figures, self.waiting = self.waiting.wait(), None
        if not figures.trained:
            raise InputError(
                f"The batch of step {figures.step} has no token to train on",
                mend="check the mask of the data: every example needs something to learn.",
            )
        self.meter.count(figures)
        progress = replace(progress, tokens=progress.tokens + figures.trained)
        progress = self._skipped(progress, figures) if figures.skipped else replace(progress, skipped_in_row=0)
        self._log(progress, figures)
        return progress

    def _skipped(self, progress: Progress, figures: Figures) -> Progress:
        """Counts and tells of a step that changed nothing."""
        progress = replace(progress, skipped=progress.skipped + 1, skipped_in_row=progress.skipped_in_row + 1)
        told = f"step {figures.step + 1:,}: loss {figures.loss:.6g}, gradient norm {figures.norm:.6g}"
        self.context.report.say(f"  {told}: no update from this batch", style="yellow")
        self.log.write("skipped", figures.step + 1, in_row=progress.skipped_in_row, reason=told)
        if progress.skipped_in_row > self.config.max_skipped_steps:
            raise ConfigError(
                f"{progress.skipped_in_row} steps in a row were skipped, so training stops: their loss or gradient "
                "was not finite, or far above the steps before",
                where=told,
                mend="lower the learning rate, lengthen the warm-up, or use dtype=float32; where the level may jump, "
                "spike_sigmas=0. Saved steps are kept.",
            )
        return progress

    def _log(self, progress: Progress, figures: Figures) -> None:
        step, every = figures.step + 1, self.config.log_every
        if step % every and step != self.config.steps:
            return
        since = (step - 1) // every * every
        facts = self.objective.facts(since, step - since)
        mix = {name.removeprefix("mix/"): share for name, share in facts.items() if name.startswith("mix/")}
        self.log.write(
            "step",
            step,
            loss=figures.loss,
            smoothed_loss=self.meter.smoothed,
            learning_rate=figures.share * self.config.optimizer.learning_rate,
            gradient_norm=figures.norm,
            tokens=progress.tokens,
            skipped=progress.skipped,
            tokens_per_second=self.meter.lap(mix),
            mfu=self.meter.mfu,
            memory=self.meter.memory,
            seconds=self.meter.seconds,
            **facts,
            **self.objective.measures(figures.means),
        )

    def validate_if_due(self, progress: Progress) -> Progress:
        """Measures the validation loss at its steps, once; a stop leaves the progress as it was."""
        due = progress.step == self.config.steps or progress.step % self.validate_every == 0
        unwanted = progress.step == 0 and not self.config.validate_first
        if not due or unwanted or progress.step == progress.validated_step:
            return progress
        began = time.monotonic()
        found = validate(
            self.learner, self.objective, self.loss_of, self.hardware, self.devices, self.rows, self.context.stop
        )
        self.meter.pause(time.monotonic() - began)
        if found is None:
            return progress
        loss, measures = found
        bits = bits_per_byte(loss, self.tokens_per_byte)
        self.log.write("validation", progress.step, loss=loss, **bits, **measures)
        told = "".join(f" · {value:.4f} bits per byte" for value in bits.values())
        told += "".join(f" · {name} {value:.4f}" for name, value in measures.items())
        self.context.report.say(f"  step {progress.step:,} · validation loss {loss:.4f}{told}")
        progress = judged(progress, loss)
        if self.done(progress) and progress.step < self.config.steps:
            self.context.report.say(
                f"  {progress.without_improvement} validations without a loss below {progress.best_loss:.4f} "
                f"(step {progress.best_step:,}): training stops here"
            )
        return progress

    def sample_if_due(self, step: int) -> None:
        """Lets the sampler write, without any effect on the training."""
        last = step == self.config.steps and self.config.sample_every is None
        sampler = self.sampler
        if sampler is not None and self.sample_every and (last or step % self.sample_every == 0):
            samples = self._looked_at(lambda model: sampler(model, step))
            write_samples(samples or [], step, self.log, self.context)

    def probe_if_due(self, step: int) -> None:
        """Measures the model on benchmarks, without any effect on the training."""
        last = step == self.config.steps
        if self.probe is not None and self.probe_every and (last or step % self.probe_every == 0):
            scores = self._looked_at(self.probe) or {}
            self.log.write("suite", step, **scores)
            told = " · ".join(f"{name} {value:.4g}" for name, value in scores.items() if not name.endswith("_stderr"))
            self.context.report.say(f"  step {step:,} · {told}")

    def _looked_at(self, look: Callable[[Transformer], Seen]) -> Seen | None:
        """What somebody makes of the weights as they are; None on the ranks that do not have all of them."""
        began = time.monotonic()
        with self.learner.as_validated(), torch.no_grad(), undisturbed():
            model = whole_model(self.learner.model, self.devices)
            seen = look(model.eval()) if model is not None else None
        self.learner.model.train()
        self.meter.pause(time.monotonic() - began)
        return seen


def write_samples(samples: Sequence[Sample], step: int, log: TrainingLog | NoLog, context: WorkContext) -> None:
    """Logs and shows samples, and how many of the answers among them keep their form."""
    for sample in samples:
        context.report.say(f"  {sample.prompt} ⟶ {sample.text}", style="italic")
        log.write("sample", step, **{key: value for key, value in sample._asdict().items() if value is not None})
    forms = [sample.keeps_form for sample in samples if sample.keeps_form is not None]
    if forms:
        log.write("samples", step, answers=len(forms), keeping_form=sum(forms) / len(forms))
        context.report.say(f"  {sum(forms)} of {len(forms)} answers keep the form", style="dim")
