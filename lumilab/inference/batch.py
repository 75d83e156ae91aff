"""The requests that run together: which slot each gets, and what the model reads in the next step.

A step reads the newest token of every text that is being generated and, with them, a piece of the prompts that are
still being read (chunked prefill: Agrawal et al. 2023, "SARATHI", section 4), so that a long prompt does not make the
others wait for it. A request is given the free slot that holds most of the beginning of its prompt; where a slot in use
holds more, it is copied from there (prefix caching: Zheng et al. 2023, "SGLang", section 3, here with whole slots for
pages).
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from torch import Tensor

from lumilab.inference.memory import Memory, Reading
from lumilab.inference.running import RunningRequest

WORTH_COPYING = 16  # tokens; to read fewer is quicker than to copy them


@dataclass
class _Place:
    """A request in its slot, and how much of its prompt is read."""

    running: RunningRequest
    slot: int
    read: int

    @property
    def reads_prompt(self) -> bool:
        return self.read < len(self.running.request.prompt_ids)


class Batch:
    """Requests in slots.

    Args:
        memory: as many texts as there are slots.
        prompt_tokens: most tokens of prompts that a step reads beside tokens of texts being generated, and
        prompt_tokens_alone: when there are none of those.

    Attributes:
        tokens: counts, as ServiceStatistics has them: "prompt", "generated", "queries", "hits".
    """

    def __init__(self, memory: Memory, prompt_tokens: int, prompt_tokens_alone: int) -> None:
        self.tokens: Counter[str] = Counter()
        self._memory = memory
        self._prompt_tokens, self._prompt_tokens_alone = prompt_tokens, prompt_tokens_alone
        self._places: dict[RunningRequest, _Place] = {}
        self._free = list(range(len(memory.ids)))  # the one unused longest comes first

    def __len__(self) -> int:
        return len(self._places)

    @property
    def has_room(self) -> bool:
        """Whether a slot is free."""
        return bool(self._free)

    @property
    def requests(self) -> list[RunningRequest]:
        """Those that are running, the oldest first."""
        return list(self._places)

    @property
    def held(self) -> int:
        """Tokens that running requests hold in their slots."""
        return sum(len(self._memory.ids[place.slot]) for place in self._places.values())

    def add(self, running: RunningRequest) -> None:
        """Gives a request a free slot. What it holds of the prompt is not read again, unless all is to be scored."""
        prompt = running.request.prompt_ids
        self.tokens["prompt"] += len(prompt)
        if running.request.echo_logprobs:
            slot = self._free[0]
            self._memory.truncate(slot, 0)
        else:
            slot = self._slot_for(running)
            self.tokens["queries"] += len(prompt)
            self.tokens["hits"] += len(self._memory.ids[slot])
        self._free.remove(slot)
        self._places[running] = _Place(running, slot, len(self._memory.ids[slot]))

    def remove(self, running: RunningRequest) -> None:
        """Frees a request's slot, which keeps what it holds for the next prompt that begins so."""
        self._free.append(self._places.pop(running).slot)

    def step(self) -> list[RunningRequest]:
        """Reads on, draws the next tokens and tells the callers.

        Returns:
            Requests that ended with this step. They are still to be removed.
        """
        places = list(self._places.values())
        readings = {id(place): self._next_token(place) for place in places if not place.reads_prompt}
        left = self._prompt_tokens if readings else self._prompt_tokens_alone
        for place in places:
            if place.reads_prompt and left > 0:
                readings[id(place)] = self._piece(place, left)
                left -= len(readings[id(place)].ids)
        taking_part = [place for place in places if id(place) in readings]
        for place, logits in zip(taking_part, self._memory.read([readings[id(p)] for p in taking_part]), strict=True):
            self._advance(place, readings[id(place)], logits)
        return [place.running for place in taking_part if place.running.finish_reason is not None]

    def _slot_for(self, running: RunningRequest) -> int:
        prompt = running.request.prompt_ids
        common = {slot: self._memory.common(slot, prompt) for slot in range(len(self._memory.ids))}
        free = max(self._free, key=lambda slot: common[slot] if common[slot] >= WORTH_COPYING else 0)
        best = max(common, key=lambda slot: common[slot])
        if common[best] >= common[free] + WORTH_COPYING:
            self._memory.copy(best, free, common[best])
        self._memory.rewind(free, prompt)
        return free

    def _next_token(self, place: _Place) -> Reading:
        return Reading(place.slot, place.running.ids[-1:])

    def _piece(self, place: _Place, most: int) -> Reading:
        prompt = place.running.request.prompt_ids
        return Reading(place.slot, prompt[place.read : place.read + most], place.running.request.echo_logprobs)

    def _advance(self, place: _Place, reading: Reading, logits: Tensor) -> None:
        running = place.running
        if place.reads_prompt:
            if reading.every:
                running.echo(place.read, logits)
            place.read += len(reading.ids)
            if place.read < len(running.request.prompt_ids):
                return
            if running.request.sampling.max_tokens == 0:
                running.finish("length")
                return
        before = running.generated
        try:
            running.accept(logits[-1])
        except Exception as error:  # one request's draw must not end everybody's
            running.finish("error", error=f"{type(error).__name__}: {error}")
        self.tokens["generated"] += running.generated - before
