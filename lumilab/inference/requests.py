"""What a caller asks of the generation service, and what it is told token by token."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal

from lumilab.errors import InputError, ResourceError
from lumilab.recipe.schema import SamplingConfig

FinishReason = Literal["stop", "length", "context", "cancelled", "error"]
"""Why a text ended: the model or a stop string ended it; as many tokens as were asked for; no room for more; the caller
left; the engine failed."""


class QueueFull(ResourceError):
    """As many requests are waiting as may wait; come again later."""


class ServiceClosed(ResourceError):
    """The service takes no more requests: it is being shut down, or its engine failed."""


@dataclass(frozen=True)
class GenerationRequest:
    """One text to generate, or to score.

    Attributes:
        prompt_ids: at least one token, fewer than the model's context.
        sampling: how tokens are drawn, and how many at most (0 only with `echo_logprobs`).
        stop: strings that end the text; neither they nor what follows is part of it.
        stop_ids: tokens that end the text; None for the engine's own.
        logprobs: how many of the most likely tokens are reported beside each token's own log-probability; None for no
            log-probabilities. They are the model's own: natural logarithms, before penalties, bias and temperature.
        echo_logprobs: also score the prompt: an event for each of its tokens comes first, with `echoed` set.

    Raises:
        InputError: nothing is asked for, a stop string is empty, or a number is negative.
    """

    prompt_ids: Sequence[int]
    sampling: SamplingConfig
    stop: tuple[str, ...] = ()
    stop_ids: Collection[int] | None = None
    logprobs: int | None = None
    echo_logprobs: bool = False

    def __post_init__(self) -> None:
        if not self.prompt_ids:
            raise InputError("There is no prompt to continue", mend="give at least one token.")
        if self.sampling.max_tokens == 0 and not self.echo_logprobs:
            raise InputError("No tokens are asked for", mend="raise max_tokens, or ask for the prompt's own scores.")
        if not all(self.stop):
            raise InputError("A stop string is empty", mend="leave it out.")
        if self.logprobs is not None and self.logprobs < 0:
            raise InputError("A negative number of log-probabilities is asked for", mend="give 0 or more.")


@dataclass(frozen=True)
class TokenEvent:
    """A token, and the text that it made certain. The last event of a request has a `finish_reason`.

    Attributes:
        token_id: None where a text ends without another token (a stop token is not part of the text).
        text: characters that are now certain: whole ones, never part of a stop string; often empty.
        logprob: the token's log-probability in nats, where it was asked for; None for a prompt's first token.
        top_logprobs: (token id, log-probability) of the most likely tokens, best first.
        finish_reason: None while more is to come.
        echoed: whether the token is one of the prompt's.
        error: what went wrong, with the finish reason "error".
    """

    token_id: int | None
    text: str = ""
    logprob: float | None = None
    top_logprobs: tuple[tuple[int, float], ...] = ()
    finish_reason: FinishReason | None = None
    echoed: bool = False
    error: str | None = None
