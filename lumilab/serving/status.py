"""`/v1/models`, `/health` and `/metrics`: what there is, whether it works, and how much it does.

Health is not that the port answers: an engine can hang while the event loop says 200. Each engine has to make a token
within the time limit. One that is too busy to begin is well if it made other tokens meanwhile. Probes that come
together share one answer, so that nobody can keep the engine busy with them.
"""

from __future__ import annotations

import asyncio
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from lumilab.errors import LumiError
from lumilab.inference.requests import GenerationRequest, TokenEvent
from lumilab.inference.service import Ticket
from lumilab.recipe.schema import SamplingConfig
from lumilab.serving.errors import JsonResponse
from lumilab.serving.models import ServedModel
from lumilab.serving.replies import ERRORS, server_of

router = APIRouter(responses=ERRORS)


@router.get("/v1/models", tags=["models"])
async def models(request: Request) -> Response:
    """The models of this server."""
    return JsonResponse({"object": "list", "data": [_card(model) for model in server_of(request).shelf]})


@router.get("/v1/models/{name:path}", tags=["models"])
async def one_model(name: str, request: Request) -> Response:
    """One of them."""
    return JsonResponse(_card(server_of(request).shelf.find(name)))


def _card(model: ServedModel) -> dict[str, Any]:
    return {
        "id": model.name,
        "object": "model",
        "created": model.created,
        "owned_by": "lumilab",
        "max_model_len": model.context,
    }


@router.get("/health", tags=["status"])
async def health(request: Request) -> Response:
    """Whether every engine makes a token."""
    server = server_of(request)
    states = await server.probe()
    well = all(state in ("ok", "busy") for state in states.values())
    return JsonResponse({"status": "ok" if well else "failed", "models": states}, 200 if well else 503)


@router.get("/metrics", tags=["status"])
async def metrics(request: Request) -> Response:
    """Figures for Prometheus."""
    return Response(generate_latest(server_of(request).metrics.registry), media_type=CONTENT_TYPE_LATEST)


async def probe(model: ServedModel, timeout: float) -> str:
    """ "ok", "busy" or "failed": whether an engine makes a token within `timeout` seconds."""
    if not model.service.healthy():
        return "failed"
    made = model.service.statistics().generated_tokens
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[bool] = loop.create_future()

    def tell(well: bool) -> None:
        if not ended.done():
            ended.set_result(well)

    def on_event(event: TokenEvent) -> None:
        if event.finish_reason is not None:
            loop.call_soon_threadsafe(tell, event.finish_reason not in ("error", "cancelled"))

    ticket: Ticket | None = None
    try:
        ticket = model.service.submit(_one_token(model), on_event)
        well = await asyncio.wait_for(ended, timeout)
        return "ok" if well else "failed"
    except (TimeoutError, LumiError):
        if model.service.statistics().generated_tokens > made:
            return "busy"
        if ticket is None and model.service.healthy():  # no room even in the queue: look again whether it moves
            await asyncio.sleep(min(1.0, timeout))
            return "busy" if model.service.statistics().generated_tokens > made else "failed"
        return "failed"
    finally:
        if ticket is not None:
            ticket.cancel()


def _one_token(model: ServedModel) -> GenerationRequest:
    token = model.beginning[0] if model.beginning else 0
    return GenerationRequest([token], SamplingConfig(temperature=0, max_tokens=1), stop_ids=())
