"""From the logits of one position to the next token.

The order of the steps is the field's (and transformers'): repetition penalty (Keskar et al. 2019, CTRL, section 4.1,
as transformers applies it: negative scores are multiplied, positive ones divided), presence and frequency penalties and
logit bias (OpenAI's API reference, "Chat": what is taken from or added to the scores), temperature, top-k (Fan et al.
2018), top-p (Holtzman et al. 2020, nucleus sampling), min-p (Nguyen et al. 2024). The repetition penalty looks at the
prompt too, the other two at generated tokens alone. The draw inverts the cumulative distribution at a uniform number of
the request's own generator, so that the same seed gives the same text whatever else is being generated.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from lumilab.errors import InputError
from lumilab.recipe.schema import SamplingConfig

LARGEST = 1e30  # in place of infinite scores: differences of these and their quotients stay finite in float32
COLD, COLDEST = 1e-4, 1e-30  # temperatures


class TokenDrawer:
    """Draws the tokens of one request, one after the other.

    Args:
        config: how the next token is drawn.
        vocabulary_size: the length of the logits.
        device: where the logits are.

    Raises:
        InputError: the logit bias names a token that the vocabulary does not have.
    """

    def __init__(self, config: SamplingConfig, vocabulary_size: int, device: torch.device) -> None:
        self._config = config
        self._seen = torch.zeros(vocabulary_size, dtype=torch.bool, device=device)
        self._counts: Tensor | None = None
        if config.presence_penalty or config.frequency_penalty:
            self._counts = torch.zeros(vocabulary_size, device=device)
        self._bias = _bias(config.logit_bias, vocabulary_size, device) if config.logit_bias else None
        self._generator = torch.Generator().manual_seed(config.seed)

    def observe(self, ids: Iterable[int]) -> None:
        """Counts a prompt's tokens as seen, for the repetition penalty."""
        self._seen[torch.tensor(list(ids), dtype=torch.long, device=self._seen.device)] = True

    def draw(self, logits: Tensor) -> int:
        """The next token's id, counted as generated from now on.

        Args:
            logits: [vocabulary], any float type.
        """
        scores = self._scores(logits.float())
        if self._config.temperature == 0:
            token = int(scores.argmax())
        else:
            ids, probabilities = candidates(scores, self._config)
            token = int(ids[self._invert(probabilities)])
        self._seen[token] = True
        if self._counts is not None:
            self._counts[token] += 1
        return token

    def _scores(self, logits: Tensor) -> Tensor:
        """The logits after penalties and bias, all of them finite, whatever was asked for."""
        scores = penalised(logits, self._seen, self._config.repetition_penalty)
        if self._counts is not None:
            scores = scores - self._config.frequency_penalty * self._counts
            scores = scores - self._config.presence_penalty * (self._counts > 0)
        if self._bias is not None:
            scores = scores + self._bias
        return scores.nan_to_num(-LARGEST, LARGEST, -LARGEST)

    def _invert(self, probabilities: Tensor) -> int:
        cumulative = probabilities.cpu().double().cumsum(0)
        drawn = torch.rand((), generator=self._generator, dtype=torch.float64) * cumulative[-1]
        return int(torch.searchsorted(cumulative, drawn, right=True).clamp(max=len(cumulative) - 1))


def _bias(bias: dict[int, float], vocabulary_size: int, device: torch.device) -> Tensor:
    """The biases [V] as a tensor."""
    unknown = [token for token in bias if not 0 <= token < vocabulary_size]
    if unknown:
        raise InputError(
            f"The logit bias names token {unknown[0]}, but ids go from 0 to {vocabulary_size - 1}", mend="leave it out."
        )
    dense = torch.zeros(vocabulary_size)
    dense[list(bias)] = torch.tensor(list(bias.values()))
    return dense.to(device)


def penalised(scores: Tensor, seen: Tensor, penalty: float) -> Tensor:
    """Scores [V] in which the tokens of the mask `seen` [V] are less likely by `penalty`, when that is above 1."""
    if penalty == 1.0:
        return scores
    return torch.where(seen, torch.where(scores < 0, scores * penalty, scores / penalty), scores)


def candidates(scores: Tensor, config: SamplingConfig) -> tuple[Tensor, Tensor]:
    """The tokens that can be drawn, most likely first, and their probabilities (float32, sum 1).

    Args:
        scores: [V] float32, after any penalty.
        config: with a temperature above 0.
    """
    if config.temperature < COLD:  # the division would overflow; what is likeliest stays, at 0
        scaled = (scores - scores.max()) / max(config.temperature, COLDEST)
    else:
        scaled = scores / config.temperature
    kept = min(config.top_k or len(scaled), len(scaled))
    values, ids = scaled.topk(kept) if kept < len(scaled) else scaled.sort(descending=True, stable=True)
    probabilities = values.softmax(0)
    if config.top_p < 1:
        before = probabilities.cumsum(0) - probabilities
        count = max(1, int((before < config.top_p).sum()))
        ids, probabilities = ids[:count], probabilities[:count] / probabilities[:count].sum()
    if config.min_p > 0:
        count = max(1, int((probabilities >= config.min_p * probabilities[0]).sum()))
        ids, probabilities = ids[:count], probabilities[:count] / probabilities[:count].sum()
    return ids, probabilities
