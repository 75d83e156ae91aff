"""A training stage from first weights to published checkpoint, the same for every kind of training."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path

from lumilab.artifact import Artifact
from lumilab.model import Transformer
from lumilab.recipe.section import identity
from lumilab.recipe.training import TrainingConfig
from lumilab.tokenizer.load import Tokenizer
from lumilab.training.checkpoint import CHECKPOINT, publish_checkpoint
from lumilab.training.devices import Devices
from lumilab.training.loop import train
from lumilab.training.objective import Objective
from lumilab.training.parallel import whole_model
from lumilab.training.run import Probe, Sampler
from lumilab.training.states import Progress, StateFolder
from lumilab.work.context import WorkContext

TrainBy = Callable[..., Progress]


def train_stage(
    stage: str,
    model: Transformer,
    objective: Objective,
    config: TrainingConfig,
    seed: int,
    *,
    inputs: Mapping[str, Artifact],
    tokenizer: Tokenizer,
    target: Path,
    context: WorkContext,
    sampler: Sampler | None = None,
    tokens_per_byte: float | None = None,
    probe: Probe | None = None,
    files: Mapping[str, bytes] | None = None,
    eos_id: int | None = None,
    finish: Callable[[Transformer], Mapping[str, bytes]] = lambda model: {},
    by: TrainBy = train,
) -> Artifact:
    """Trains a model and publishes it as the checkpoint `target`; training states and logs go beside it.

    Args:
        stage: its name, for the manifest ("pretrain", "sft").
        model: with its first weights.
        objective, config, seed, context, sampler, tokens_per_byte, probe: as for `train`.
        inputs: the artifacts it is made from, by role.
        tokenizer: what the data was encoded with.
        files, eos_id: as for `publish_checkpoint`.
        by: trains; `train` itself, or something that takes its arguments and does the same in another way.
        finish: makes of the trained model what is published, in place (merges an adapter), and returns further files.

    Raises:
        As `train`.
    """
    description = {
        "stage": stage,
        "model": identity(model.config),
        "vocabulary_size": model.vocabulary_size,
        "tokenizer_identity": tokenizer.identity,
        "training": identity(config),
        "seed": seed,
    }
    target.parent.mkdir(parents=True, exist_ok=True)
    states = StateFolder(target.parent, description, inputs, config.keep_checkpoints, config.go_back)
    progress = by(
        model, objective, config, states, context,
        seed=seed, sampler=sampler, tokens_per_byte=tokens_per_byte, probe=probe,
    )  # fmt: skip
    devices = Devices.of_this_process()
    whole = whole_model(model, devices, device="cpu")

    def publish() -> None:
        if whole is not None:
            more = finish(whole)
            publish_checkpoint(
                target,
                whole,
                config=description,
                inputs=inputs,
                tokenizer=tokenizer,
                files={**(files or {}), **more},
                statistics=asdict(progress),
                eos_id=eos_id,
            )

    devices.together(publish, "publish the checkpoint")
    return Artifact.open(target, kind=CHECKPOINT)
