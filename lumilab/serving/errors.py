"""Everything that can go wrong, in the one shape that clients of OpenAI's API understand.

A body is `{"error": {"message", "type", "param", "code"}}` whatever went wrong: a wrong path, a body that is no JSON, a
full queue, a defect of ours. The `openai` package makes its exceptions of the status, so the status is what counts: 400
for a request that can never work, 401 without a key, 404 for what is not there, 408 for a body that does not come, 413
for one that is too large, 429 when the queue is full, 503 while the server stops, 504 when it took too long.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import HTTPException, RequestValidationError
from fastapi.responses import Response

from lumilab.errors import ConfigError, InputError, LumiError, ResourceError
from lumilab.inference.requests import QueueFull, ServiceClosed

BAD_REQUEST = "invalid_request_error"
SERVER_ERROR = "server_error"
RETRY_SECONDS = 1  # a step takes milliseconds; who waits so long finds another queue
CLIENT_GONE = 499  # nobody reads it; the number is nginx's, for the log

_log = logging.getLogger("lumilab.serving")


class ApiError(HTTPException):
    """A request that is answered with an error.

    Args:
        status: of the HTTP response.
        message: for the person who reads it.
        code: for the program that does.
        param: the field of the request that is to blame.
        type: OpenAI's kind of error.
        headers: for the response.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        code: str | None = None,
        param: str | None = None,
        type: str = BAD_REQUEST,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(status, message, dict(headers or {}))
        self.message, self.code, self.param, self.type = message, code, param, type

    @property
    def body(self) -> dict[str, Any]:
        """What a client gets, as JSON values."""
        return {"error": {"message": self.message, "type": self.type, "param": self.param, "code": self.code}}

    def response(self) -> JsonResponse:
        """The same as a response."""
        return JsonResponse(self.body, self.status_code, self.headers)


class JsonResponse(Response):
    """JSON in ASCII: a message may quote what a client sent, and not all of that has a UTF-8 form."""

    media_type = "application/json"

    def __init__(self, content: Any, status_code: int = 200, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(json.dumps(content).encode("ascii"), status_code, dict(headers or {}))


def api_error(error: Exception) -> ApiError:
    """What a client is told of an error of the rooms below."""
    match error:
        case ApiError():
            return error
        case QueueFull():
            retry = {"Retry-After": str(RETRY_SECONDS)}
            return ApiError(429, str(error), code="queue_full", type="rate_limit_error", headers=retry)
        case ServiceClosed():
            retry = {"Retry-After": str(RETRY_SECONDS)}
            return ApiError(503, str(error), code="unavailable", type=SERVER_ERROR, headers=retry)
        case InputError() | ConfigError():
            return ApiError(400, str(error))
        case ResourceError():
            return ApiError(503, str(error), code="unavailable", type=SERVER_ERROR)
        case _:
            return ApiError(500, "The server failed; its log says why.", code="internal_error", type=SERVER_ERROR)


def install_error_handlers(app: FastAPI) -> None:
    """Gives every error of an app OpenAI's shape."""

    async def known(request: Request, error: Exception) -> Response:
        return api_error(error).response()

    async def unknown(request: Request, error: Exception) -> Response:
        _log.error("a request failed", exc_info=error)
        return api_error(error).response()

    for kind in (ApiError, LumiError):
        app.add_exception_handler(kind, known)
    app.add_exception_handler(Exception, unknown)
    app.add_exception_handler(RequestValidationError, _invalid)
    for status in (400, 404, 405):
        app.add_exception_handler(status, _refused_by_the_framework)


async def _refused_by_the_framework(request: Request, error: Exception) -> Response:
    if isinstance(error, ApiError):
        return error.response()
    status: int = getattr(error, "status_code", 400)
    path = request.url.path[:200]
    messages = {
        400: "The body of the request cannot be read as JSON in UTF-8.",
        404: f"There is nothing at {request.method} {path}.",
        405: f"{path} does not answer to {request.method}.",
    }
    codes = {400: "invalid_json", 404: "not_found", 405: "method_not_allowed"}
    headers = getattr(error, "headers", None)
    return ApiError(status, messages[status], code=codes[status], headers=headers).response()


async def _invalid(request: Request, error: Exception) -> Response:
    """The first thing wrong with a request. What was sent is not repeated: it may be long, or secret."""
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    if first["type"] == "json_invalid":
        return ApiError(400, "The body of the request cannot be read as JSON.", code="invalid_json").response()
    if first["loc"] == ("body",):
        what = "The request needs a body: a JSON object, with the header Content-Type: application/json."
        return ApiError(400, what, code="invalid_json").response()
    place = [str(part) for part in first["loc"] if part != "body"]
    param = ".".join(place)[:200] or None
    what = str(first["msg"]).removeprefix("Value error, ")
    return ApiError(400, f"{param}: {what}" if param else what, code="invalid_value", param=param).response()
