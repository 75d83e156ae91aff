"""How well held-back text is predicted: log-likelihood, and from it bits per byte, perplexity and accuracy.

Bits per byte is the summed negative log-likelihood in bits over the UTF-8 bytes of the text (Gao et al. 2020, The Pile,
section 3.1). It does not depend on the tokenizer, so models and compressors compare on one scale. Document marks are
predicted and paid for like any other token but have no bytes, so the figure is never flattered by them.

Each token is predicted from what is before it in its window. Windows do not overlap, so the first tokens of each have
little context, which costs a little: the figures are bounds from above.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch

from lumilab.dataset.loader import IGNORED
from lumilab.evaluation.heldback import HeldBackText
from lumilab.evaluation.scoring import score_targets
from lumilab.model import Transformer
from lumilab.work.context import WorkContext

RANKS = (1, 5, 10)


@dataclass(frozen=True)
class Prediction:
    """What something made of a text.

    Attributes:
        tokens: tokens predicted.
        bytes: UTF-8 bytes of their text; document marks have none.
        nats: summed negative log-likelihood.
        hits: for each of RANKS, how many tokens were among that many most likely ones.
    """

    tokens: int
    bytes: int
    nats: float
    hits: Mapping[int, int]

    @property
    def loss(self) -> float:
        """Mean negative log-likelihood of a token in nats."""
        return self.nats / self.tokens

    @property
    def bits_per_byte(self) -> float:
        """Bits to encode a byte of the text."""
        return self.nats / math.log(2) / self.bytes

    @property
    def perplexity(self) -> float:
        """exp of the loss: per token, so it compares only between models with the same tokenizer."""
        return math.exp(self.loss)

    def accuracy(self, rank: int) -> float:
        """Share of the tokens that were among the `rank` most likely."""
        return self.hits[rank] / self.tokens

    def figures(self) -> dict[str, float | int]:
        """Everything by name, for results.json."""
        figures: dict[str, float | int] = {
            "tokens": self.tokens,
            "bytes": self.bytes,
            "loss": self.loss,
            "bits_per_byte": self.bits_per_byte,
            "token_perplexity": self.perplexity,
        }
        return figures | {f"top_{rank}_accuracy": self.accuracy(rank) for rank in RANKS}


@torch.no_grad()
def predict(model: Transformer, text: HeldBackText, name: str, context: WorkContext) -> Prediction:
    """Measures a model in the arithmetic of its own weights.

    Args:
        model: on the device where it is to run; its context holds the text's windows.
        text: what to predict.
        name: of the task shown while it runs.
        context: where progress goes and stops come from.
    """
    device = model.output_weight.device
    tokens, size, nats = 0, 0, 0.0
    hits = dict.fromkeys(RANKS, 0)
    with context.report.task(name, total=text.count, unit="windows") as task:
        for inputs, labels in text.batches():
            context.stop.check()
            features = model.features(torch.from_numpy(inputs).to(device))
            chosen = torch.from_numpy(labels != IGNORED).to(device)
            wanted = torch.from_numpy(labels).to(device)[chosen]
            found, ranks = score_targets(model, features[chosen], wanted)
            nats -= float(found.double().sum())
            for rank in RANKS:
                hits[rank] += int((ranks < rank).sum())
            tokens += len(wanted)
            size += text.size(labels[labels != IGNORED])
            task.advance(len(inputs), loss=f"{nats / tokens:.3f}")
    return Prediction(tokens, size, nats, hits)
