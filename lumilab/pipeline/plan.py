"""What is stale, and why.

Each stage has a key: the digest of its name and version, the part of the recipe that shapes it, the digests of its
inputs and of its raw files. The key is part of the folder's name, so a stage is fresh exactly when the artifact
under its key exists, a changed value never overwrites an older result, and changing it back finds that result again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from lumilab.artifact import Artifact, digest_of
from lumilab.errors import DamageError, InputError, MismatchError
from lumilab.pipeline.records import StageRecord, read_records
from lumilab.pipeline.stages import Stage, stages_of
from lumilab.recipe import Recipe

KEY_LENGTH = 12


@dataclass(frozen=True)
class StagePlan:
    """What is to be done for one stage.

    `record` is None while an input is still to be rebuilt, because the key is not known before that; `artifact` is
    there when nothing needs doing; `replaces` says that something is in the place of the new result.
    """

    stage: Stage
    record: StageRecord | None
    artifact: Artifact | None
    reasons: list[str]
    replaces: bool = False

    @property
    def fresh(self) -> bool:
        return self.artifact is not None


def plan_stage(
    stage: Stage, recipe: Recipe, folder: Path, inputs: Mapping[str, Artifact | None], *, forced: bool
) -> StagePlan:
    """Decides whether one stage must run, given its inputs (None for one that is still to be rebuilt)."""
    previous = read_records(folder).get(stage.name)
    config = stage.config(recipe)
    waiting = [name for name, artifact in inputs.items() if artifact is None]
    if waiting:
        reasons = list(_differences(previous.config, config)) if previous else ["it was never built"]
        return StagePlan(stage, None, None, [*reasons, f"it follows {' and '.join(waiting)}"])
    digests = {name: artifact.digest for name, artifact in inputs.items() if artifact is not None}
    raw = digest_of([asdict(file) for file in stage.raw(recipe)[0]]) if stage.raw else None
    key = stage_key(stage, config, digests, raw)
    path = stage.place.format(key=key)
    record = StageRecord(key=key, path=path, digest="", config=config, inputs=digests, raw=raw)
    if forced:
        return StagePlan(stage, record, None, ["it was forced"], replaces=True)
    try:
        artifact = Artifact.open(folder / path, kind=stage.kind)
    except InputError:
        return StagePlan(stage, record, None, list(_reasons(previous, record, folder)))
    except (DamageError, MismatchError) as error:
        return StagePlan(stage, record, None, [f"its artifact is damaged: {error.what}"], replaces=True)
    return StagePlan(stage, record, artifact, [])


def stage_key(stage: Stage, config: Mapping[str, Any], inputs: Mapping[str, str], raw: str | None = None) -> str:
    """Twelve hex digits of all that decides a stage's result.

    Args:
        stage: which.
        config: its part of the recipe, as JSON values.
        inputs: the digests of its inputs, by stage name.
        raw: the digest of its raw files, if it reads any.
    """
    whole = {"stage": stage.name, "version": stage.version, "config": config, "inputs": dict(inputs), "raw": raw}
    return digest_of(whole)[:KEY_LENGTH]


def plan(
    recipe: Recipe, folder: Path, *, until: str | None = None, force: frozenset[str] = frozenset()
) -> list[StagePlan]:
    """The plan of a whole run, without running anything."""
    plans: list[StagePlan] = []
    artifacts: dict[str, Artifact | None] = {}
    for stage in stages_of(recipe):
        inputs = {name: artifacts[name] for name in stage.inputs if name in artifacts}
        step = plan_stage(stage, recipe, folder, inputs, forced=stage.name in force)
        plans.append(step)
        artifacts[stage.name] = step.artifact
        if stage.name == until:
            break
    return plans


def _reasons(previous: StageRecord | None, now: StageRecord, folder: Path) -> Iterator[str]:
    if previous is None:
        yield "it was never built"
        return
    found = False
    for reason in _differences(previous.config, now.config):
        found = True
        yield reason
    for name, digest in now.inputs.items():
        if previous.inputs.get(name) != digest:
            found = True
            yield f"its input {name} changed"
    if previous.raw != now.raw:
        found = True
        yield "the raw files changed"
    if not found:
        gone = previous.key == now.key and previous.digest != ""
        yield f"its artifact is gone from {folder / now.path}" if gone else "this version of lumilab builds it anew"


def _differences(before: Any, now: Any, path: str = "") -> Iterator[str]:
    """The values that changed, as `pretrain.steps: 100 -> 200`."""
    if isinstance(before, dict) and isinstance(now, dict):
        for name in sorted(before.keys() | now.keys()):
            yield from _differences(before.get(name), now.get(name), f"{path}.{name}" if path else name)
    elif before != now:
        yield f"{path}: {before} -> {now}"
