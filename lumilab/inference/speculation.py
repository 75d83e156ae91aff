"""Prompt-lookup decoding: several tokens a step where a text repeats itself, and exactly the greedy text.

The last tokens of the text are looked up further up in it; what followed there is proposed, the model reads the whole
proposal at once, and as much of it as the model would have said itself is kept (Saxena 2023, "Prompt Lookup Decoding";
the exactness is that of Leviathan et al. 2023, "Fast Inference from Transformers via Speculative Decoding", at
temperature 0). It pays where answers quote their prompt, as in editing and summaries. A proposal that fails costs its
reading, which is more than one token's: so the length of proposals follows their success.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from torch import Tensor

from lumilab.errors import ConfigError
from lumilab.inference.engine import Engine, Slot
from lumilab.inference.requests import FinishReason
from lumilab.recipe.schema import SamplingConfig

LONGEST_MATCH, SHORTEST_MATCH = 4, 2  # tokens looked up; one alone recurs too often to tell anything


@dataclass
class Acceptance:
    """How proposals fared: tokens proposed and accepted, and the model's passes after the prompt."""

    proposed: int = 0
    accepted: int = 0
    passes: int = 0

    @property
    def rate(self) -> float | None:
        """Share of the proposed tokens that were accepted."""
        return self.accepted / self.proposed if self.proposed else None


def propose(ids: Sequence[int], most: int) -> list[int]:
    """Up to `most` tokens that followed the last tokens of `ids` where they stood before: the longest, latest match."""
    if most < 1:
        return []
    for length in range(min(LONGEST_MATCH, len(ids) - 1), SHORTEST_MATCH - 1, -1):
        ending = list(ids[-length:])
        for start in range(len(ids) - length - 1, -1, -1):
            if ids[start + length - 1] == ending[-1] and list(ids[start : start + length]) == ending:
                return list(ids[start + length : start + length + most])
    return []


class LookupStream(Iterator[int]):
    """As the engine's TokenStream, for greedy requests.

    Args:
        engine: the model.
        prompt_ids, sampling, stop_ids, slot: as for `Engine.stream`; the temperature must be 0.
        most: longest proposal, in tokens.

    Attributes:
        prompt_length, finish_reason: as a TokenStream's.
        acceptance: how the proposals fare.

    Raises:
        ConfigError: the temperature is above 0.
        InputError: as `Engine.stream`.
    """

    def __init__(
        self,
        engine: Engine,
        prompt_ids: Sequence[int],
        sampling: SamplingConfig,
        stop_ids: Collection[int] | None = None,
        slot: Slot | None = None,
        most: int = 8,
    ) -> None:
        if sampling.temperature:
            raise ConfigError(
                "Prompt lookup proposes what greedy decoding would say, but the temperature is not 0",
                where="prompt lookup",
                mend="set the temperature to 0, or leave prompt lookup off.",
            )
        engine.check_prompt(prompt_ids)
        self.prompt_length = len(prompt_ids)
        self.finish_reason: FinishReason | None = None if sampling.max_tokens else "length"
        self.acceptance = Acceptance()
        self._slot = slot or engine.new_slot(len(prompt_ids) + sampling.max_tokens)
        self._drawer = engine.new_drawer(prompt_ids, sampling)
        self._left, self._most = sampling.max_tokens, most
        self._stop_ids = engine.stop_ids if stop_ids is None else frozenset(stop_ids)
        self._text = list(prompt_ids)
        self._length = 2  # of the next proposal
        self._logits: list[Tensor] = []

    def __next__(self) -> int:
        if self.finish_reason is not None:
            raise StopIteration
        if not self._logits:
            self._read_on()
        token = self._drawer.draw(self._logits.pop(0))
        if token in self._stop_ids:
            self.finish_reason = "stop"
            raise StopIteration
        self._text.append(token)
        self._compare(token)
        self._left -= 1
        if self._left == 0:
            self.finish_reason = "length"
        elif len(self._text) >= self._slot.capacity:
            self.finish_reason = "context"
        return token

    def _read_on(self) -> None:
        """Reads the prompt, or the newest token and what is proposed to follow it; leaves logits after each."""
        if len(self._text) == self.prompt_length:
            self._logits = [self._slot.read(self._slot.rewind(self._text))]
            return
        room = min(self._length, self._left - 1, self._slot.capacity - len(self._text) - 1)
        proposal = propose(self._text, room)
        self._logits = list(self._slot.read_each([self._text[-1], *proposal]))
        self.acceptance.passes += 1
        self.acceptance.proposed += len(proposal)

    def _compare(self, token: int) -> None:
        """Goes on with the proposal if it says the token that was drawn, else forgets what was read of it."""
        place, held = len(self._text) - 1, self._slot.ids
        if place == len(held):  # behind all that was read
            return
        if held[place] != token:
            self._slot.rewind(self._text)
            self._logits.clear()
            self._length = max(self._length // 2, 1)
            return
        self.acceptance.accepted += 1
        if place == len(held) - 1:
            self._length = min(2 * self._length, self._most)
