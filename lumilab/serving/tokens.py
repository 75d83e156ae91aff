"""`/tokenize`, `/detokenize` and `/tokenizer_info`, as vLLM has them: the model's tokenizer for clients without it.

With these, lm-eval's `tokenizer_backend=remote` scores a model of which it has nothing but the server's address. Names
of special tokens in a text are those tokens here, unless `parse_special` is false, so that what `/detokenize` shows can
be turned back; in a prompt or a message they are never more than text.
"""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Request
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict, Field

from lumilab.serving.conversation import ChatMessage, messages_of
from lumilab.serving.errors import ApiError, JsonResponse
from lumilab.serving.replies import ERRORS, server_of
from lumilab.serving.sampling import TokenIds

router = APIRouter(responses=ERRORS)


class TokenizeRequest(BaseModel):
    """A text, or a conversation, to turn into token ids."""

    model_config = ConfigDict(strict=True)

    model: str | None = Field(None, description="name of the model; the server's first otherwise")
    prompt: str | None = Field(None, description="a text")
    messages: Annotated[list[ChatMessage], Field(min_length=1, max_length=4096)] | None = Field(
        None, description="or a conversation, with the header of the answer to it"
    )
    add_special_tokens: bool | None = Field(
        None, description="begin a text with the token that begins one; default true"
    )
    parse_special: bool | None = Field(
        None,
        description="take the name of a special token in the text for the token; default true, and never in messages",
    )
    return_token_strs: bool | None = Field(None, description="list the tokens' texts, too")


class DetokenizeRequest(BaseModel):
    """Token ids to turn into text."""

    model_config = ConfigDict(strict=True)

    model: str | None = Field(None, description="name of the model; the server's first otherwise")
    tokens: TokenIds = Field(description="ids of the model's vocabulary")


@router.post("/tokenize", tags=["tokenizer"])
async def tokenize(asked: TokenizeRequest, request: Request) -> Response:
    """The ids of a text or of a conversation, as a completion or a chat would have them."""
    model = server_of(request).shelf.find(asked.model)
    if (asked.prompt is None) == (asked.messages is None):
        raise ApiError(400, "Give either prompt or messages.", param="prompt")
    if asked.messages is not None:
        ids = await model.encode_chat(messages_of(asked.messages))
    else:
        begin, special = asked.add_special_tokens is not False, asked.parse_special is not False
        ids = await model.encode(asked.prompt or "", begin=begin, special=special)
    strings = [model.token_text(token) for token in ids] if asked.return_token_strs else None
    answer = {"count": len(ids), "max_model_len": model.context, "tokens": ids, "token_strs": strings}
    return JsonResponse(answer)


@router.post("/detokenize", tags=["tokenizer"])
async def detokenize(asked: DetokenizeRequest, request: Request) -> Response:
    """The text of ids; special tokens are shown by name."""
    model = server_of(request).shelf.find(asked.model)
    model.check_ids(asked.tokens, "tokens")
    return JsonResponse({"prompt": model.tokenizer.decode(asked.tokens, keep_special=True)})


@router.get("/tokenizer_info", tags=["tokenizer"])
async def tokenizer_info(request: Request, model: str | None = None) -> Response:
    """The tokenizer_config.json of a model: its special tokens and its chat template."""
    info: dict[str, Any] = server_of(request).shelf.find(model).tokenizer_config
    return JsonResponse(info)
