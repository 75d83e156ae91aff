"""Training states: all a run needs to go on exactly where it was, in folders beside its final checkpoint.

A state `step_000200/` is an artifact (so it is whole or absent, and every byte is covered by a checksum) with the
weights, the optimizer's state, the random number generators' and the run's progress. The text files `latest` and
`best` name a state each. The newest few are kept, and always the one `best` names.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from lumilab.artifact import Artifact, ArtifactBuilder, building_folder, canonical_json, write_atomically
from lumilab.errors import DamageError, InputError, MismatchError
from lumilab.training.checkpoint import TRAINING_STATE
from lumilab.training.devices import ALONE, Devices
from lumilab.training.learner import Learner
from lumilab.training.randomness import random_state, restore_random_state
from lumilab.training.saving import Saver
from lumilab.training.stored_tensors import Pieces, StoredTensors, groups_of

STATE_FILE = "state.json"
SAVE, LOAD = "save its part of the training state", "load the newest training state"
LEFTOVERS = (".step_*", ".latest.*", ".best.*", ".log.jsonl.*")  # of killed processes, by the names they write under


@dataclass(frozen=True)
class Progress:
    """How far a run is.

    Attributes:
        step: optimizer steps done.
        tokens: trained tokens seen in them.
        skipped, skipped_in_row: steps that changed nothing (`lumilab.training.guard`): all, and the last ones.
        validation_loss, validated_step: last validation loss (nats per token) and the step after which it was measured.
        best_loss, best_step: the same for the lowest so far.
        without_improvement: validations since then.
        micro_batch: windows in each forward pass, where they were found out (micro_batch_size: auto).
    """

    step: int = 0
    tokens: int = 0
    skipped: int = 0
    skipped_in_row: int = 0
    validation_loss: float | None = None
    validated_step: int | None = None
    best_loss: float | None = None
    best_step: int | None = None
    without_improvement: int = 0
    micro_batch: int | None = None


@dataclass(frozen=True)
class StateFolder:
    """The states of one run.

    Attributes:
        folder: the run's folder.
        config: what makes the run what it is; states of anything else are refused.
        inputs: the artifacts it reads, by role.
        keep: how many of the newest states stay.
        go_back: whether a damaged newest state may be passed over for the one before it.
    """

    folder: Path
    config: dict[str, Any]
    inputs: Mapping[str, Artifact]
    keep: int
    go_back: bool = False

    def save(self, learner: Learner, progress: Progress, saver: Saver | None = None) -> None:
        """Publishes the state, points `latest` (and `best`, if it is the best) to it and removes old ones.

        Args:
            learner, progress: what to save.
            saver: does so while the caller goes on, together with other ranks; None for at once, and alone.

        Raises:
            ResourceError: the disk is full; the states before this one are untouched.
        """
        saver = saver or Saver()
        devices = saver.devices
        pieces = {
            group: Pieces.of(tensors, devices.rank, devices.count) for group, tensors in learner.tensors().items()
        }
        saver.save(pieces, partial(self._write, progress=progress, random=random_state(), devices=devices))

    def _write(
        self, pieces: Mapping[str, Pieces], progress: Progress, random: dict[str, Any], devices: Devices
    ) -> None:
        """Each rank writes its pieces and its generators' states; the first one publishes when all have."""
        target = self.folder / _name(progress.step)
        builder = ArtifactBuilder(target, kind=TRAINING_STATE, config=self.config, inputs=self.inputs)
        with ExitStack() as stack:
            devices.together(lambda: devices.first and stack.enter_context(builder), SAVE)
            folder = building_folder(target, devices.from_first(os.getpid()))

            def write_pieces() -> None:
                for group, each in pieces.items():
                    each.write(folder, group, devices.rank, devices.count)
                if not devices.first:
                    (folder / random_file(devices)).write_bytes(canonical_json(random))

            def publish() -> None:
                if devices.first:
                    builder.write_json(STATE_FILE, {"progress": asdict(progress), "random": random})
                    builder.publish(replace=True)
                    self._point(progress)
                    self._prune(progress)

            devices.together(write_pieces, SAVE)
            devices.together(publish, SAVE)

    def restore(self, learner: Learner, say: Callable[[str], None], devices: Devices = ALONE) -> Progress | None:
        """Loads the newest state into the learner and the random number generators; None when there is none.

        Args:
            say: is told of a damaged state that is passed over.
            devices: the ranks that load it; the first one looks whether it is whole.

        Raises:
            DamageError: the newest state is not as it was written, and it is for the user to decide to go back
                further; or going back is allowed, and no state is whole.
            MismatchError: the state is of another run.
        """
        newest = devices.together(lambda: self._newest(say) if devices.first else None, LOAD)
        step = devices.from_first(_step(newest.path) if newest else -1)
        if step < 0:
            return None
        artifact = newest or Artifact.open(self.folder / _name(step), kind=TRAINING_STATE)
        self._check_same_run(artifact)
        progress = devices.together(lambda: self.load(learner, artifact, devices), LOAD)
        if devices.first:
            self._point(progress)
            self._prune(progress)
        return progress

    def load(self, learner: Learner, artifact: Artifact, devices: Devices = ALONE) -> Progress:
        """Loads one state, written by any number of ranks."""
        parameters = dict(learner.model.named_parameters())
        groups = {group: StoredTensors(artifact, group) for group in groups_of(artifact)}
        learner.load(
            {group: each.read(parameters, devices.rank, devices.count) for group, each in groups.items()}, artifact.path
        )
        state = json.loads(artifact.file(STATE_FILE).read_bytes())
        if devices.first:
            restore_random_state(state["random"])
        elif random_file(devices) in artifact.manifest.files:  # else there were other ranks: it goes on as seeded
            restore_random_state(json.loads(artifact.file(random_file(devices)).read_bytes()))
        return Progress(**state["progress"])

    def at(self, step: int) -> Artifact:
        """The state of a step.

        Raises:
            DamageError: it is not as it was written, or not there.
        """
        return self._open_whole(self.folder / _name(step))

    def _newest(self, say: Callable[[str], None]) -> Artifact | None:
        steps = sorted(self._steps(), reverse=True)
        for step in steps:
            try:
                return self.at(step)
            except DamageError as error:
                if not self.go_back or step == steps[-1]:
                    raise
                path = self.folder / _name(step)
                say(f"Passing over a damaged state: {error.what} ({path}.damaged)")
                shutil.rmtree(f"{path}.damaged", ignore_errors=True)
                path.rename(f"{path}.damaged")
        return None

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
        older = [step for step in self._steps() if step < _step(path)]
        setting = f"{self.config.get('stage', 'pretrain')}.go_back=true"
        instead = (
            f"run again with {setting} to go on from {_name(max(older))}"
            if older
            else f"delete the folder {path.name} and run again to start this training anew"
        )
        return DamageError(
            f"The training state {path.name} is damaged: {what}",
            where=str(path),
            mend=f"restore the file from a copy, or {instead}.",
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


def random_file(devices: Devices) -> str:
    """The file with the states of a rank's random number generators; those of the first are in STATE_FILE."""
    return f"random.{devices.rank}-of-{devices.count}.json"


def _name(step: int) -> str:
    return f"step_{step:06d}"


def _step(path: Path) -> int:
    return int(path.name.removeprefix("step_"))
