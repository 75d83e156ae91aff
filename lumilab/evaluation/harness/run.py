"""Evaluating with lm-evaluation-harness: its tasks, its metrics, its names, our model and our memory of answers."""

from __future__ import annotations

import io
import json
import logging
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lumilab.errors import ConfigError
from lumilab.evaluation.harness.find import FoundTask, TaskRequest, find_tasks
from lumilab.work.context import WorkContext

if TYPE_CHECKING:
    from lumilab.evaluation.harness.remembering import Journalled

SHOTS_SEED = 1_234  # the harness's
BOOTSTRAPS = 1000  # for standard errors that have no formula (perplexities); means have one


@dataclass(frozen=True)
class Asked:
    """How tasks are put to a model.

    Attributes:
        tasks: which, and how much of each.
        data: the folder of local data; None for the hub.
        shots: examples before each question; None for what each task says.
        chat: put questions in the model's form of chat.
    """

    tasks: tuple[TaskRequest, ...]
    data: Path | None = None
    shots: int | None = None
    chat: bool = False


@dataclass(frozen=True)
class Outcome:
    """What the harness found.

    Attributes:
        figures: its results under its names, without the samples.
        samples: of each task its items, with the model's answers and whether they are right.
    """

    figures: dict[str, Any]
    samples: Mapping[str, list[dict[str, Any]]]


@contextmanager
def quiet_harness() -> Iterator[None]:
    """The harness and what it loads say nothing; progress is ours.

    Raises:
        ConfigError: it is not installed.
    """
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("DISABLE_MULTIPROC", "1")  # its bootstrap would start a pool for a second's work
    try:
        import datasets
        import lm_eval  # noqa: F401
    except ImportError as error:
        raise ConfigError(
            f"Tasks need lm-evaluation-harness, which is not installed ({error.name} is missing)",
            mend="pip install 'lumilab[eval]'",
        ) from None
    loggers = [logging.getLogger(name) for name in ("lm_eval", "datasets", "transformers", "lm-eval")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    datasets.disable_progress_bars()
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def evaluate_tasks(asked: Asked, model: Journalled, context: WorkContext) -> Outcome:
    """Puts tasks to a model.

    Args:
        asked: which tasks, and how.
        model: its answers are kept, so that asking again costs nothing.
        context: where stops come from.

    Raises:
        ConfigError, InputError: a task is unknown, or its data is missing or malformed.
        Interrupted: a stop was requested; the answers so far are kept.
    """
    from lm_eval import evaluate
    from lm_eval.tasks import TaskManager

    found = find_tasks(asked.tasks, asked.data)
    context.stop.check()
    tasks = TaskManager(include_defaults=False).load([task for one in found for task in one.loaded])
    for task in tasks["tasks"].values():
        _set_shots(task, asked.shots)
    with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):  # it prints bars; ours are enough
        results = evaluate(
            lm=model,
            task_dict=tasks,
            samples=_chosen(found),
            bootstrap_iters=BOOTSTRAPS,
            apply_chat_template=asked.chat,
            fewshot_as_multiturn=asked.chat,
            log_samples=True,
        )
    samples = results.pop("samples")
    figures = json.loads(json.dumps(results, default=_plain))
    return Outcome(figures, samples)


def _set_shots(task: Any, shots: int | None) -> None:
    """As the harness's own command does: a task that says 0 stays without examples."""
    said = task.get_config("num_fewshot")
    if said is None or (shots is not None and said != 0):
        task.set_config(key="num_fewshot", value=shots or 0)
    task.set_fewshot_seed(seed=SHOTS_SEED)


def _chosen(found: Sequence[FoundTask]) -> dict[str, list[int]] | None:
    """The numbers of the items of each task; a group's share is spread evenly over its tasks."""
    if all(one.request.limit is None for one in found):
        return None
    chosen = {}
    for one in found:
        tasks = [task for loaded in one.loaded for task in _leaves(loaded)]
        share = None if one.request.limit is None else math.ceil(one.request.limit / len(tasks))
        for task in tasks:
            count = len(task.eval_docs)
            chosen[task.task_name] = list(range(count if share is None else min(share, count)))
    return chosen


def _leaves(loaded: Any) -> list[Any]:
    return list(loaded.get_all_tasks()) if hasattr(loaded, "get_all_tasks") else [loaded]


def _plain(value: Any) -> Any:
    """For what JSON does not know: numbers of numpy, and functions, by their names."""
    return value.item() if hasattr(value, "item") else getattr(value, "__name__", str(value))
