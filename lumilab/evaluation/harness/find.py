"""Which tasks a person means: those shipped here, on local files; those of lm-evaluation-harness; their own.

A name is looked for among the shipped ones when a folder of data is given, and otherwise in the harness's registry,
whose tasks fetch their data from the hub. A path to a task file in the harness's form is taken as it is.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

from lumilab.errors import ConfigError, InputError, LumiError
from lumilab.evaluation.harness.local_data import subjects

SHIPPED = Path(__file__).parent / "tasks"
MMLU, SUBJECT = "mmlu", "mmlu_subject"
# How people call what the harness calls otherwise.
ALIASES: Mapping[str, str] = MappingProxyType(
    {"lambada": "lambada_openai", "arc-easy": "arc_easy", "wikitext-2": "wikitext", "wikitext2": "wikitext"}
)


@dataclass(frozen=True)
class TaskRequest:
    """A task, and how much of it.

    Attributes:
        name: of the harness, an alias of one, or the path of a task file.
        limit: the first so many items; None for all. Of a group, spread over its tasks.
    """

    name: str
    limit: int | None = None


@dataclass(frozen=True)
class FoundTask:
    """A request with what the harness made of it: a Task, a Group, or several tasks of one tag."""

    request: TaskRequest
    loaded: list[Any]


def shipped_names() -> list[str]:
    """The tasks that need no hub, given their data."""
    return sorted({path.stem for path in SHIPPED.glob("*.yaml")} - {SUBJECT} | {MMLU})


def find_tasks(requests: Sequence[TaskRequest], data: Path | None) -> list[FoundTask]:
    """Loads the tasks and their data.

    Args:
        requests: at least one.
        data: the folder with a folder for each benchmark, for the shipped tasks; None to ask the hub.

    Raises:
        ConfigError: no task has that name, or a task file is no task.
        InputError: a task's data is missing or malformed.
    """
    from lm_eval.tasks import TaskManager

    names = [ALIASES.get(request.name, request.name) for request in requests]
    shipped = shipped_names() if data is not None else []
    others = [name for name in names if name not in shipped and not _is_file(name)]
    local = TaskManager(
        include_path=str(SHIPPED), include_defaults=False, metadata={"data": str(data)} if data is not None else {}
    )
    registry = TaskManager() if others else local  # reading all of the harness's tasks takes seconds
    for name in others:
        _check_known(name, registry.all_tasks, shipped_names())
    found = []
    for request, name in zip(requests, names, strict=True):
        if name == MMLU and data is not None:
            load = partial(_mmlu, data)
        else:  # one by one: `load` of several would flatten groups
            load = partial((local if name in shipped or _is_file(name) else registry)._load_spec, name)
        found.append(FoundTask(request, _loaded(load, name)))
    return found


def _is_file(name: str) -> bool:
    return name.endswith((".yaml", ".yml"))


def _check_known(name: str, known: Sequence[str], shipped: Sequence[str]) -> None:
    if name not in known:
        near = difflib.get_close_matches(name, [*shipped, *known], n=3)
        mend = f"did you mean {', '.join(near)}? " if near else ""
        raise ConfigError(
            f"There is no task {name}",
            where="tasks",
            mend=f"{mend}Shipped are {', '.join(shipped)}; `lm-eval ls tasks` lists all others.",
        )


def _mmlu(data: Path) -> Any:
    """A group of a task for each subject that there are files of, and their mean by items."""
    from lm_eval.api.group import Group
    from lm_eval.api.task import ConfigurableTask
    from lm_eval.config.group import GroupConfig
    from lm_eval.tasks._yaml_loader import load_yaml

    mean = {"metric": "acc", "aggregation": "mean", "weight_by_size": True}
    group = Group.from_config(GroupConfig(group=MMLU, aggregate_metric_list=[mean]))
    base = load_yaml(SHIPPED / f"{SUBJECT}.yaml")
    for subject in subjects(data):
        title = subject.replace("_", " ")
        changes = {
            "task": f"{MMLU}_{subject}",
            "dataset_kwargs": {**base["dataset_kwargs"], "subject": subject},
            "description": f"The following are multiple choice questions (with answers) about {title}.\n\n",
            "metadata": base["metadata"] | {"data": str(data)},
        }
        group.add(ConfigurableTask(config=base | changes))
    return group


def _loaded(load: Callable[[], Any], name: str) -> list[Any]:
    if _is_file(name) and not Path(name).is_file():
        raise ConfigError("There is no such task file", where=name, mend="check the path.")
    try:
        objects = load()
    except LumiError:
        raise
    except (OSError, ConnectionError) as error:
        offline = " (the environment forbids the hub)" if os.environ.get("HF_HUB_OFFLINE") else ""
        raise InputError(
            f"The data of the task {name} cannot be had{offline}: {error}",
            where=name,
            mend="give a folder with local files (--data), or try again with a network.",
        ) from error
    except Exception as error:  # whatever the harness says to a file that is no task
        raise ConfigError(
            f"The task {name} cannot be loaded: {type(error).__name__}: {error}",
            where=name,
            mend="compare it with the task files of lm-evaluation-harness.",
        ) from error
    return objects if isinstance(objects, list) else [objects]
