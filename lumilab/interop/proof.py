"""The proof of an export or import: the same logits on random ids, computed by our model and by the other library's.

Both compute in float32 from the same numbers, so all that may differ is the order of sums. A wrong name, a transposed
matrix or a wrong rotation changes logits by as much as they are large; the bound is far from both.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from lumilab.errors import ConfigError, MismatchError
from lumilab.model import Transformer

BOUND = 1e-5  # of the largest logit, and at least of one
ROWS, LENGTH = 2, 48

Forward = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Proof:
    """What a comparison found.

    Attributes:
        reader: the other library.
        difference: the largest between two logits.
        bound: what it may be.
    """

    reader: str
    difference: float
    bound: float

    def __str__(self) -> str:
        return f"{self.reader}: the logits differ by {self.difference:.1e} at most (bound {self.bound:.1e})"


@torch.no_grad()
def compare(model: Transformer, theirs: Forward, reader: str) -> Proof:
    """Compares the logits on random ids.

    Args:
        model: ours, with float32 weights on the CPU.
        theirs: ids [B, T] to logits [B, T, vocabulary], float32.
        reader: the other library's name.

    Raises:
        MismatchError: they differ by more than the bound.
    """
    length = min(LENGTH, model.config.context)
    ids = torch.randint(0, model.vocabulary_size, (ROWS, length), generator=torch.Generator().manual_seed(0))
    ours, other = model(ids), theirs(ids)
    proof = Proof(reader, (ours - other).abs().max().item(), BOUND * max(1.0, ours.abs().max().item()))
    if not proof.difference <= proof.bound:  # also when it is no number
        raise MismatchError(
            f"Read with {reader}, the model gives other logits: they differ by {proof.difference:.2g}, the bound is "
            f"{proof.bound:.1g}",
            mend="nothing was written. This is a defect, of lumilab or of that library: please report the shape "
            "(`lumi inspect`) and both versions.",
        )
    return proof


def need(library: str, extra: str, what: str) -> None:
    """Refuses work that needs a library which is not installed.

    Raises:
        ConfigError: it is not.
    """
    try:
        __import__(library)
    except ImportError:
        raise ConfigError(
            f"{what} needs {library}, which is not installed",
            where="command line",
            mend=f'install it with `pip install "lumilab[{extra}]"`.',
        ) from None
