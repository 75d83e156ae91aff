"""Training states: all a run needs to go on exactly where it was, in folders beside its final checkpoint.

A state `step_000200/` is an artifact (so it is whole or absent, and every byte is covered by a checksum) with the
weights, the optimizer's state, the random number generators' and the run's progress. The text files `latest` and
`best` name a state each. The newest few are kept, and always the one `best` names.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from lumilab.artifact import Artifact, ArtifactBuilder, write_atomically
from lumilab.errors import DamageError, InputError, MismatchError
from lumilab.model import Transformer, parameter_shapes
from lumilab.training.checkpoint import TRAINING_STATE
from lumilab.training.optimizers import TrainingOptimizer
from lumilab.training.randomness import random_state, restore_random_state
from lumilab.training.weights import FILE_NAME, check_shapes, load_tensors, save_tensors

OPTIMIZER_FILE = "optimizer.safetensors"
STATE_FILE = "state.json"
LEFTOVERS = (".step_*", ".latest.*", ".best.*", ".log.jsonl.*")  # of killed processes, by the names they write under


@dataclass(frozen=True)
class Progress:
    """How far a run is.

    Attributes:
        step: optimizer steps done.
        tokens: trained tokens seen in them.
        skipped, skipped_in_row: steps without an update because the gradient was not finite: all, and the last ones.
        validation_loss, validated_step: last validation loss (nats per token) and the step after which it was measured.
        best_loss, best_step: the same for the lowest so far.
    """

    step: int = 0
    tokens: int = 0
    skipped: int = 0
    skipped_in_row: int = 0
    validation_loss: float | None = None
    validated_step: int | None = None
    best_loss: float | None = None
    best_step: int | None = None


@dataclass(frozen=True)
class StateFolder:
    """The states of one run.

    Attributes:
        folder: the run's folder.
        config: what makes the run what it is; states of anything else are refused.
        inputs: the artifacts it reads, by role.
        keep: how many of the newest states stay.
    """

    folder: Path
    config: dict[str, Any]
    inputs: Mapping[str, Artifact]
    keep: int

    def save(self, model: Transformer, optimizer: TrainingOptimizer, progress: Progress) -> Artifact:
        """Publishes the state, points `latest` (and `best`, if it is the best) to it and removes old ones.

        Raises:
            ResourceError: the disk is full; the states before this one are untouched.
        """
        target = self.folder / _name(progress.step)
        with ArtifactBuilder(target, kind=TRAINING_STATE, config=self.config, inputs=self.inputs) as builder:
            save_tensors(builder.path(FILE_NAME), model.state_dict())
            save_tensors(builder.path(OPTIMIZER_FILE), optimizer.state_dict())
            builder.write_json(STATE_FILE, {"progress": asdict(progress), "random": random_state()})
            artifact = builder.publish(replace=True)
        self._point(progress)
        self._prune(progress)
        return artifact

    def restore(self, model: Transformer, optimizer: TrainingOptimizer) -> Progress | None:
        """Loads the newest state into model, optimizer and random number generators; None when there is none.

        Raises:
            DamageError: the newest state is not as it was written. It is for the user to decide to go back further.
            MismatchError: the state is of another run.
        """
        newest = max(self._steps(), default=None)
        if newest is None:
            return None
        artifact = self._open_whole(self.folder / _name(newest))
        self._check_same_run(artifact)
        path = artifact.file(FILE_NAME)
        weights = load_tensors(path)
        check_shapes(weights, parameter_shapes(model.config, model.vocabulary_size), path)
        model.load_state_dict(weights)
        optimizer.load_state_dict(load_tensors(artifact.file(OPTIMIZER_FILE)))
        state = json.loads(artifact.file(STATE_FILE).read_bytes())
        restore_random_state(state["random"])
        progress = Progress(**state["progress"])
        self._point(progress)
        self._prune(progress)
        return progress

    def _open_whole(self, path: Path) -> Artifact:
        try:
            artifact = Artifact.open(path, kind=TRAINING_STATE)
            problem = next(artifact.problems(), None)
        except (DamageError, InputError) as error:
            raise self._damage(path, error.what) from error
        if problem is not None:
            raise self._damage(path, str(problem))
        return artifact

    def _damage(self, path: Path, what: str) -> DamageError:
        older = [step for step in self._steps() if self.folder / _name(step) != path]
        instead = f"go on from {_name(max(older))}" if older else "start this training anew"
        return DamageError(
            f"The newest training state is damaged: {what}",
            where=str(path),
            mend=f"restore the file from a copy, or delete the folder {path.name} and run again to {instead}.",
        )

    def _check_same_run(self, artifact: Artifact) -> None:
        recorded = {name: record.digest for name, record in artifact.manifest.inputs.items()}
        given = {name: item.digest for name, item in self.inputs.items()}
        wrong = [f"input {name}" for name in given if recorded.get(name) != given[name]]
        wrong += [f"setting {key}" for key in self.config if artifact.manifest.config.get(key) != self.config[key]]
        if wrong:
            raise MismatchError(
                f"The training states here are of another run: the {wrong[0]} differs",
                where=str(artifact.path),
                mend="train in another folder, or delete the step folders to start anew.",
            )

    def _point(self, progress: Progress) -> None:
        """Lets `latest` and `best` name the states that the progress speaks of."""
        for name, step in (("latest", progress.step), ("best", progress.best_step)):
            if step is not None and (self.folder / _name(step)).exists():
                write_atomically(self.folder / name, _name(step).encode() + b"\n")

    def _prune(self, progress: Progress) -> None:
        """Removes all but the newest states and the best one, and what killed processes left unfinished."""
        kept = {*sorted(self._steps())[-self.keep :], progress.step, progress.best_step}
        for step in self._steps():
            if step not in kept:
                path = self.folder / _name(step)
                # Out of sight first: a kill in the middle of a removal must not leave what looks like a damaged state.
                path.rename(path.with_name(f".{path.name}.removed-{os.getpid()}"))
        for leftover in [path for pattern in LEFTOVERS for path in self.folder.glob(pattern)]:
            if leftover.is_dir():
                shutil.rmtree(leftover, ignore_errors=True)
            else:
                leftover.unlink(missing_ok=True)

    def _steps(self) -> Iterator[int]:
        for path in self.folder.glob("step_*"):
            if path.name.removeprefix("step_").isdigit():
                yield int(path.name.removeprefix("step_"))


def _name(step: int) -> str:
    return f"step_{step:06d}"
