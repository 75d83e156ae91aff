"""A pairs artifact, opened: rows of two sides each, and batches of them.

On disk a split is as of conversations (`examples.py`), every answer after its prompt a sequence of its own, and
`verdicts.npy` says of each whether it is a good one. Of a pair the good one comes first and the bad one right behind.

A row's sides are padded to one width, of few that there are: the longest side there is, a half and a quarter of it. So
a batch of short pairs is done in a quarter of the time, and torch.compile compiles three programs and no more.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from lumilab.artifact import Artifact
from lumilab.errors import DamageError, MismatchError
from lumilab.posttraining.examples import REBUILD, VERDICTS, Examples, read_array
from lumilab.posttraining.template import Rendered
from lumilab.training.objective import UNTRAINED, Batch

SIDES = 2
STEP = 16  # widths are multiples of it
PADDING = -1  # instead of a row's number: a row of padding

Side = tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]  # inputs and labels, [length] each


@dataclass(frozen=True, kw_only=True)
class ComparedBatch(Batch):
    """Rows of two sides each.

    Attributes:
        ids, labels: [B, 2, T].
        reference: log-probabilities of both sides' answers under the reference, [B, 2], float32.
        good: whether a row's first side is a good answer, [B], bool; of pairs always.
    """

    reference: Tensor
    good: Tensor

    def there(self) -> Tensor:
        """Which rows are more than padding, [B]."""
        return (self.labels != UNTRAINED).any(2).any(1)

    def divisor(self) -> Tensor:
        """The number of rows, an int64 scalar."""
        return self.there().sum()


class Rows(Protocol):
    """Rows of two sides, by number."""

    def __len__(self) -> int: ...

    def sides(self, row: int) -> tuple[Side, Side]:
        """Both sides of a row."""
        ...

    def good(self, row: int) -> bool:
        """Whether the first side is a good answer."""
        ...

    def longest(self) -> int:
        """Places that the longest side takes."""
        ...


@dataclass(frozen=True)
class Answers:
    """One split of a pairs artifact: sequences and verdicts."""

    examples: Examples
    verdicts: npt.NDArray[np.uint8]

    @classmethod
    def open(cls, pairs: Artifact, split: str) -> Self:
        """Opens a split, "train" or "validation".

        Raises:
            DamageError: the arrays are missing or do not fit together.
        """
        examples = Examples.open(pairs, split)
        return cls(examples, read_array(pairs, f"{split}/{VERDICTS}", len(examples)))


class Pairs:
    """Rows of a better and a worse answer to one prompt.

    Raises:
        MismatchError: the artifact has single answers with a verdict.
        DamageError: its verdicts are not those of pairs.
    """

    def __init__(self, pairs: Artifact, split: str) -> None:
        if not pairs.manifest.config["paired"]:
            raise MismatchError(
                "These are single answers with a verdict, not pairs",
                where=str(pairs.path),
                mend="set preference.objective to kto, or give sources of pairs.",
            )
        answers = Answers.open(pairs, split)
        if len(answers.verdicts) % SIDES or not (answers.verdicts.reshape(-1, SIDES) == (1, 0)).all():
            raise DamageError("The verdicts are not those of pairs", where=str(pairs.path), mend=REBUILD)
        self._examples = answers.examples

    def __len__(self) -> int:
        return len(self._examples) // SIDES

    def sides(self, row: int) -> tuple[Side, Side]:
        return self._examples.example(SIDES * row), self._examples.example(SIDES * row + 1)

    def rendered(self, row: int) -> tuple[Rendered, Rendered]:
        """Both sides as the renderer made them."""
        return self._examples.rendered(SIDES * row), self._examples.rendered(SIDES * row + 1)

    def good(self, row: int) -> bool:
        return True

    def longest(self) -> int:
        return max(self._examples.lengths(), default=0)


class JudgedAnswers:
    """Rows of an answer with a verdict and, behind the same prompt, the answer that the next other prompt got.

    The second side is what KTO estimates the KL divergence with (Ethayarajh et al. 2024, section 4.1): an answer that
    has nothing to do with its prompt. Where the two together are too long, the end of that answer is left out.
    """

    def __init__(self, pairs: Artifact, split: str) -> None:
        answers = Answers.open(pairs, split)
        self._examples, self._verdicts = answers.examples, answers.verdicts
        self._longest = max(self._examples.lengths(), default=0)
        self._others = self._find_others()

    def __len__(self) -> int:
        return len(self._examples)

    def sides(self, row: int) -> tuple[Side, Side]:
        return self._examples.example(row), self._mismatched(row, self._others[row])

    def good(self, row: int) -> bool:
        return bool(self._verdicts[row])

    def longest(self) -> int:
        return self._longest

    def _mismatched(self, row: int, other: int) -> Side:
        ours, theirs = self._examples.rendered(row), self._examples.rendered(other)
        prompt, skipped = ours.trained.index(True), theirs.trained.index(True)
        ids = np.array(ours.ids[:prompt] + theirs.ids[skipped:], dtype=np.int64)[: self._longest + 1]
        trained = ([False] * prompt + theirs.trained[skipped:])[: self._longest + 1]
        return ids[:-1], np.where(trained[1:], ids[1:], UNTRAINED)

    def _find_others(self) -> list[int]:
        """For each row the next one with another prompt, the first following the last; itself where there is none."""
        prompts = [self._prompt(row) for row in range(len(self))]
        others, other = list(range(len(self))), 0
        for row in reversed(range(2 * len(self))):
            here, after = row % len(self), (row + 1) % len(self)
            other = others[after] if prompts[here] == prompts[after] else after
            others[here] = other
        return [other if prompts[other] != prompts[row] else row for row, other in enumerate(others)]

    def _prompt(self, row: int) -> bytes:
        inputs, labels = self._examples.example(row)
        return inputs[: int(np.argmax(labels != UNTRAINED))].tobytes()


class RowBatches:
    """Batches of rows with what the reference gave them.

    Args:
        rows: of one split.
        widths: what a batch may be padded to, ascending; the last is enough for every row.
        pad_id: fills what is left.
        reference: of each row, [rows, 2], float32; None where there is none.
    """

    def __init__(self, rows: Rows, widths: Sequence[int], pad_id: int, reference: npt.NDArray[Any] | None) -> None:
        self.rows = rows
        self._widths = widths
        self._pad_id = pad_id
        self._reference = np.zeros((len(rows), SIDES), dtype=np.float32) if reference is None else reference

    def __len__(self) -> int:
        return len(self.rows)

    def batch(self, numbers: Sequence[int]) -> ComparedBatch:
        """The rows of these numbers as a batch; a number of -1 gives a row of padding."""
        found = [self.rows.sides(number) if number >= 0 else () for number in numbers]
        longest = max((len(inputs) for sides in found for inputs, _ in sides), default=0)
        shape = (len(numbers), SIDES, next(width for width in self._widths if width >= longest))
        ids = np.full(shape, self._pad_id, dtype=np.int64)
        labels = np.full(shape, UNTRAINED, dtype=np.int64)
        for row, sides in enumerate(found):
            for side, (inputs, targets) in enumerate(sides):
                ids[row, side, : len(inputs)], labels[row, side, : len(inputs)] = inputs, targets
        reference = np.stack([self._reference[number] if number >= 0 else np.zeros(SIDES) for number in numbers])
        good = [number >= 0 and self.rows.good(number) for number in numbers]
        return ComparedBatch(
            torch.from_numpy(ids),
            torch.from_numpy(labels),
            reference=torch.from_numpy(reference.astype(np.float32)),
            good=torch.tensor(good),
        )


def widths_for(longest: int, most: int) -> list[int]:
    """What batches are padded to: the longest side's places, a half and a quarter of them, rounded up.

    Args:
        longest: places that the longest side takes.
        most: places that the model has.
    """
    wanted = (longest * share // 4 for share in (1, 2, 4))
    return sorted({min(max(1, -(-places // STEP)) * STEP, most) for places in wanted})
