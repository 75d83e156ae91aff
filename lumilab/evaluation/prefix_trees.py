"""Texts that begin alike, joined so that a model reads their common beginning once.

The answers to a multiple-choice question share the question, and few-shot prompts share their examples. Such texts go
into one row: the common beginning first, then the rest of each as a branch of its own, which sees the beginning and
itself, at the positions it would have alone (the tree attention of Miao et al. 2024, "SpecInfer", section 4).

Which texts are joined is decided greedily along their sorted order: a text joins while that saves work. Reading fewer
tokens is less work, but attention looks at the square of a row's length, masked or not.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

Ids = tuple[int, ...]


@dataclass(frozen=True)
class Tree:
    """Texts with a common beginning, in one row.

    Attributes:
        numbers: which texts, by their place in the list that was given.
        shared: how many tokens they all begin with.
        tokens: the row: what is shared, then the rest of each text.
        places: of each text, where its rest begins in the row.
    """

    numbers: tuple[int, ...]
    shared: int
    tokens: Ids
    places: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.tokens)

    def place(self, index: int, position: int) -> int:
        """Where in the row the token at a position of a text is, the text given by its index in `numbers`."""
        return position if position < self.shared else self.places[index] + position - self.shared


def common_length(one: Sequence[int], other: Sequence[int]) -> int:
    """How many tokens two texts begin with in common."""
    most = min(len(one), len(other))
    return next((place for place in range(most) if one[place] != other[place]), most)


def plant(texts: Sequence[Ids], row_tokens: int, pairs: float) -> list[Tree]:
    """Joins texts into trees, each text in exactly one.

    Args:
        texts: each of at least one token.
        row_tokens: most tokens of a row with branches; a longer text is a row of its own.
        pairs: how many pairs of tokens attention looks at in the time that the rest takes for a token.
    """

    def work(tokens: int) -> float:
        return tokens + tokens**2 / pairs

    trees: list[Tree] = []
    group: list[int] = []
    shared = size = 0
    for number in sorted(range(len(texts)), key=lambda number: texts[number]):
        text = texts[number]
        if group:
            common = min(shared, common_length(texts[group[-1]], text))
            joined = size + len(text) - common + (shared - common) * (len(group) - 1)
            if joined <= row_tokens and work(joined) < work(size) + work(len(text)):
                group.append(number)
                shared, size = common, joined
                continue
            trees.append(_tree(texts, group, shared))
        group, shared, size = [number], len(text), len(text)
    if group:
        trees.append(_tree(texts, group, shared))
    return trees


def _tree(texts: Sequence[Ids], numbers: Sequence[int], shared: int) -> Tree:
    tokens = list(texts[numbers[0]][:shared])
    places = []
    for number in numbers:
        places.append(len(tokens))
        tokens += texts[number][shared:]
    return Tree(tuple(numbers), shared, tuple(tokens), tuple(places))


def batches(trees: Sequence[Tree], tokens: int) -> Iterator[list[Tree]]:
    """Rows of similar lengths, together at most `tokens` with their padding; a row longer than that stands alone.

    The longest come first, so that a batch that does not fit into memory shows at once.
    """
    batch: list[Tree] = []
    for tree in sorted(trees, key=len, reverse=True):
        if batch and len(batch[0]) * (len(batch) + 1) > tokens:
            yield batch
            batch = []
        batch.append(tree)
    if batch:
        yield batch


@dataclass(frozen=True)
class Rows:
    """A batch of trees as tensors [B, T], int64; the last two are None where no tree has branches."""

    ids: Tensor
    positions: Tensor | None
    branches: Tensor | None

    @classmethod
    def of(cls, trees: Sequence[Tree]) -> Self:
        """Pads at the end, with tokens that no one sees."""
        width = max(map(len, trees))
        ids, positions, branches = (torch.zeros((len(trees), width), dtype=torch.int64) for _ in range(3))
        for row, tree in enumerate(trees):
            ids[row, : len(tree)] = torch.tensor(tree.tokens)
            positions[row, : tree.shared] = torch.arange(tree.shared)
            branches[row, tree.shared :] = -1
            ends = [*tree.places[1:], len(tree)]
            for branch, (start, end) in enumerate(zip(tree.places, ends, strict=True), start=1):
                positions[row, start:end] = torch.arange(tree.shared, tree.shared + end - start)
                branches[row, start:end] = branch
        plain = all(len(tree.numbers) == 1 for tree in trees)
        return cls(ids, None if plain else positions, None if plain else branches)

    def to(self, device: torch.device) -> Self:
        """The same where the model is."""
        positions, branches = (None if part is None else part.to(device) for part in (self.positions, self.branches))
        return type(self)(self.ids.to(device), positions, branches)
