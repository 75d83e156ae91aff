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

from torch import Tensor

from lumilab.artifact import Artifact
from lumilab.errors import InputError
from lumilab.inference.memory import Memory, Reading, remember
from lumilab.inference.quantise import Quantisation, quantise
from lumilab.inference.requests import FinishReason
from lumilab.model import Transformer
from lumilab.model.sampling import TokenDrawer
from lumilab.posttraining.chat_files import stored_form
from lumilab.posttraining.templates import DEFAULT, ChatForm
from lumilab.recipe.schema import SamplingConfig
from lumilab.tokenizer.load import FILE_NAME, Tokenizer
from lumilab.training.checkpoint import load_model
from lumilab.training.hardware import resolve_device

PREFILL_TOKENS = 512  # per forward pass; the attention mask of a pass is this times the tokens held


class Slot:
    """A memory of one text.

    Args:
        model: what reads it.
        capacity: most tokens it can hold.
    """

    def __init__(self, model: Transformer, capacity: int) -> None:
        self._memory = remember(model, 1, capacity)

    @property
    def ids(self) -> list[int]:
        """The tokens that the model has read."""
        return self._memory.ids[0]

    @property
    def capacity(self) -> int:
        """Most tokens it can hold."""
        return self._memory.capacity

    def rewind(self, ids: Sequence[int]) -> list[int]:
        """Keeps what is held of the beginning of `ids`, forgets the rest, and returns what is left to read.

        At least the last of `ids` is left, as the logits after it are wanted.
        """
        return self._memory.rewind(0, ids)

    def read(self, ids: Sequence[int]) -> Tensor:
        """Reads further tokens, at least one, and returns the logits [vocabulary] after the last of them."""
        for start in range(0, len(ids), PREFILL_TOKENS):
            (logits,) = self._memory.read([Reading(0, ids[start : start + PREFILL_TOKENS])])
        return logits[0]

    def read_each(self, ids: Sequence[int]) -> Tensor:
        """The same for a few tokens, with the logits [tokens, vocabulary] after each of them."""
        return self._memory.read([Reading(0, ids, every=True)])[0]


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
        self.finish_reason: FinishReason | None = None if max_tokens else "length"
        self._slot = slot
        self._drawer = drawer
        self._left = max_tokens
        self._stop_ids = frozenset(stop_ids)
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

    Attributes:
        device: where the model is.
    """

    def __init__(self, model: Transformer, tokenizer: Tokenizer, form: ChatForm = DEFAULT) -> None:
        self.model = model
        self.tokenizer = tokenizer
        self.form = form
        self.device = next(model.model.norm.parameters()).device

    @classmethod
    def load(
        cls, path: Path, device: Literal["auto", "cpu", "cuda", "mps"] = "auto", quantisation: Quantisation = "none"
    ) -> Self:
        """Loads a checkpoint with the tokenizer and the form of chat it carries.

        Args:
            path: the checkpoint's folder, or that of a state of training.
            device: where it is to run.
            quantisation: how its weights are stored there; see quantise.py.

        Raises:
            InputError, MismatchError, DamageError: it is not a whole checkpoint, or its tokenizer is another.
        """
        loaded = load_model(path, device=resolve_device(device))
        tokenizer = Tokenizer.load(_tokenizer_folder(loaded.artifact))
        tokenizer.check_same(loaded.tokenizer_identity, f"the checkpoint {path}")
        finished = path.parent / "final"  # a state of training has no form of chat of its own
        form = stored_form(path if (path / FILE_NAME).exists() or not finished.is_dir() else finished)
        return cls(quantise(loaded.model, quantisation), tokenizer, form)

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

    def new_memory(self, slots: int) -> Memory:
        """An empty memory of several texts, each as long as the context."""
        return remember(self.model, slots, self.context)

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
        self.check_prompt(prompt_ids)
        slot = slot or self.new_slot(len(prompt_ids) + sampling.max_tokens)
        drawer = self.new_drawer(prompt_ids, sampling)
        return TokenStream(
            slot, prompt_ids, drawer, sampling.max_tokens, self.stop_ids if stop_ids is None else stop_ids
        )

    def check_prompt(self, prompt_ids: Sequence[int], *, answered: bool = True) -> None:
        """Refuses a prompt that cannot be read, or not be answered.

        Raises:
            InputError: there is no prompt, no room for it (and for a token after it, if it is to be `answered`), or a
                token of it does not exist.
        """
        if not prompt_ids:
            raise InputError("There is no prompt to continue", mend="give at least one token.")
        if len(prompt_ids) + answered > self.context:
            raise InputError(
                f"The prompt has {len(prompt_ids)} tokens, but prompt and answer together must fit the model's context "
                f"of {self.context}",
                mend="shorten the prompt, or use a model trained with a larger model.context.",
            )
        if min(prompt_ids) < 0 or max(prompt_ids) >= self.model.vocabulary_size:
            raise InputError(
                f"The prompt has a token id that is not between 0 and {self.model.vocabulary_size - 1}",
                mend="leave it out.",
            )

    def new_drawer(self, prompt_ids: Sequence[int], sampling: SamplingConfig) -> TokenDrawer:
        """What draws the tokens after a prompt.

        Raises:
            InputError: the logit bias names a token that does not exist.
        """
        drawer = TokenDrawer(sampling, self.model.vocabulary_size, self.device)
        drawer.observe(prompt_ids)
        return drawer


def _tokenizer_folder(artifact: Artifact) -> Path:
    """Where a checkpoint's tokenizer is: in it, or, for a state of training, in the artifact it was made with."""
    made_with = artifact.manifest.inputs.get("tokenizer")
    if (artifact.path / FILE_NAME).exists() or made_with is None or made_with.path is None:
        return artifact.path
    return artifact.path / made_with.path
