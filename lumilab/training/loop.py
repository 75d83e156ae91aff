"""The training loop: one for pretraining, fine-tuning and preference training.

A run is a pure function of its configuration, its data and its seed: batches and learning rates are functions of the
step, and a saved state holds all the rest. So a run that was stopped or killed anywhere and started again ends with
the same weights, bit for bit, as one that was left alone (on one machine; float sums depend on the hardware).
"""

from __future__ import annotations

from lumilab.errors import TimeLimitReached
from lumilab.model import Transformer
from lumilab.recipe.training import TrainingConfig
from lumilab.training.devices import Devices
from lumilab.training.flops import training_operations_per_token
from lumilab.training.hardware import keep_freed_memory, memory_explained, repeatable, resolve
from lumilab.training.learner import Learner
from lumilab.training.objective import Objective
from lumilab.training.parallel import distribute
from lumilab.training.randomness import seed_all
from lumilab.training.run import Probe, Run, Sampler
from lumilab.training.saving import Saver
from lumilab.training.states import Progress, StateFolder
from lumilab.training.telemetry import NoLog, open_log
from lumilab.training.time_limit import TimeLimit
from lumilab.work.context import WorkContext


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
    probe: Probe | None = None,
) -> Progress:
    """Trains `model` in place for `config.steps` steps, going on from the newest state in `states` if there is one.

    Args:
        model: with its first weights; afterwards with those to publish.
        objective: what to train on.
        config: how; checked when it was made.
        states: where to save, and to resume from.
        context: progress and stopping.
        seed: of the global random number generators.
        sampler: writes samples every `config.sample_every` steps, or with each validation.
        tokens_per_byte: of the validation text, to tell its loss in bits per byte as well.
        probe: measures the model as `config.suite` says.

    Raises:
        Interrupted: a stop was asked for; the last step is saved.
        TimeLimitReached: `config.time_limit` is over; the last step is saved.
        ConfigError: too many steps in a row were skipped.
        DamageError, MismatchError: the newest state cannot be used.
        ResourceError: the machine lacks what was chosen, or memory.
    """
    limit = TimeLimit(config.time_limit)
    hardware = resolve(config, work_of(model, objective, config))
    context.report.say(hardware.describe(), style="dim")
    keep_freed_memory()
    devices = Devices.of_this_process()
    seed_all(seed + devices.rank)
    with memory_explained(config), devices.losses_explained(), repeatable(hardware.device, config.deterministic):
        model.activation_dtype = hardware.dtype
        loss_of = distribute(model, objective.loss, hardware, devices, config.parallel)
        if devices.count > 1:
            context.report.say(f"  {loss_of.kind} over {devices.count} processes", style="dim")
        model.recompute = config.activation_checkpointing
        learner = Learner(model, config, hardware.dtype)
        progress = states.restore(learner, context.report.say, devices) or Progress()
        if progress.step:
            context.report.say(f"Going on from step {progress.step:,} of {config.steps:,}")
        with (
            open_log(states, config, progress.step) if devices.first else NoLog() as log,
            Saver(config.save_in_background, devices) as saver,
            context.report.task("training", total=config.steps, unit="steps") as task,
        ):
            task.start_at(progress.step)
            log.begin(progress.step, steps=config.steps, processes=devices.count, hardware=hardware.describe())
            run = Run(
                learner, objective, config, hardware, devices, loss_of, context, log, sampler, tokens_per_byte, probe
            )
            saved = progress = run.with_micro_batch(progress)
            progress = run.validate_if_due(progress)  # where an earlier part of the run was stopped before it
            if progress.step == 0 and progress != saved:
                states.save(learner, progress, saver)  # the weights it began with may turn out to be the best
                saved = progress
            first = progress.step  # one step at least, so that whoever runs again and again gets to the end
            while not (run.done(progress) or devices.stopped(context.stop, limit.reached and progress.step > first)):
                progress = run.step(progress)
                saver.check()
                task.advance(1, **run.meter.facts())
                if run.anything_due(progress.step):
                    progress = run.validate_if_due(run.settle(progress))
                    run.sample_if_due(progress.step)
                    run.probe_if_due(progress.step)
                    if progress.step % config.checkpoint_every == 0 or progress.best_step == progress.step:
                        states.save(learner, progress, saver)
                        saved = progress
            progress = run.settle(progress)
            if progress != saved:
                states.save(learner, progress, saver)
        if devices.stopped(context.stop):
            context.stop.check()
        if not run.done(progress):
            raise TimeLimitReached(str(config.time_limit))
        if config.publish == "best" and progress.best_step not in (None, progress.step):
            states.load(learner, states.at(progress.best_step), devices)
        learner.keep_published()
    return progress


def work_of(model: Transformer, objective: Objective, config: TrainingConfig) -> float:
    """Floating-point operations of the whole run."""
    tokens = config.steps * config.batch_size * objective.window
    return training_operations_per_token(model, objective.window) * tokens
