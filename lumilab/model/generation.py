"""New tokens for several prompts at once, of any lengths: one forward pass reads them all, then one token a row a step.

Shorter prompts are filled up behind their end, and the cache then forgets the filling, so that each row stands at its
own place. A row that has ended is kept at length zero; it costs its share of the products until all have ended.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import torch

from lumilab.errors import InputError
from lumilab.model.kv_cache import KVCache
from lumilab.model.sampling import TokenDrawer
from lumilab.model.transformer import Transformer
from lumilab.recipe.schema import SamplingConfig


@torch.no_grad()
def generate(
    model: Transformer,
    prompts: Sequence[Sequence[int]],
    sampling: SamplingConfig,
    eos_ids: Collection[int] = (),
    stop: Sequence[Sequence[int]] = (),
) -> list[list[int]]:
    """The new tokens of each prompt, without those that ended it.

    Args:
        model: on the device where it is to run.
        prompts: token ids, at least one each and fewer than the context.
        sampling: how tokens are drawn, and how many at most. Row r has the seed `sampling.seed` + r.
        eos_ids: tokens that end a text.
        stop: sequences of tokens that end a text.

    Raises:
        InputError: a prompt is empty, or leaves no room.
    """
    lengths = [len(prompt) for prompt in prompts]
    if not prompts or min(lengths) == 0 or max(lengths) >= model.config.context:
        raise InputError(
            f"Prompts must have from 1 to {model.config.context - 1} tokens, but these have {lengths}",
            mend="shorten the long ones; begin an empty one with the token that begins a text.",
        )
    rows = [_Row(prompt, sampling, number, model, eos_ids, stop) for number, prompt in enumerate(prompts)]
    weight = model.output_weight
    capacity = min(model.config.context, max(lengths) + sampling.max_tokens)
    cache = KVCache(model.config, len(rows), capacity, model.activation_dtype or weight.dtype, weight.device)
    padded = [[*prompt, *[0] * (max(lengths) - len(prompt))] for prompt in prompts]
    features = model.features(torch.tensor(padded, device=weight.device), cache=cache)
    last = features[torch.arange(len(rows)), torch.tensor(lengths) - 1]
    cache.truncate(lengths)
    while True:
        for row, logits in zip(rows, model.logits(last), strict=True):
            row.draw(logits)
        if all(row.ended for row in rows):
            return [row.new for row in rows]
        cache.truncate([0 if row.ended else held for row, held in zip(rows, cache.lengths, strict=True)])
        tokens = torch.tensor([[0 if row.ended else row.new[-1]] for row in rows], device=weight.device)
        last = model.features(tokens, cache=cache)[:, 0]


class _Row:
    """One prompt's text so far."""

    def __init__(
        self,
        prompt: Sequence[int],
        sampling: SamplingConfig,
        number: int,
        model: Transformer,
        eos_ids: Collection[int],
        stop: Sequence[Sequence[int]],
    ) -> None:
        own = sampling.model_copy(update={"seed": sampling.seed + number})
        self._drawer = TokenDrawer(own, model.vocabulary_size, model.output_weight.device)
        self._drawer.observe(prompt)
        self._room = min(sampling.max_tokens, model.config.context - len(prompt))
        self._eos_ids = frozenset(eos_ids)
        self._stop = [list(sequence) for sequence in stop if sequence]
        self.new: list[int] = []
        self.ended = False

    def draw(self, logits: torch.Tensor) -> None:
        """Takes the next token, unless the text has ended."""
        if self.ended:
            return
        token = self._drawer.draw(logits)
        if token in self._eos_ids:
            self.ended = True
            return
        self.new.append(token)
        found = next((sequence for sequence in self._stop if self.new[-len(sequence) :] == sequence), None)
        if found is not None:
            del self.new[-len(found) :]
        self.ended = found is not None or len(self.new) >= self._room
