"""The models that a server offers, each with its own engine, and what their tokens look like to a client."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from typing import Any, TypeVar

from lumilab.errors import InputError
from lumilab.inference.service import GenerationService
from lumilab.posttraining.messages import Message
from lumilab.posttraining.template import render_prompt
from lumilab.serving.errors import ApiError
from lumilab.tokenizer.load import Tokenizer

T = TypeVar("T")


class ServedModel:
    """A model under the name by which clients ask for it.

    Args:
        name: that name.
        service: generates with it.
        files: of the checkpoint, that a client's own tokenizer would be made of (tokenizer_config.json's content).
    """

    def __init__(self, name: str, service: GenerationService, tokenizer_config: Mapping[str, Any]) -> None:
        self.name = name
        self.service = service
        self.tokenizer_config = dict(tokenizer_config)
        self.created = int(time.time())
        # Long texts take long to encode, and the event loop must not wait. One thread: the fast encoder is not shared.
        self._encoding = ThreadPoolExecutor(max_workers=1, thread_name_prefix=f"encode-{name}")

    @property
    def tokenizer(self) -> Tokenizer:
        """The model's tokenizer."""
        return self.service.engine.tokenizer

    @property
    def context(self) -> int:
        """Most tokens of prompt and answer together."""
        return self.service.engine.context

    # --- text to ids -------------------------------------------------------------------------------------------------

    async def encode(self, text: str, *, begin: bool = True, special: bool = False, param: str = "prompt") -> list[int]:
        """The ids of a text that is to be continued, after the token that begins one.

        Args:
            text: any.
            begin: put that token before it, where the tokenizer has one.
            special: take the name of a special token in the text for the token.
            param: the field of the request, for the error.

        Raises:
            ApiError: it cannot fit the context. A text that is much too long is refused before it is encoded.
        """
        self._refuse_hopeless(len(text), param)
        ids = await self._in_background(lambda: self.tokenizer.encode(text, allow_special=special))
        return [*self.beginning, *ids] if begin else ids

    async def encode_chat(self, messages: Sequence[Message]) -> list[int]:
        """The ids of a conversation, and of the header of the answer to it.

        Raises:
            ApiError: it cannot fit the context.
        """
        self._refuse_hopeless(sum(len(message.content) for message in messages), "messages")
        form = self.service.engine.form
        return await self._in_background(lambda: render_prompt(messages, self.tokenizer, form))

    def check_ids(self, ids: Sequence[int], param: str = "prompt") -> None:
        """Refuses ids that are not the vocabulary's.

        Raises:
            ApiError: there are some.
        """
        size = self.tokenizer.vocabulary_size
        if ids and not (min(ids) >= 0 and max(ids) < size):
            raise ApiError(
                400, f"{param} has a token id that is not between 0 and {size - 1}.", code="invalid_token", param=param
            )

    def check_room(self, tokens: int, param: str = "prompt", *, answer: bool = True) -> None:
        """Refuses a prompt that leaves no room for an answer.

        Args:
            tokens: the prompt's.
            param: the field of the request.
            answer: whether any token is to follow the prompt.

        Raises:
            ApiError: there is none.
        """
        if tokens + answer > self.context:
            raise too_long(f"{tokens} tokens", self.context, param)

    def _refuse_hopeless(self, characters: int, param: str) -> None:
        if characters > self.context * self._longest_token:
            raise too_long(f"{characters} characters", self.context, param)

    async def _in_background(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._encoding, work)

    @cached_property
    def beginning(self) -> list[int]:
        """What stands before a text: the token that begins one, where the tokenizer has it."""
        return [self.tokenizer.bos_id] if "bos" in self.tokenizer.roles else []

    @cached_property
    def _longest_token(self) -> int:
        """Bytes of the longest token: no token holds more characters."""
        return max(len(self.tokenizer.token_bytes(token)) for token in range(self.tokenizer.vocabulary_size))

    # --- ids to text -------------------------------------------------------------------------------------------------

    def token_text(self, token: int) -> str:
        """What a token is called where single tokens are listed: its text, or a special token's name.

        One that is no whole characters is `bytes:\\xe2\\x82`, which is OpenAI's way of writing them.
        """
        name = self.tokenizer.special_names.get(token)
        if name is not None:
            return name
        data = self.tokenizer.token_bytes(token)
        try:
            return data.decode()
        except UnicodeDecodeError:
            return "bytes:" + "".join(f"\\x{byte:02x}" for byte in data)

    def token_bytes(self, token: int) -> list[int]:
        """The token's UTF-8 bytes; those of its name for a special token."""
        name = self.tokenizer.special_names.get(token)
        return list(name.encode() if name is not None else self.tokenizer.token_bytes(token))

    def close(self) -> None:
        """Ends its threads."""
        self._encoding.shutdown(wait=False, cancel_futures=True)
        self.service.close()


class Shelf:
    """All models of a server.

    Args:
        models: at least one, with different names; the first serves requests that name none.
    """

    def __init__(self, models: Sequence[ServedModel]) -> None:
        self._models = {model.name: model for model in models}
        if not models or len(self._models) < len(models):
            raise InputError("A server needs at least one model, and each needs a name of its own")

    def __iter__(self) -> Any:
        return iter(self._models.values())

    def find(self, name: str | None) -> ServedModel:
        """The model of a name, or the first.

        Raises:
            ApiError: there is none.
        """
        if name is None:
            return next(iter(self._models.values()))
        model = self._models.get(name)
        if model is None:
            raise ApiError(
                404,
                f"There is no model {name[:100]!r} here; there are {', '.join(self._models)}.",
                code="model_not_found",
                param="model",
            )
        return model


def too_long(what: str, context: int, param: str) -> ApiError:
    """The error for a prompt that does not fit, with the code that clients know."""
    return ApiError(
        400,
        f"The prompt has {what}, but prompt and answer together must fit the model's context of {context} tokens.",
        code="context_length_exceeded",
        param=param,
    )
