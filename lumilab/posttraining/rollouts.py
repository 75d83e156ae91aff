"""Answers that a model in training writes itself: what reinforcement learning learns from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lumilab.model import Transformer
from lumilab.model.generation import generate
from lumilab.posttraining.template import answer_text
from lumilab.posttraining.templates import ChatForm
from lumilab.recipe.schema import SamplingConfig
from lumilab.tokenizer.load import Tokenizer


@dataclass(frozen=True)
class Rollout:
    """One answer.

    Attributes:
        ids: of its tokens, with the one that ends it where the model came to an end; at least one.
        text: as `answer_text`.
        cut: whether it was as long as it may be, and so cut off.
    """

    ids: list[int]
    text: str
    cut: bool


class Answerer:
    """Lets a model answer prompts, several at a time.

    Args:
        tokenizer, form: the model's.
        max_tokens: the longest answer, with the token that ends it.
        rows: prompts at a time.

    Only the form's own token ends an answer, so that every token that was drawn is known. The whole distribution is
    drawn from, without top-k or top-p: the gradient of a policy supposes that its samples are its own.
    """

    def __init__(self, tokenizer: Tokenizer, form: ChatForm, max_tokens: int, rows: int) -> None:
        self._tokenizer, self._form = tokenizer, form
        self._max_tokens, self._rows = max_tokens, rows
        self._end_id = form.template.end_id(tokenizer)

    def answer(
        self, model: Transformer, prompts: Sequence[Sequence[int]], temperature: float, seed: int = 0
    ) -> list[Rollout]:
        """An answer to each prompt, in evaluation mode.

        Args:
            model: left in the mode that it is in.
            prompts: token ids; each leaves room for the longest answer.
            temperature: 0 for always the most likely token.
            seed: prompt k is answered with the random numbers of `seed` + k.
        """
        training = model.training
        model.eval()
        rollouts: list[Rollout] = []
        for first in range(0, len(prompts), self._rows):
            sampling = SamplingConfig(
                temperature=temperature, top_k=0, top_p=1.0, max_tokens=self._max_tokens, seed=seed + first
            )
            written = generate(model, prompts[first : first + self._rows], sampling, {self._end_id})
            rollouts += [self._rollout(ids) for ids in written]
        model.train(training)
        return rollouts

    def _rollout(self, ids: list[int]) -> Rollout:
        cut = len(ids) == self._max_tokens
        return Rollout(ids if cut else [*ids, self._end_id], answer_text(ids, self._tokenizer, self._form), cut)
