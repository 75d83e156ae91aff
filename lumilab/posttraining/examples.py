"""A conversations artifact, opened: its examples.

On disk each split is three arrays: `ids.npy` (the token ids of all conversations one after the other), `trained.npy`
(uint8, 1 where the model is to produce the token) and `ends.npy` (uint64, where each conversation ends).
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from lumilab.artifact import Artifact, ArtifactBuilder
from lumilab.dataset.arrays import ArrayWriter
from lumilab.dataset.loader import IGNORED
from lumilab.errors import DamageError
from lumilab.posttraining.template import Rendered
from lumilab.posttraining.templates import ChatForm

IDS, TRAINED, ENDS = "ids.npy", "trained.npy", "ends.npy"
VERDICTS = "verdicts.npy"  # of pairs (`comparisons.py`)
REBUILD = "restore the file, or rebuild the conversations with `--force conversations`."


@dataclass(frozen=True)
class Examples:
    """One split of a conversations artifact, memory-mapped.

    Attributes:
        ids: all token ids, [N].
        trained: whether each is one the model is to produce, [N], 0 or 1.
        ends: where each conversation ends, exclusive, [conversations].
    """

    ids: npt.NDArray[Any]
    trained: npt.NDArray[np.uint8]
    ends: npt.NDArray[np.int64]

    @classmethod
    def open(cls, artifact: Artifact, split: str) -> Self:
        """Opens a split, "train" or "validation".

        Raises:
            DamageError: the arrays are missing or do not fit together.
        """
        counts = artifact.manifest.statistics[split]
        ids = read_array(artifact, f"{split}/{IDS}", counts["tokens"])
        trained = read_array(artifact, f"{split}/{TRAINED}", counts["tokens"])
        ends = read_array(artifact, f"{split}/{ENDS}", counts["conversations"]).astype(np.int64)
        if (np.diff(ends, prepend=0) <= 0).any() or int(ends[-1:].sum()) != len(ids):
            raise DamageError(
                f"The arrays of the {split} split do not fit together", where=str(artifact.path), mend=REBUILD
            )
        return cls(ids, trained, ends)

    def __len__(self) -> int:
        return len(self.ends)

    def example(self, index: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """The inputs and labels (-100 where untrained) of one conversation, [length - 1] each."""
        start = int(self.ends[index - 1]) if index else 0
        end = int(self.ends[index])
        ids = self.ids[start:end].astype(np.int64)
        return ids[:-1], np.where(self.trained[start + 1 : end] != 0, ids[1:], IGNORED)

    def rendered(self, index: int) -> Rendered:
        """One conversation as the renderer made it."""
        start, end = int(self.ends[index - 1]) if index else 0, int(self.ends[index])
        return Rendered(self.ids[start:end].tolist(), [flag != 0 for flag in self.trained[start:end].tolist()])

    def lengths(self) -> list[int]:
        """How many places of a window each conversation takes: its tokens but the last, which is only predicted."""
        lengths: list[int] = (np.diff(self.ends, prepend=0) - 1).tolist()
        return lengths


def form_of(conversations: Artifact) -> ChatForm:
    """The form in which the conversations of an artifact were rendered."""
    config = conversations.manifest.config["conversations"]
    return ChatForm.named(config["template"], config.get("think", "train"))


class ExampleWriter:
    """Writes one split into an artifact under construction, example by example; use it as a context manager.

    Args:
        builder: of the artifact.
        split: the split's name, which is its folder's.
        dtype: of the token ids.
    """

    def __init__(self, builder: ArtifactBuilder, split: str, dtype: np.dtype[Any]) -> None:
        self.conversations = self.trained_tokens = 0
        self._files = ExitStack()
        self._ids, self._trained, self._ends = (
            self._files.enter_context(ArrayWriter(builder.path(f"{split}/{name}"), kind))
            for name, kind in ((IDS, dtype), (TRAINED, np.uint8), (ENDS, np.uint64))
        )

    def add(self, rendered: Rendered) -> None:
        """Appends one conversation."""
        self._ids.append(rendered.ids)
        self._trained.append(rendered.trained)
        self._ends.append([self._ids.length])
        self.conversations += 1
        self.trained_tokens += sum(rendered.trained)

    def counts(self) -> dict[str, int]:
        """What was written, for the manifest's statistics."""
        return {
            "conversations": self.conversations,
            "tokens": self._ids.length,
            "trained_tokens": self.trained_tokens,
        }

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._files.__exit__(kind, error, trace)


def read_array(artifact: Artifact, name: str, length: int) -> npt.NDArray[Any]:
    """An array of so many elements from a file of an artifact, memory-mapped.

    Raises:
        DamageError: it is another one, or cannot be read.
    """
    path = artifact.file(name)
    try:
        # A split may have no conversation, and an empty file cannot be mapped.
        array: npt.NDArray[Any] = np.load(path, mmap_mode="r" if length else None)
    except (ValueError, EOFError) as error:
        raise DamageError("The array cannot be read", where=str(path), mend=REBUILD) from error
    if array.shape != (length,):
        raise DamageError(
            f"The array has shape {array.shape}, where the manifest says ({length},)", where=str(path), mend=REBUILD
        )
    return array.view(np.ndarray)
