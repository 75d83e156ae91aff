"""A checkpoint as a model of lm-evaluation-harness.

The harness's rules hold: a context's trailing spaces belong to the continuation, what is too long is cut on the left,
a text to be read from its beginning stands behind the beginning-of-text token in windows that do not overlap. How the
answers are computed is our own: what texts have in common is read once, logits are made only where they are wanted
(scoring.py), and texts are generated in a continuously filled batch (inference/service.py).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from queue import Empty, SimpleQueue
from typing import Any

from lm_eval.api.instance import Instance
from lm_eval.api.model import TemplateLM
from lm_eval.utils import get_rolling_token_windows, make_disjoint_window

from lumilab.evaluation.scoring import Continuation, score
from lumilab.inference.engine import Engine
from lumilab.inference.requests import GenerationRequest, TokenEvent
from lumilab.inference.service import GenerationService
from lumilab.posttraining.messages import Message
from lumilab.posttraining.template import render_prompt
from lumilab.recipe.schema import SamplingConfig
from lumilab.work.stopping import StopRequest

NEW_TOKENS = 256  # where a task does not say how long an answer may be, as in the harness
STREAMS = 16  # texts generated at the same time
GLANCE = 0.5  # seconds between two looks at whether to stop
REMEMBERED = 2**12  # texts whose ids are kept: the choices of a question share it


class HarnessModel(TemplateLM):  # type: ignore[misc]  # lm-eval has no types
    """Answers the harness.

    Args:
        engine: the model.
        bos: put the beginning-of-text token before every text, as in training. The harness does so for no model unless
            told to; figures with and without it are not comparable.
        stop: asked between any two passes.
    """

    def __init__(self, engine: Engine, *, bos: bool, stop: StopRequest) -> None:
        super().__init__()
        self._engine = engine
        self._known = engine.tokenizer
        self._bos = bos
        self._stop = stop
        self._ids = lru_cache(REMEMBERED)(lambda text: tuple(self._known.encode(text, allow_special=True)))

    @property
    def eot_token_id(self) -> int:
        return self._known.eos_id

    @property
    def prefix_token_id(self) -> int:
        return self._known.bos_id if "bos" in self._known.roles else self._known.eos_id

    @property
    def max_length(self) -> int:
        return self._engine.context

    @property
    def tokenizer_name(self) -> str:
        return self._known.identity

    def tok_encode(self, string: str, add_special_tokens: bool | None = None, **_: Any) -> list[int]:
        ids = self._ids(string)
        first = self.prefix_token_id
        begins = self._bos and add_special_tokens is not False and ids[:1] != (first,)
        return [first, *ids] if begins else list(ids)

    def apply_chat_template(self, chat_history: list[dict[str, str]], add_generation_prompt: bool = True) -> str:
        messages = [Message(turn["role"], turn["content"]) for turn in chat_history]
        return self._known.decode(render_prompt(messages, self._known, self._engine.form), keep_special=True)

    def chat_template(self, chat_template: bool | str = False) -> str | None:
        return self._engine.form.template.name if chat_template else ""

    def loglikelihood(self, requests: list[Instance], disable_tqdm: bool = True) -> list[tuple[float, bool]]:
        answers: list[tuple[float, bool]] = super().loglikelihood(requests, disable_tqdm=True)
        return answers

    def _loglikelihood_tokens(
        self, requests: Sequence[tuple[Any, list[int], list[int]]], **_: Any
    ) -> list[tuple[float, bool]]:
        answers: dict[int, tuple[float, bool]] = {}
        asked = [Continuation(tuple(context), tuple(target)) for _, context, target in requests]
        for number, found in score(self._engine.model, asked):
            self._stop.check()
            answers[number] = (found.log_probability, found.greedy)
            self.cache_hook.add_partial("loglikelihood", requests[number][0], answers[number])
        return [answers[number] for number in range(len(requests))]

    def loglikelihood_rolling(self, requests: list[Instance], disable_tqdm: bool = True) -> list[float]:
        answers = []
        for request in requests:
            (text,) = request.args
            windows = get_rolling_token_windows(self.tok_encode(text), self.prefix_token_id, self.max_length, 1)
            asked = [Continuation(*map(tuple, make_disjoint_window(window))) for window in windows]
            total = 0.0
            for _, found in score(self._engine.model, asked):
                self._stop.check()
                total += found.log_probability
            answers.append(total)
            self.cache_hook.add_partial("loglikelihood_rolling", (text,), total)
        return answers

    def generate_until(self, requests: list[Instance], disable_tqdm: bool = True) -> list[str]:
        service = GenerationService(self._engine, slots=STREAMS, queue_limit=len(requests))
        done: SimpleQueue[tuple[int, str | None]] = SimpleQueue()
        texts: list[list[str]] = [[] for _ in requests]
        try:
            for number, request in enumerate(requests):
                service.submit(self._asked(*request.args), self._listener(number, texts[number], done))
            for number in _until_all(done, len(requests), self._stop):
                context, options = requests[number].args
                self.cache_hook.add_partial("generate_until", (context, options), "".join(texts[number]))
        finally:
            service.close()
        return ["".join(pieces) for pieces in texts]

    def _asked(self, context: str, options: dict[str, Any]) -> GenerationRequest:
        """A task's wish in our words. An answer may take at most half of a short context."""
        wanted = int(options.get("max_gen_toks", options.get("max_new_tokens", NEW_TOKENS)))
        room = wanted if wanted < self.max_length else self.max_length // 2
        until = options.get("until") or []
        sampling = SamplingConfig(
            temperature=float(options.get("temperature", 1.0)) if options.get("do_sample") else 0.0,
            top_k=int(options.get("top_k", 0)),
            top_p=float(options.get("top_p", 1.0)),
            max_tokens=room,
        )
        ids = self.tok_encode(context)[-(self.max_length - room) :] or [self.prefix_token_id]
        stop = tuple(text for text in ([until] if isinstance(until, str) else until) if text)
        return GenerationRequest(ids, sampling, stop=stop)

    @staticmethod
    def _listener(number: int, pieces: list[str], done: SimpleQueue[tuple[int, str | None]]) -> Callable[..., None]:
        def heard(event: TokenEvent) -> None:
            pieces.append(event.text)
            if event.finish_reason is not None:
                done.put((number, event.error))

        return heard


def _until_all(done: SimpleQueue[tuple[int, str | None]], count: int, stop: StopRequest) -> Iterator[int]:
    """The numbers of finished texts, until all are."""
    left = count
    while left:
        try:
            number, error = done.get(timeout=GLANCE)
        except Empty:
            stop.check()
            continue
        if error is not None:
            raise RuntimeError(f"The generation service failed: {error}")
        left -= 1
        yield number
