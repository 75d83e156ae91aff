"""`/v1/embeddings`: texts as directions, the mean of the model's last hidden states, of length 1.

A language model of this size was not trained to place texts by meaning, and the mean of its hidden states is the plain
baseline of the field (Reimers and Gurevych 2019, "Sentence-BERT", section 3, MEAN pooling). Texts go through the model
one by one, between the engine's steps, so that running answers go on.
"""

from __future__ import annotations

import asyncio
import base64
from typing import Annotated, Any, Literal, cast

import torch
from fastapi import APIRouter, Request
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict, Field

from lumilab.inference.engine import Engine
from lumilab.serving.errors import ApiError, JsonResponse
from lumilab.serving.generation import while_connected
from lumilab.serving.models import ServedModel
from lumilab.serving.replies import ERRORS, server_of
from lumilab.serving.sampling import TokenIds, refuse

MAX_INPUTS = 2048  # OpenAI's

router = APIRouter(responses=ERRORS)


class EmbeddingRequest(BaseModel):
    """Texts, or their token ids."""

    model_config = ConfigDict(strict=True)

    model: str | None = Field(None, description="name of the model; the server's first otherwise")
    input: (
        str
        | TokenIds
        | Annotated[list[str], Field(min_length=1, max_length=MAX_INPUTS)]
        | Annotated[list[TokenIds], Field(min_length=1, max_length=MAX_INPUTS)]
    ) = Field(description="a text or token ids, one or several")
    encoding_format: Literal["float", "base64"] | None = Field(None, description="base64: little-endian float32")
    dimensions: int | None = Field(None, description="refused")
    user: str | None = Field(None, description="passed over")

    @property
    def inputs(self) -> list[str] | list[list[int]]:
        """The inputs as a list of them."""
        if isinstance(self.input, str):
            return [self.input]
        if self.input and isinstance(self.input[0], int):
            return [self.input]  # type: ignore[list-item]
        return cast("list[str] | list[list[int]]", self.input)


@router.post("/v1/embeddings", tags=["generation"])
async def embeddings(asked: EmbeddingRequest, request: Request) -> Response:
    """Places texts by their mean hidden state."""
    server = server_of(request)
    model = server.shelf.find(asked.model)
    refuse(asked.dimensions is not None, "dimensions", "a direction has the model's own width.")
    texts = [await _ids(model, text) for text in asked.inputs]
    server.note(request, model, prompts=[model.tokenizer.decode(ids) for ids in texts])
    vectors = await while_connected(request, _all_embedded(model, texts))
    data = [
        {"object": "embedding", "index": index, "embedding": _encoded(vector, asked.encoding_format)}
        for index, vector in enumerate(vectors)
    ]
    tokens = sum(map(len, texts))
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return JsonResponse({"object": "list", "model": model.name, "data": data, "usage": usage})


@torch.no_grad()
def embed(engine: Engine, ids: list[int]) -> torch.Tensor:
    """The direction [width] (float32, CPU) of a text's token ids."""
    states = engine.model.features(torch.tensor([ids], device=engine.device))[0].float()
    return torch.nn.functional.normalize(states.mean(0), dim=0).cpu()


async def _ids(model: ServedModel, text: str | list[int]) -> list[int]:
    if isinstance(text, str):
        ids = await model.encode(text, param="input")
    else:
        model.check_ids(text, "input")
        ids = text
    if not ids:
        raise ApiError(400, "An input is empty.", param="input")
    model.check_room(len(ids), "input", answer=False)
    return ids


async def _all_embedded(model: ServedModel, texts: list[list[int]]) -> list[torch.Tensor]:
    engine = model.service.engine

    def work(ids: list[int]) -> Any:
        return lambda: embed(engine, ids)

    return [await asyncio.wrap_future(model.service.call(work(ids))) for ids in texts]


def _encoded(vector: torch.Tensor, form: str | None) -> list[float] | str:
    if form == "base64":
        return base64.b64encode(vector.numpy().astype("<f4").tobytes()).decode()
    numbers: list[float] = vector.tolist()
    return numbers
