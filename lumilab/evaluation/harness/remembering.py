"""A model of the harness that is asked only what it has not answered before.

The harness's models tell a hook of each single answer; ours is the journal, so that a killed evaluation
goes on in the middle of a task.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from contextlib import redirect_stderr, redirect_stdout
from typing import Any

from lm_eval.api.instance import Instance
from lm_eval.api.model import LM, CacheHook

from lumilab.evaluation.journal import Journal
from lumilab.work.context import WorkContext
from lumilab.work.progress import Task

UNITS = {"loglikelihood": "choices", "loglikelihood_rolling": "pages", "generate_until": "texts"}


class Journalled(LM):  # type: ignore[misc]  # lm-eval has no types
    """Asks a model only what it has not answered before.

    Args:
        inner: the model. It reports each answer through its `cache_hook`, as the harness's own models do.
        journal: where the answers are kept.
        context: where progress goes: to the standard output of when this was made, as the harness's own is silenced.
    """

    def __init__(self, inner: LM, journal: Journal, context: WorkContext) -> None:
        super().__init__()
        self.inner = inner
        self._journal = journal
        self._context = context
        self._streams = sys.stdout, sys.stderr
        self._task: Task | None = None
        inner.set_cache_hook(_Hook(self))

    def loglikelihood(self, requests: list[Instance]) -> list[tuple[float, bool]]:
        return [(float(nats), bool(greedy)) for nats, greedy in self._answers("loglikelihood", requests)]

    def loglikelihood_rolling(self, requests: list[Instance]) -> list[float]:
        return [float(nats) for nats in self._answers("loglikelihood_rolling", requests)]

    def generate_until(self, requests: list[Instance]) -> list[str]:
        return [str(text) for text in self._answers("generate_until", requests)]

    def apply_chat_template(self, chat_history: list[dict[str, str]], add_generation_prompt: bool = True) -> str:
        return str(self.inner.apply_chat_template(chat_history, add_generation_prompt=add_generation_prompt))

    def chat_template(self, chat_template: bool | str = False) -> str | None:
        template: str | None = self.inner.chat_template(chat_template)
        return template

    @property
    def tokenizer_name(self) -> str:
        return str(self.inner.tokenizer_name)

    def remember(self, kind: str, arguments: Sequence[Any], answer: Any) -> None:
        """Keeps an answer, and counts it."""
        self._journal.keep(kind, arguments, answer)
        if self._task is not None:
            self._task.advance()

    def _answers(self, kind: str, requests: list[Instance]) -> list[Any]:
        missing = [request for request in requests if not self._journal.has(kind, request.args)]
        self._journal.remembered += len(requests) - len(missing)
        if missing:
            output, errors = self._streams
            with (
                redirect_stdout(output),
                redirect_stderr(errors),
                self._context.report.task("Evaluating", total=len(requests), unit=UNITS[kind]) as self._task,
            ):
                self._task.start_at(len(requests) - len(missing))
                getattr(self.inner, kind)(missing)
            self._task = None
        return [self._journal.get(kind, request.args) for request in requests]


class _Hook(CacheHook):  # type: ignore[misc]
    """How the harness's models tell of single answers."""

    def __init__(self, model: Journalled) -> None:
        super().__init__(None)
        self._model = model

    def add_partial(self, attr: str, req: Iterable[Any], res: Any) -> None:
        if attr == "loglikelihood":
            res = [float(res[0]), bool(res[1])]
        self._model.remember(attr, tuple(req), res)
