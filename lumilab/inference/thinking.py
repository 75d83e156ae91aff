"""What a model thinks before it answers: shown or hidden, and ended when it has taken too long.

A think block is the text between two special tokens of the model's form of chat. A budget ends it from outside: once
so many tokens were thought, the ids that end a block are put in the model's mouth, and it goes on from there (budget
forcing, Muennighoff et al. 2025, "s1: Simple test-time scaling", section 3.1). The engine knows nothing of this: the
rest of the answer is a request of its own, whose prompt the slot has read already.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from lumilab.inference.decoding import IncrementalDecoder
from lumilab.inference.engine import Engine, Slot, TokenStream
from lumilab.inference.requests import FinishReason
from lumilab.posttraining.messages import END_THINK, THINK
from lumilab.posttraining.template import end_of_thinking, think_marks
from lumilab.recipe.schema import SamplingConfig

NEXT_SEED = 1_000_003  # the rest of an answer is drawn with other random numbers than its beginning


class ThinkingTokens(Iterator[int]):
    """The tokens of an answer, with at most so many in think blocks.

    Args:
        engine: whose form says which tokens enclose a block.
        prompt_ids, sampling, slot: as for `Engine.stream`.
        budget: tokens of think blocks, without their marks; None for any number.

    Attributes:
        prompt_length, finish_reason: as a TokenStream's.

    Raises:
        InputError: as `Engine.stream`.
    """

    def __init__(
        self, engine: Engine, prompt_ids: Sequence[int], sampling: SamplingConfig, slot: Slot, budget: int | None
    ) -> None:
        self.prompt_length = len(prompt_ids)
        self._engine, self._sampling, self._slot, self._budget = engine, sampling, slot, budget
        self._ids = list(prompt_ids)
        self._stream: TokenStream = engine.stream(prompt_ids, sampling, slot=slot)
        self._marks = think_marks(engine.tokenizer, engine.form)
        self._forced: list[int] = []
        self._inside = False
        self._thought = 0

    @property
    def finish_reason(self) -> FinishReason | None:
        return None if self._forced else self._stream.finish_reason

    def __next__(self) -> int:
        token = self._forced.pop(0) if self._forced else next(self._stream)
        self._ids.append(token)
        self._watch(token)
        if self._forced_is_due():
            self._force_end()
        return token

    def _watch(self, token: int) -> None:
        if self._marks is None:
            return
        if token in self._marks:
            self._inside = token == self._marks[0]
        elif self._inside:
            self._thought += 1

    def _forced_is_due(self) -> bool:
        return self._inside and self._budget is not None and self._thought >= self._budget and not self._forced

    def _force_end(self) -> None:
        """Ends the block, and lets the model go on behind it if there is room for another token."""
        closing = end_of_thinking(self._engine.tokenizer, self._engine.form)
        left = self._sampling.max_tokens - (len(self._ids) - self.prompt_length) - len(closing)
        prompt = [*self._ids, *closing]
        if self._stream.finish_reason is not None or left < 1 or len(prompt) >= self._engine.context:
            self._inside = False  # the answer ends in the middle of a thought anyway
            return
        self._forced = closing
        rest = self._sampling.model_copy(update={"max_tokens": left, "seed": self._sampling.seed + NEXT_SEED})
        self._stream = self._engine.stream(prompt, rest, slot=self._slot)


class ThoughtDecoder(IncrementalDecoder):
    """Text of an answer, with its think blocks or without them.

    Args:
        engine: whose tokenizer and form decide.
        shown: whether blocks are shown, between `<think>` and `</think>`.
    """

    def __init__(self, engine: Engine, shown: bool) -> None:
        super().__init__(engine.tokenizer)
        self._marks = think_marks(engine.tokenizer, engine.form)
        self._shown = shown
        self._inside = False
        self._begun = False

    def push(self, token: int) -> str:
        """The characters that `token` completes and that are to be seen; none before the first that is no space."""
        if self._marks is not None and token in self._marks:
            self._inside = token == self._marks[0]
            piece = (THINK if self._inside else END_THINK) if self._shown else ""
        else:
            piece = super().push(token)
            if self._inside and not self._shown:
                piece = ""
        if not self._begun:
            piece = piece.lstrip()
            self._begun = bool(piece)
        return piece
