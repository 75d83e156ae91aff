"""A model's figures beside what models of its size should reach."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any


@dataclass(frozen=True)
class Target:
    """What a size of model should reach.

    Attributes:
        parameters: models with fewer belong to this size.
        perplexity: WikiText-2 perplexity per token, from good to just enough.
        boolq: BoolQ accuracy, from just enough to good.
    """

    parameters: float
    perplexity: tuple[float, float]
    boolq: tuple[float, float]


# The predecessors' reference targets, by the sizes of their presets.
TARGETS: Mapping[str, Target] = MappingProxyType(
    {
        "tiny": Target(20e6, (50, 80), (0.55, 0.65)),
        "small": Target(80e6, (30, 50), (0.65, 0.72)),
        "base": Target(float("inf"), (20, 35), (0.70, 0.78)),
    }
)


def size_of(parameters: int) -> str:
    """The name of the size that a number of parameters belongs to."""
    return next(name for name, target in TARGETS.items() if parameters < target.parameters)


def assess(results: Mapping[str, Mapping[str, Any]], parameters: int) -> list[str]:
    """A sentence for each figure that there is a target for."""
    size = size_of(parameters)
    target = TARGETS[size]
    sentences = []
    perplexity = results.get("perplexity", {}).get("token_perplexity,none")
    if perplexity is not None:
        low, high = target.perplexity
        verdict = "better than" if perplexity < low else "within" if perplexity <= high else "not within"
        sentences.append(
            f"Perplexity per token {perplexity:.1f}: {verdict} the {low:.0f} to {high:.0f} of WikiText-2 that "
            f"{size} models should reach (it depends on the tokenizer; per word or byte it does not)."
        )
    accuracy = results.get("boolq", {}).get("acc,none")
    if accuracy is not None:
        low, high = target.boolq
        verdict = "better than" if accuracy > high else "within" if accuracy >= low else "below"
        sentences.append(
            f"BoolQ {100 * accuracy:.1f} %: {verdict} the {100 * low:.0f} to {100 * high:.0f} % that {size} models "
            "should reach (always saying yes reaches 62 %)."
        )
    return sentences
