"""The server put together: models, limits, routes, guard and page."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from typing import Any

from fastapi import FastAPI, Request
from fastapi.middleware.cors import CORSMiddleware

import lumilab
from lumilab.inference.requests import GenerationRequest, ServiceClosed
from lumilab.recipe.serving import ServingConfig
from lumilab.serving import chats, completions, embeddings, page, status, tokens
from lumilab.serving.errors import install_error_handlers
from lumilab.serving.generation import Generation
from lumilab.serving.guard import FACTS, App, Guard
from lumilab.serving.metrics import ServerMetrics
from lumilab.serving.models import ServedModel, Shelf

LOGGED_CHARACTERS = 10_000  # of each prompt, where prompts are logged at all


class Server:
    """What the routes share.

    Args:
        models: what is offered; the first is the default.
        config: limits and times.

    Attributes:
        draining: whether new requests are refused because the server is being stopped.
    """

    def __init__(self, models: Sequence[ServedModel], config: ServingConfig) -> None:
        self.shelf = Shelf(models)
        self.config = config
        self.metrics = ServerMetrics()
        self.metrics.watch((model.name, model.service) for model in models)
        self.draining = False
        self._probing: asyncio.Task[dict[str, str]] | None = None

    def generate(self, model: ServedModel, requests: Sequence[GenerationRequest]) -> Generation:
        """Hands requests to a model's engine.

        Raises:
            LumiError: it takes them not.
        """
        if self.draining:
            raise ServiceClosed("The server is being stopped", mend="try again when it is back.")
        return Generation(model, requests, self.metrics.clock(model.name), self.config.request_timeout)

    def note(self, request: Request, model: ServedModel, prompts: Iterable[str]) -> None:
        """Leaves word for the access log: the model and, only if the server is told to, what was asked."""
        request.scope[FACTS]["model"] = model.name
        if self.config.log_prompts:
            request.scope[FACTS]["prompts"] = [prompt[:LOGGED_CHARACTERS] for prompt in prompts]

    async def probe(self) -> dict[str, str]:
        """The state of each model's engine, by name; one probe at a time."""
        if self._probing is None or self._probing.done():
            self._probing = asyncio.ensure_future(self._probe())
        return await asyncio.shield(self._probing)

    async def _probe(self) -> dict[str, str]:
        models = list(self.shelf)
        states = await asyncio.gather(*(status.probe(model, self.config.health_timeout) for model in models))
        return {model.name: state for model, state in zip(models, states, strict=True)}

    def cut_off(self) -> None:
        """Ends all answers that are running; each says so to its client."""
        for model in self.shelf:
            model.service.close()

    def close(self) -> None:
        """Ends the engines; what is still running is cancelled."""
        for model in self.shelf:
            model.close()


def create_app(server: Server, keys: Iterable[str] = ()) -> App:
    """The ASGI application.

    Args:
        server: what it offers.
        keys: API keys; none for an open server.
    """
    # FastAPI's own pages of documentation load their scripts from elsewhere; the schema itself is enough.
    app = FastAPI(title="Lumilab", version=lumilab.__version__, docs_url=None, redoc_url=None)
    app.state.server = server
    for routes in (status, completions, chats, embeddings, tokens, page):
        app.include_router(routes.router)
    install_error_handlers(app)
    if server.config.cors_origins:
        origins = list(server.config.cors_origins)
        app.add_middleware(CORSMiddleware, allow_origins=origins, allow_methods=["GET", "POST"], allow_headers=["*"])
    app.openapi = _Schema(app, app.openapi)  # type: ignore[method-assign]
    return Guard(app, server.config, keys)


class _Schema:
    """The OpenAPI schema without FastAPI's own form of errors, which this server never sends."""

    def __init__(self, app: FastAPI, made: Any) -> None:
        self._app, self._made = app, made

    def __call__(self) -> dict[str, Any]:
        schema: dict[str, Any] = self._made()
        for methods in schema["paths"].values():
            for operation in methods.values():
                operation["responses"].pop("422", None)
        for name in ("HTTPValidationError", "ValidationError"):
            schema["components"]["schemas"].pop(name, None)
        return schema
