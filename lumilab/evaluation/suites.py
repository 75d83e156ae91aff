"""Named sets of tasks, and reading `NAME`, `NAME:LIMIT` and suites from a command line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from lumilab.errors import ConfigError
from lumilab.evaluation.harness.find import TaskRequest

# The first three of each have the sizes that the predecessors agreed on; larger suites have room for more.
SUITES: Mapping[str, Mapping[str, int]] = MappingProxyType(
    {
        "quick": {"perplexity": 50, "lambada_openai": 20, "hellaswag": 10},
        "standard": {"perplexity": 100, "lambada_openai": 50, "hellaswag": 20, "boolq": 100, "piqa": 100},
        "comprehensive": {
            "perplexity": 200,
            "lambada_openai": 100,
            "hellaswag": 50,
            "boolq": 200,
            "piqa": 200,
            "arc_easy": 200,
            "winogrande": 200,
            "wikitext": 200,
            "completion": 50,
        },
    }
)


def requested(words: Sequence[str], limit: int | None = None) -> tuple[TaskRequest, ...]:
    """The tasks that a command line names, each once.

    Args:
        words: suites, tasks, and tasks with a number of items (`hellaswag:200`), also several with commas between them.
        limit: items of each task that says no number; None for all, and for what a suite says.

    Raises:
        ConfigError: a number is none, or nothing is asked for.
    """
    chosen: dict[str, int | None] = {}
    for word in [part.strip() for several in words for part in several.split(",") if part.strip()]:
        if word in SUITES:
            chosen |= {name: limit if limit is not None else count for name, count in SUITES[word].items()}
            continue
        name, colon, number = word.rpartition(":")
        if not colon or number.endswith((".yaml", ".yml")):
            chosen[word] = limit
        elif number.isdigit() and int(number):
            chosen[name] = int(number)
        else:
            raise ConfigError(
                f"{number!r} is no number of items", where=word, mend="write NAME:200, or the name alone."
            )
    if not chosen:
        raise ConfigError("No tasks are asked for", where="tasks", mend=f"give tasks or one of {', '.join(SUITES)}.")
    return tuple(TaskRequest(name, count) for name, count in chosen.items())
