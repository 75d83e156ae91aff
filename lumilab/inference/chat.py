"""A conversation with a model, in the form it was fine-tuned on.

The session keeps the token ids of the turns as they were generated, so that each prompt begins with the last one and
the slot's keys and values stay good; encoding the answers' text anew could give other ids. When a new question leaves
too little room for its answer, the oldest turns are forgotten, and the session says so.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from itertools import chain

from lumilab.inference.engine import Engine
from lumilab.inference.text import Statistics, TextStream
from lumilab.posttraining.messages import SYSTEM, USER, Message
from lumilab.posttraining.template import end_of_turn, render, render_prompt
from lumilab.recipe.schema import SamplingConfig

ANSWER_SHARE = 4  # an answer is given at least this part (one in so many) of the context, if it may be that long


class ChatSession:
    """Questions and answers, one after the other.

    Args:
        engine: the fine-tuned model.
        sampling: how answers are drawn. Each turn has its own seed, counted up from this one, and so another answer
            to the same question.
        system: what the model is told before the conversation, if anything.
        notify: called with a sentence when earlier turns had to be forgotten.
    """

    def __init__(
        self,
        engine: Engine,
        sampling: SamplingConfig,
        system: str | None = None,
        notify: Callable[[str], None] = lambda notice: None,
    ) -> None:
        self._engine = engine
        self._sampling = sampling
        self._notify = notify
        self._opening = render([Message(SYSTEM, system)], engine.tokenizer).ids if system else []
        self._turns: list[list[int]] = []
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
        question = render_prompt([Message(USER, text)], self._engine.tokenizer)
        self._forget_for(question)
        prompt = [*self._opening, *chain.from_iterable(self._turns), *question]
        sampling = self._sampling.model_copy(update={"seed": self._sampling.seed + self._count})
        stream = TextStream(self._engine.stream(prompt, sampling, slot=self._slot), self._engine.tokenizer)
        self._count += 1
        self._answering = self._answer(question, stream)
        return self._answering

    def _answer(self, question: list[int], stream: TextStream) -> Generator[str]:
        try:
            yield from stream
        finally:
            self.statistics = stream.statistics
            self._turns.append([*question, *stream.ids, *end_of_turn(self._engine.tokenizer)])

    def _end_answer(self) -> None:
        if self._answering is not None:
            self._answering.close()
            self._answering = None

    def _forget_for(self, question: list[int]) -> None:
        """Drops the oldest turns until the question and a fair answer have room."""
        room = self._engine.context - min(self._sampling.max_tokens, self._engine.context // ANSWER_SHARE)
        held = len(self._opening) + sum(map(len, self._turns)) + len(question)
        forgotten = 0
        while self._turns and held > room:
            held -= len(self._turns.pop(0))
            forgotten += 1
        if forgotten:
            which = "The oldest turn was" if forgotten == 1 else f"The {forgotten} oldest turns were"
            self._notify(f"{which} forgotten: the conversation had outgrown the model's {self._engine.context} tokens.")
