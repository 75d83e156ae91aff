"""How likely a model finds given tokens: the one place where logits become log-probabilities and ranks.

A text is scored from a token on: its context is read, its continuation predicted. Logits are computed only for the
tokens that are predicted, in pieces, and what texts have in common is read once (prefix_trees.py). Rows are in the
arithmetic of the model's weights, log-probabilities in float32.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from lumilab.errors import InputError
from lumilab.evaluation.prefix_trees import Ids, Rows, Tree, batches, plant
from lumilab.model import Transformer

CHUNK_SCORES = 2**25  # logits held at once (128 MiB in float32)
BATCH_TOKENS = {"cpu": 2**11, "cuda": 2**15, "mps": 2**13}  # read in one forward pass, padding included
ROW_TOKENS = 2**10  # most of a row with branches
# A layer's products take about 24 width^2 operations a token, and attention 4 width a pair, at a quarter of the speed.
PAIRS_OF_WIDTH = 1.5


@dataclass(frozen=True)
class Continuation:
    """Tokens to predict, and what comes before them.

    Attributes:
        context: at least one token.
        target: at least one token.
    """

    context: Ids
    target: Ids


@dataclass(frozen=True)
class Score:
    """What a model made of a continuation.

    Attributes:
        log_probability: of all its tokens together, in nats.
        greedy: whether each of them was the most likely one.
    """

    log_probability: float
    greedy: bool


@torch.no_grad()
def score_targets(model: Transformer, features: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Scores one token after each feature.

    Args:
        model: whose features they are.
        features: [N, width].
        targets: the tokens that follow, [N] int64.

    Returns:
        Their log-probabilities in nats, [N] float32, and their ranks, [N] int64: how many tokens are more
        likely, or as likely and of a smaller id.
    """
    found = features.new_zeros(len(targets), dtype=torch.float32)
    ranks = torch.zeros_like(targets)
    ids = torch.arange(model.vocabulary_size, device=features.device)
    size = max(1, CHUNK_SCORES // model.vocabulary_size)
    for start in range(0, len(targets), size):
        rows = slice(start, start + size)
        logits = model.logits(features[rows]).float()
        chosen = logits.gather(1, targets[rows, None])
        ahead = (logits > chosen) | ((logits == chosen) & (ids < targets[rows, None]))
        ranks[rows] = ahead.sum(1)
        found[rows] = chosen[:, 0] - logits.logsumexp(1)
    return found, ranks


@torch.no_grad()
def score(model: Transformer, asked: Sequence[Continuation]) -> Iterator[tuple[int, Score]]:
    """Scores continuations, and gives each with its number as soon as it is known, in an order of its own.

    A text longer than the model's context by more than the token it predicts last is cut at its beginning, as
    lm-evaluation-harness does.

    Raises:
        InputError: a continuation is longer than the model's context, or has no tokens.
    """
    texts: dict[Ids, list[int]] = defaultdict(list)  # what is read, which several continuations may share
    for number, one in enumerate(asked):
        texts[_read(one, model.config.context)].append(number)
    unique = list(texts)
    device = model.output_weight.device
    tokens = BATCH_TOKENS.get(device.type, min(BATCH_TOKENS.values()))
    for batch in batches(plant(unique, ROW_TOKENS, PAIRS_OF_WIDTH * model.config.width), tokens):
        rows = Rows.of(batch).to(device)
        predicted = _predicted(batch, unique, texts, asked)
        wanted = torch.zeros_like(rows.ids, dtype=torch.bool)
        for row, (_, places) in predicted:
            wanted[row, places] = True
        features = model.features(rows.ids, positions=rows.positions, branches=rows.branches, wanted=wanted)
        number_of = torch.cumsum(wanted.flatten(), 0).view(wanted.shape) - 1  # of each wanted token in `features`
        chosen = torch.cat([number_of[row, places] for row, (_, places) in predicted])
        targets = [token for _, (number, _) in predicted for token in asked[number].target]
        found, ranks = score_targets(model, features[chosen], torch.tensor(targets, device=device))
        lengths = [len(places) for _, (_, places) in predicted]
        pieces = zip(predicted, torch.split(found.cpu(), lengths), torch.split(ranks.cpu(), lengths), strict=True)
        for (_, (number, _)), log_probabilities, places_taken in pieces:
            yield number, Score(float(log_probabilities.double().sum()), not bool(places_taken.any()))


def _predicted(
    batch: Sequence[Tree], unique: Sequence[Ids], texts: Mapping[Ids, Sequence[int]], asked: Sequence[Continuation]
) -> list[tuple[int, tuple[int, list[int]]]]:
    """Of each continuation in a batch its row, its number, and the places in the row after which its tokens come."""
    found = []
    for row, tree in enumerate(batch):
        for index, text in enumerate(tree.numbers):
            length = len(unique[text])
            for number in texts[unique[text]]:
                first = length - len(asked[number].target)
                found.append((row, (number, [tree.place(index, place) for place in range(first, length)])))
    return found


def _read(one: Continuation, context: int) -> Ids:
    """What a model reads to predict a continuation: all but its last token."""
    if not one.target or not one.context:
        raise InputError("There is nothing to predict, or nothing to predict it from", mend="leave such texts out.")
    if len(one.target) > context:
        raise InputError(
            f"A continuation has {len(one.target)} tokens, but the model's context is {context}",
            mend="use a model with a longer context, or leave such texts out.",
        )
    return (one.context + one.target)[-(context + 1) :][:-1]
