"""Ensure files: posted, looked after by key, exported for clients."""

from __future__ import annotations

import re
from typing import Any

import msgspec
from litestar import Request, Response, get, post
from litestar.openapi.datastructures import ResponseSpec

from services.gateway.resolutions import flag
from services.gateway.routes.api_catalogue import client_of, gateway_of
from shared.api_types import EnsureProgress
from shared.ensure_file import EnsureFile, read_json, read_toml
from shared.ensure_lock import Lock
from shared.errors import EnsureInvalid, InvalidParameter, Overloaded
from shared.exports import EXPORTS

_HEADERS = {"cache-control": "no-cache", "x-content-type-options": "nosniff"}
_ANSWERS = {
    200: ResponseSpec(Lock, description="The lock, complete or with what is missing"),
    202: ResponseSpec(EnsureProgress, description="In the making: ask `location` again"),
}
_KEY = re.compile(r"[0-9a-f]{64}")
_MOST_WAITING = 16
_INLINE_BYTES = 8 * 1024  # read on the loop: most files are smaller


def _response(answer: bytes | EnsureProgress) -> Response[bytes]:
    if isinstance(answer, bytes):
        return Response(answer, status_code=200, media_type="application/json", headers=_HEADERS)
    headers = {
        **_HEADERS,
        "cache-control": "no-store",
        "location": answer.location,
        "retry-after": str(answer.retry_after_seconds),
    }
    body = msgspec.json.encode(answer)
    return Response(body, status_code=202, media_type="application/json", headers=headers)


def _read(body: bytes, content_type: str) -> EnsureFile:
    try:
        text = body.decode()
    except UnicodeDecodeError as error:
        before = body[: error.start]
        line, column = before.count(b"\n") + 1, error.start - before.rfind(b"\n")
        raise EnsureInvalid(f"line {line}, column {column}: this is not UTF-8") from None
    if content_type.partition(";")[0].strip().lower() == "application/json":
        return read_json(text)
    return read_toml(text.removeprefix("\ufeff"))


def _check_key(key: str) -> str:
    if not _KEY.fullmatch(key):
        raise InvalidParameter("key: expected 64 hex digits")
    return key


@post(
    "/api/v1/ensure",
    summary="Resolve an ensure file and have all of it stored",
    tags=["ensure"],
    status_code=200,
    responses=_ANSWERS,
)
async def ensure(request: Request[Any, Any, Any], refresh: str = "") -> Response[bytes]:
    """The body is an ensure file: TOML, or JSON of the same shape (`Content-Type: application/json`).

    200 with the lock, the same bytes for ever once it was complete; 202 with how far it is: ask its
    `location` again. 422 for a file that is wrong, with line and column, and when no versions fit."""
    gateway = gateway_of(request)
    again = flag("refresh", refresh)
    if again:
        gateway.resolutions.check_token(request.headers.get("authorization", ""), client_of(request))
    body, content_type = await request.body(), request.headers.get("content-type", "")
    if len(body) > _INLINE_BYTES:  # a fifth of a second for the largest
        parsers = gateway.parsers
        if parsers.waiting >= _MOST_WAITING:
            raise Overloaded(f"{_MOST_WAITING} ensure files wait to be read")
        file = await parsers.run(_read, body, content_type)
    else:
        file = _read(body, content_type)
    request_id = request.headers.get("x-request-id", "")[:64]
    return _response(await gateway.ensures.answer(file, refresh=again, request_id=request_id))


@get("/api/v1/ensures/{key:str}", summary="An ensure by its key", tags=["ensure"], responses=_ANSWERS)
async def by_key(request: Request[Any, Any, Any], key: str) -> Response[bytes]:
    """The same answers as to the file itself; starts nothing."""
    return _response(await gateway_of(request).ensures.by_key(_check_key(key)))


@get("/api/v1/ensures/{key:str}/exports/{name:str}", summary="A lock as clients take it", tags=["ensure"])
async def export(request: Request[Any, Any, Any], key: str, name: str) -> Response[bytes]:
    """One of requirements.txt, package.json, package-lock.json, dependency-management.xml, bom.cdx.json."""
    _check_key(key)
    if name not in EXPORTS:
        raise InvalidParameter(f"name: expected one of {', '.join(EXPORTS)}")
    gateway = gateway_of(request)
    host = request.headers.get("host", "").encode("latin-1", "replace")
    base_url = gateway.reader.base_urls.choose(host, request.scope["scheme"])
    body, content_type = await gateway.ensures.export(key, name, base_url)
    headers = {**_HEADERS, "content-disposition": f'attachment; filename="{name}"'}
    return Response(body, media_type=content_type, headers=headers)


HANDLERS = [ensure, by_key, export]
