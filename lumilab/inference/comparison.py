"""Several models on one prompt, one after the other, so that only one is in memory at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from lumilab.inference.engine import Engine
from lumilab.inference.text import Statistics, stream_text
from lumilab.recipe.schema import SamplingConfig


@dataclass(frozen=True)
class Answer:
    """What a model made of the prompt.

    Attributes:
        path: the model's folder.
        text: without the prompt.
        statistics: how fast it came.
    """

    path: Path
    text: str
    statistics: Statistics


def answers(
    paths: Sequence[Path],
    prompt: str,
    sampling: SamplingConfig,
    stop: Sequence[str] = (),
    load: Callable[[Path], Engine] = Engine.load,
) -> Iterator[Answer]:
    """The answer of each model, in their order.

    Raises:
        InputError: as `Engine.load` and `stream_text`.
    """
    for path in paths:
        stream = stream_text(load(path), prompt, sampling, stop)
        text = stream.read()
        yield Answer(path, text, stream.statistics)


def by_speed(given: Sequence[Answer]) -> list[Answer]:
    """The fastest first; those that are too short to tell come last."""
    return sorted(given, key=lambda answer: answer.statistics.tokens_per_second or 0.0, reverse=True)
