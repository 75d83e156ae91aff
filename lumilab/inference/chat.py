"""A conversation with a model, in the form it was fine-tuned on.

The session keeps the token ids of the answers as they were generated, so that each prompt begins with the last one and
the slot's keys and values stay good; encoding the answers' text anew could give other ids. When a new question leaves
too little room for its answer, the oldest turns are forgotten, and the session says so.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass

from lumilab.inference.engine import Engine
from lumilab.inference.text import Statistics, TextStream
from lumilab.inference.thinking import ThinkingTokens, ThoughtDecoder
from lumilab.posttraining.messages import SYSTEM, USER, Message
from lumilab.posttraining.template import end_of_turn, render_prompt
from lumilab.recipe.schema import SamplingConfig

ANSWER_SHARE = 4  # an answer is given at least this part (one in so many) of the context, if it may be that long


@dataclass(frozen=True)
class _Turn:
    """A question, and the ids of its answer with what ends it."""

    question: str
    answer: list[int]


class ChatSession:
    """Questions and answers, one after the other.

    Args:
        engine: the fine-tuned model.
        sampling: how answers are drawn. Each turn has its own seed, counted up from this one, and so another answer
            to the same question.
        system: what the model is told before the conversation, if anything.
        notify: called with a sentence when earlier turns had to be forgotten.
        thoughts_shown: whether think blocks are part of the pieces; they are part of the conversation in any case.
        think_budget: tokens that the model may think in each answer; None for any number.
    """

    def __init__(
        self,
        engine: Engine,
        sampling: SamplingConfig,
        system: str | None = None,
        notify: Callable[[str], None] = lambda notice: None,
        *,
        thoughts_shown: bool = True,
        think_budget: int | None = None,
    ) -> None:
        self._engine = engine
        self._sampling = sampling
        self._notify = notify
        self._thoughts_shown = thoughts_shown
        self._think_budget = think_budget
        self._opening = [Message(SYSTEM, system)] if system else []
        self._turns: list[_Turn] = []
        self._slot = engine.new_slot()
        self._count = 0
        self._answering: Generator[str] | None = None
        self.statistics: Statistics | None = None

    def reset(self) -> None:
        """Forgets the conversation; the next question is the first."""
        self._end_answer()
        self._turns.clear()
        self._count = 0

    def reply(self, text: str) -> Iterator[str]:
        """The answer to the next question, in pieces. `statistics` tells of the answer once it has ended.

        An answer that is not read to its end is part of the conversation as far as it was read.

        Raises:
            InputError: the question alone does not fit the model's context.
        """
        self._end_answer()
        prompt = self._prompt_with_room(text)
        sampling = self._sampling.model_copy(update={"seed": self._sampling.seed + self._count})
        tokens = ThinkingTokens(self._engine, prompt, sampling, self._slot, self._think_budget)
        decoder = ThoughtDecoder(self._engine, self._thoughts_shown)
        stream = TextStream(tokens, self._engine.tokenizer, decoder=decoder)
        self._count += 1
        self._answering = self._answer(text, stream)
        return self._answering

    def _answer(self, question: str, stream: TextStream) -> Generator[str]:
        try:
            yield from stream
        finally:
            self.statistics = stream.statistics
            ending = end_of_turn(self._engine.tokenizer, self._engine.form)
            self._turns.append(_Turn(question, [*stream.ids, *ending]))

    def _end_answer(self) -> None:
        if self._answering is not None:
            self._answering.close()
            self._answering = None

    def _prompt(self, text: str) -> list[int]:
        """The conversation so far and the next question."""
        ids: list[int] = []
        for number, turn in enumerate([*self._turns, _Turn(text, [])]):
            opening = self._opening if number == 0 else []
            messages = [*opening, Message(USER, turn.question)]
            ids += render_prompt(messages, self._engine.tokenizer, self._engine.form, continued=number > 0)
            ids += turn.answer
        return ids

    def _prompt_with_room(self, text: str) -> list[int]:
        """The same, without the oldest turns where the question and a fair answer would not have room."""
        room = self._engine.context - min(self._sampling.max_tokens, self._engine.context // ANSWER_SHARE)
        forgotten = 0
        while len(prompt := self._prompt(text)) > room and self._turns:
            del self._turns[0]
            forgotten += 1
        if forgotten:
            which = "The oldest turn was" if forgotten == 1 else f"The {forgotten} oldest turns were"
            self._notify(f"{which} forgotten: the conversation had outgrown the model's {self._engine.context} tokens.")
        return prompt
