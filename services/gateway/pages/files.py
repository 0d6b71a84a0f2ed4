"""The files of the pages."""

from __future__ import annotations

from typing import Any

from litestar import Request, Response, get

from services.gateway.pages.assets import ASSETS
from services.gateway.pages.layout import HEADERS
from shared.errors import RouteNotFound

_HEADERS = {
    **HEADERS,
    "cache-control": "no-cache",
}  # revalidated each time: a page must not outlive an upgrade


@get("/assets/{name:str}")
async def asset(request: Request[Any, Any, Any], name: str) -> Response[bytes]:
    """A file that a page uses."""
    found = ASSETS.get(name)
    if found is None:
        raise RouteNotFound("nothing is served at this address")
    headers = {**_HEADERS, "etag": found.etag, "content-type": found.content_type}
    if request.headers.get("if-none-match") == found.etag:
        return Response(b"", status_code=304, headers=headers)
    return Response(found.body, headers=headers)


HANDLERS = [asset]
