"""What preference training minimises: from log-probabilities of answers to a loss for each row.

All but ORPO compare the model with the one training began with (the reference); an answer's implicit reward is beta
times the log-ratio of the two, ln p(answer) - ln p_ref(answer), each summed over the answer's tokens.

- DPO (Rafailov et al. 2023, "Direct Preference Optimization", equation 7); with label smoothing, cDPO (Mitchell 2023,
  "A note on DPO with noisy preferences", equation 3): the better answer is taken to be the other with that probability.
- IPO (Azar et al. 2024, "A General Theoretical Paradigm to Understand Learning from Human Preferences", equation 17):
  the log-ratios differ by 1 / (2 beta) and no more. They are per token here, as TRL reports its authors to have done.
- ORPO (Hong et al. 2024, "ORPO", equations 6 and 7): cross-entropy on the better answer and a term of the odds ratio;
  probabilities are per token (geometric means), and there is no reference.
- KTO (Ethayarajh et al. 2024, "KTO", equation 8): single answers with a verdict. A reward is judged by its distance
  from what the model gives answers to other questions, the estimate z of its KL divergence from the reference.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from lumilab.recipe.preference import PreferenceConfig


@dataclass(frozen=True)
class Scores:
    """What the models make of the two sides of some rows.

    A row is a better and a worse answer to one prompt; for KTO an answer with a verdict, and another prompt's answer
    put after the same prompt.

    Attributes:
        policy, reference: log-probabilities summed over each answer's tokens, in nats, [B, 2], float32.
        tokens: how many those are, [B, 2].
        good: whether the first side is a good answer, [B]; of pairs always.
        there: which rows are there, [B]: others only fill up a batch.
    """

    policy: Tensor
    reference: Tensor
    tokens: Tensor
    good: Tensor
    there: Tensor

    @property
    def ratios(self) -> Tensor:
        """Log-ratios of policy and reference, [B, 2]."""
        return self.policy - self.reference

    def per_token(self, values: Tensor) -> Tensor:
        """Sums over tokens [B, 2] as means."""
        return values / self.tokens.clamp_min(1)


@dataclass(frozen=True)
class Judged:
    """What an objective makes of some rows.

    Attributes:
        losses: [B].
        rewards: of each side, [B, 2], for KTO in the first column alone.
        margins: by how much the first side is ahead; its reward less the other's or, for KTO, less z; [B].
    """

    losses: Tensor
    rewards: Tensor
    margins: Tensor


def dpo(scores: Scores, config: PreferenceConfig) -> Judged:
    """Direct preference optimisation."""
    rewards = config.beta * scores.ratios
    margins = rewards[:, 0] - rewards[:, 1]
    flipped = config.label_smoothing
    losses = -(1 - flipped) * F.logsigmoid(margins) - flipped * F.logsigmoid(-margins)
    return Judged(losses, rewards, margins)


def ipo(scores: Scores, config: PreferenceConfig) -> Judged:
    """Identity preference optimisation."""
    ratios = scores.per_token(scores.ratios)
    losses = (ratios[:, 0] - ratios[:, 1] - 1 / (2 * config.beta)).square()
    rewards = config.beta * scores.ratios
    return Judged(losses, rewards, rewards[:, 0] - rewards[:, 1])


def orpo(scores: Scores, config: PreferenceConfig) -> Judged:
    """Odds ratio preference optimisation."""
    means = scores.per_token(scores.policy)
    odds = means - _log_one_minus_exp(means)  # ln(p / (1 - p))
    losses = -means[:, 0] - config.beta * F.logsigmoid(odds[:, 0] - odds[:, 1])
    rewards = config.beta * means
    return Judged(losses, rewards, rewards[:, 0] - rewards[:, 1])


def kto(scores: Scores, config: PreferenceConfig) -> Judged:
    """Kahneman-Tversky optimisation; z is of the rows at hand, a micro-batch's."""
    rewards = config.beta * scores.ratios
    others = (scores.ratios[:, 1] * scores.there).sum() / scores.there.sum().clamp_min(1)
    margins = rewards[:, 0] - config.beta * others.clamp_min(0).detach()
    value = torch.sigmoid(torch.where(scores.good, margins, -margins))
    weights = torch.where(scores.good, config.good_weight, config.bad_weight)
    return Judged(weights * (1 - value), rewards, margins)


OBJECTIVES: dict[str, Callable[[Scores, PreferenceConfig], Judged]] = {
    "dpo": dpo,
    "ipo": ipo,
    "orpo": orpo,
    "kto": kto,
}


def _log_one_minus_exp(values: Tensor) -> Tensor:
    """ln(1 - exp(x)) of negative numbers, without loss of digits near 0 (Mächler 2012, "Accurately Computing
    log(1 - exp(-|a|))")."""
    values = values.clamp_max(-torch.finfo(values.dtype).tiny)  # a certain answer has infinite odds: as large as can be
    close = values > -0.6931471805599453
    # Each way gets a harmless number where the other one is taken: an infinity there would make the gradient none.
    near, far = torch.where(close, values, -1.0), torch.where(close, -1.0, values)
    return torch.where(close, torch.log(-torch.expm1(near)), torch.log1p(-torch.exp(far)))
