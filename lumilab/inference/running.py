"""A request on its way: from the logits of each place to the events that its caller gets."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from lumilab.inference.decoding import IncrementalDecoder, StopStrings
from lumilab.inference.requests import FinishReason, GenerationRequest, TokenEvent
from lumilab.model.sampling import TokenDrawer
from lumilab.tokenizer.load import Tokenizer


class RunningRequest:
    """What is known of a request besides its keys and values.

    Args:
        request: what was asked for.
        on_event: gets each event.
        tokenizer: the model's.
        drawer: of its tokens; has seen the prompt.
        stop_ids: tokens that end the text.
        context: most tokens of prompt and answer together.

    Attributes:
        ids: the prompt's tokens and the generated ones.
        finish_reason: None while it goes on.
    """

    def __init__(
        self,
        request: GenerationRequest,
        on_event: Callable[[TokenEvent], None],
        tokenizer: Tokenizer,
        drawer: TokenDrawer,
        stop_ids: frozenset[int],
        context: int,
    ) -> None:
        self.request = request
        self.ids = list(request.prompt_ids)
        self.finish_reason: FinishReason | None = None
        self._on_event = on_event
        self._stop_ids = stop_ids
        self._context = context
        self._decoder = IncrementalDecoder(tokenizer)
        self._stop = StopStrings(request.stop)
        self._drawer = drawer

    @property
    def generated(self) -> int:
        """Number of tokens generated so far."""
        return len(self.ids) - len(self.request.prompt_ids)

    def echo(self, first: int, logits: Tensor) -> None:
        """Scores a piece of the prompt.

        Args:
            first: the piece's first token, counted in the prompt.
            logits: [tokens, V], after each of the piece's tokens: the last row scores the token that follows it.
        """
        if first == 0:
            self._on_event(TokenEvent(self.ids[0], echoed=True))
        tokens = self.ids[first + 1 : first + 1 + len(logits)]
        for token, (own, best) in zip(
            tokens, scores(logits[: len(tokens)], tokens, self.request.logprobs or 0), strict=True
        ):
            self._on_event(TokenEvent(token, logprob=own, top_logprobs=best, echoed=True))

    def accept(self, logits: Tensor) -> None:
        """Draws the next token from the logits [V] and tells the caller what came of it."""
        token = self._drawer.draw(logits)
        if token in self._stop_ids:
            self.finish("stop", self._stop.flush())
            return
        self.ids.append(token)
        text = self._stop.push(self._decoder.push(token))
        own: float | None = None
        best: tuple[tuple[int, float], ...] = ()
        if self.request.logprobs is not None:
            own, best = next(scores(logits[None], [token], self.request.logprobs))
        self.finish_reason = self._ended()
        if self.finish_reason is not None:
            text += self._stop.flush()
        self._on_event(TokenEvent(token, text, own, best, self.finish_reason))

    def finish(self, reason: FinishReason, text: str = "", error: str | None = None) -> None:
        """Ends it without another token."""
        self.finish_reason = reason
        self._on_event(TokenEvent(None, text, finish_reason=reason, error=error))

    def _ended(self) -> FinishReason | None:
        if self._stop.found:
            return "stop"
        if self.generated >= self.request.sampling.max_tokens:
            return "length"
        return "context" if len(self.ids) >= self._context else None


def scores(
    logits: Tensor, tokens: Sequence[int], alternatives: int
) -> Iterator[tuple[float, tuple[tuple[int, float], ...]]]:
    """For each row of logits [count, V]: the log-probability of its token, and the most likely tokens with theirs."""
    logprobs = logits.float().log_softmax(-1)
    own = logprobs.gather(1, torch.tensor(tokens, device=logits.device)[:, None])[:, 0].tolist()
    values, ids = logprobs.topk(min(alternatives, logits.shape[1]))
    for chosen, row_ids, row_values in zip(own, ids.tolist(), values.tolist(), strict=True):
        yield chosen, tuple(zip(row_ids, row_values, strict=True))
