"""The engine: a prompt's token ids in, one new token id after another out.

Generation has two phases. Prefill runs the prompt through the model, in pieces that bound memory, and keeps its keys
and values; then each step reads one token only (Pope et al. 2022, "Efficiently Scaling Transformer Inference",
section 2). A Slot is that memory for one sequence. Kept between requests it saves the prefill of whatever the next
prompt has in common with what it holds, which in a conversation is everything but the last message.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Literal, Self

import torch
from torch import Tensor

from lumilab.errors import InputError
from lumilab.inference.requests import FinishReason
from lumilab.model import KVCache, Transformer
from lumilab.model.sampling import TokenDrawer
from lumilab.posttraining.chat_files import stored_form
from lumilab.posttraining.templates import DEFAULT, ChatForm
from lumilab.recipe.schema import SamplingConfig
from lumilab.tokenizer.load import Tokenizer
from lumilab.training.checkpoint import load_model
from lumilab.training.hardware import resolve_device

PREFILL_TOKENS = 512  # per forward pass; the attention mask of a pass is this times the tokens held


class Slot:
    """The tokens of one sequence that the model has read, with their keys and values.

    Args:
        model: whose keys and values they are.
        capacity: most tokens it can hold.
    """

    def __init__(self, model: Transformer, capacity: int) -> None:
        weight = model.output_weight
        self._model = model
        self._device = weight.device
        self._cache = KVCache(model.config, 1, capacity, model.activation_dtype or weight.dtype, weight.device)
        self.ids: list[int] = []

    @property
    def capacity(self) -> int:
        """Most tokens it can hold."""
        return self._cache.capacity

    def rewind(self, ids: Sequence[int]) -> list[int]:
        """Keeps what is held of the beginning of `ids`, forgets the rest, and returns what is left to read.

        At least the last of `ids` is left, as the logits after it are wanted.
        """
        common = 0
        while common < min(len(self.ids), len(ids) - 1) and self.ids[common] == ids[common]:
            common += 1
        self._cache.truncate(common)
        del self.ids[common:]
        return list(ids[common:])

    @torch.no_grad()
    def read(self, ids: Sequence[int]) -> Tensor:
        """Reads further tokens, at least one, and returns the logits [vocabulary] after the last of them."""
        features = torch.empty(0)
        for start in range(0, len(ids), PREFILL_TOKENS):
            features = self._features(ids[start : start + PREFILL_TOKENS])
        return self._model.logits(features[-1])

    @torch.no_grad()
    def read_all(self, ids: Sequence[int]) -> Tensor:
        """The same, with the logits [tokens, vocabulary] after each of them."""
        parts = [ids[start : start + PREFILL_TOKENS] for start in range(0, len(ids), PREFILL_TOKENS)]
        return torch.cat([self._model.logits(self._features(part)) for part in parts])

    def _features(self, ids: Sequence[int]) -> Tensor:
        features = self._model.features(torch.tensor([list(ids)], device=self._device), cache=self._cache)
        self.ids += ids
        return features[0]


class TokenStream(Iterator[int]):
    """The new tokens of one request, each computed when it is asked for.

    Attributes:
        prompt_length: tokens of the prompt.
        finish_reason: None while more may come; then "stop" (the model ended its text), "length" (as many tokens as
            were asked for) or "context" (no room for more).
    """

    def __init__(
        self, slot: Slot, prompt_ids: Sequence[int], drawer: TokenDrawer, max_tokens: int, stop_ids: Collection[int]
    ) -> None:
        self.prompt_length = len(prompt_ids)
        self.finish_reason: FinishReason | None = None
        self._slot = slot
        self._drawer = drawer
        self._left = max_tokens
        self._stop_ids = frozenset(stop_ids)
        drawer.observe(prompt_ids)
        self._unread = slot.rewind(prompt_ids)

    def __next__(self) -> int:
        if self.finish_reason is not None:
            raise StopIteration
        token = self._drawer.draw(self._slot.read(self._unread))
        if token in self._stop_ids:
            self.finish_reason = "stop"
            raise StopIteration
        self._unread = [token]
        self._left -= 1
        if self._left == 0:
            self.finish_reason = "length"
        elif len(self._slot.ids) + 1 >= self._slot.capacity:
            self.finish_reason = "context"
        return token


class Engine:
    """A model and its tokenizer, ready to generate.

    Args:
        model: on the device where it is to run.
        tokenizer: the one it was trained with.
        form: in which it was taught to chat, if it was.
    """

    def __init__(self, model: Transformer, tokenizer: Tokenizer, form: ChatForm = DEFAULT) -> None:
        self.model = model
        self.tokenizer = tokenizer
        self.form = form

    @classmethod
    def load(cls, path: Path, device: Literal["auto", "cpu", "cuda", "mps"] = "auto") -> Self:
        """Loads a checkpoint with the tokenizer and the form of chat it carries.

        Raises:
            InputError, MismatchError, DamageError: it is not a whole checkpoint, or its tokenizer is another.
        """
        loaded = load_model(path, device=resolve_device(device))
        tokenizer = Tokenizer.load(path)
        tokenizer.check_same(loaded.tokenizer_identity, f"the checkpoint {path}")
        return cls(loaded.model, tokenizer, stored_form(path))

    @property
    def context(self) -> int:
        """Most tokens of prompt and answer together."""
        return self.model.config.context

    @property
    def stop_ids(self) -> frozenset[int]:
        """The tokens that end a text: the end of a document, and the end of a turn where there is one."""
        ends = {self.tokenizer.eos_id} if "eos" in self.tokenizer.roles else set()
        with suppress(InputError):  # a model that never learned to chat may have no token for the end of a turn
            ends.add(self.form.template.end_id(self.tokenizer))
        return frozenset(ends)

    def new_slot(self, capacity: int | None = None) -> Slot:
        """An empty slot, by default for the whole context."""
        return Slot(self.model, min(capacity or self.context, self.context))

    def stream(
        self,
        prompt_ids: Sequence[int],
        sampling: SamplingConfig,
        stop_ids: Collection[int] | None = None,
        slot: Slot | None = None,
    ) -> TokenStream:
        """Generates after a prompt. The stopping token itself is not part of the stream.

        Args:
            prompt_ids: at least one token, and fewer than the context.
            sampling: how the tokens are drawn, and how many at most.
            stop_ids: tokens that end the text; by default those of `stop_ids`.
            slot: used instead of a new one, with what it holds already.

        Raises:
            InputError: there is no prompt, or no room for an answer to it.
        """
        if not prompt_ids:
            raise InputError("There is no prompt to continue", mend="give at least one token.")
        if len(prompt_ids) >= self.context:
            raise InputError(
                f"The prompt has {len(prompt_ids)} tokens, but prompt and answer together must fit the model's context "
                f"of {self.context}",
                mend="shorten the prompt, or use a model trained with a larger model.context.",
            )
        drawer = TokenDrawer(sampling, self.model.vocabulary_size, self.model.output_weight.device)
        slot = slot or self.new_slot(len(prompt_ids) + sampling.max_tokens)
        return TokenStream(
            slot, prompt_ids, drawer, sampling.max_tokens, self.stop_ids if stop_ids is None else stop_ids
        )
