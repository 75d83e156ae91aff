"""The chat page: static files, and the headers under which a browser may use them.

The policy lets the page load and talk to nothing but this server, and run no script that stands in a text, so what a
model writes stays text even if the page had a hole.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files

from fastapi import APIRouter
from fastapi.responses import Response

from lumilab.serving.errors import ApiError

POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "connect-src 'self'",
        "img-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}
TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}

router = APIRouter()


@cache
def page_files() -> dict[str, tuple[bytes, str]]:
    """Content and type of each file of the page, by name. No other file can be asked for."""
    found = {}
    for entry in files(__package__).iterdir():
        kind = TYPES.get("." + entry.name.rpartition(".")[2])
        if kind is not None:
            found[entry.name] = (entry.read_bytes(), kind)
    return found


@router.get("/", include_in_schema=False)
async def front() -> Response:
    """The page."""
    return await file("index.html")


@router.get("/page/{name:path}", include_in_schema=False)
async def file(name: str) -> Response:
    """A file of the page."""
    found = page_files().get(name)
    if found is None:
        raise ApiError(404, "The page has no such file.", code="not_found")
    return Response(found[0], media_type=found[1], headers=HEADERS)
