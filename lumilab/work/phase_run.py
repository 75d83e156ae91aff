"""A phase from its ledger to its results: what is missing is done by a strategy, with progress shown."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import closing
from typing import Any

from lumilab.work.context import WorkContext
from lumilab.work.jobs import Outcome, Strategy, jobs_of
from lumilab.work.ledger import Ledger
from lumilab.work.phases import Done, Phase

FACTS_INTERVAL = 0.5  # seconds: facts are computed from all answers so far


def complete(
    phase: Phase,
    ledger: Ledger,
    numbers: Sequence[int],
    strategy: Strategy,
    context: WorkContext,
    on_failure: Callable[[Outcome], None] = lambda outcome: None,
) -> dict[int, Done]:
    """Does what is missing of these tasks of the phase and returns all of them, by number.

    Args:
        phase: what to do.
        ledger: the phase's own.
        numbers: ascending.
        strategy: how.
        context: where progress is shown, and whether to stop.
        on_failure: told of a task that failed before its error is raised.

    Raises:
        LumiError: whatever a task raised.
        Interrupted: a stop was asked for.
    """
    context.stop.check()
    done = ledger.entries(numbers)
    missing = [number for number in numbers if number not in done]
    total = sum(phase.sizes[number] for number in numbers)
    with context.report.task(phase.about, total, phase.unit, phase.worth_a_line) as task:
        facts = _Facts(phase, done)
        task.start_at(sum(phase.sizes[number] for number in done))
        if missing:
            with closing(strategy(jobs_of(phase, ledger, missing), context.stop)) as outcomes:
                for outcome in outcomes:
                    if outcome is None:
                        task.advance(0)
                    elif outcome.done is None:
                        on_failure(outcome)
                        raise outcome.error or RuntimeError("a task that failed without an error")
                    else:
                        done[outcome.number] = outcome.done
                        task.advance(phase.sizes[outcome.number], **facts.now_and_then())
        task.advance(0, **facts.now())
    return done


class _Facts:
    """What the phase has to say about its answers so far."""

    def __init__(self, phase: Phase, done: dict[int, Done]) -> None:
        self._phase = phase
        self._done = done
        self._next = 0.0

    def now_and_then(self) -> dict[str, str]:
        """The facts, or nothing new if they were computed a moment ago."""
        return self.now() if time.monotonic() >= self._next else {}

    def now(self) -> dict[str, str]:
        if self._phase.facts is None:
            return {}
        answers: list[dict[str, Any]] = [self._done[number].answer for number in sorted(self._done)]
        facts = self._phase.facts(answers)
        self._next = time.monotonic() + FACTS_INTERVAL
        return facts
