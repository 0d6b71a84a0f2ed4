"""Ensure files: posted, asked for by key, exported for clients."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

from litestar import Request, Response, get, post
from litestar.openapi.datastructures import ResponseSpec

from services.gateway.api.answers import HEADERS, Ensures, answered
from services.gateway.api.exports import EXPORTS
from services.gateway.api.parameters import CheckMayRefresh, check_key, flag
from services.gateway.api.types import EnsureProgress
from services.gateway.http.base_urls import BaseUrls
from shared.errors import EnsureInvalid, EnsureNotFound, InvalidParameter, Offline, RequestTooLarge
from shared.errors.passing import EnsureIncomplete, Overloaded
from shared.process.threads import BoundedThreads
from shared.protocols.lock import Lock, decode_lock
from shared.queue.jobs import Ensure
from shared.resolving.ensure_file import MAX_BYTES as ENSURE_BYTES
from shared.resolving.ensure_file import (
    EnsureFile,
    manifest_kind,
    manifests,
    read_json,
    read_manifest,
    read_toml,
    refuse_manifest,
)
from shared.resolving.pinned import ENSURE_KIND, PinnedFiles, basename_of, is_pinned, kind_of, read_lock

P = ParamSpec("P")
R = TypeVar("R")

_ANSWERS = {
    200: ResponseSpec(Lock, description="The lock, complete or with what is missing"),
    202: ResponseSpec(EnsureProgress, description="In the making: ask `location` again"),
}
_MOST_WAITING = 16
_INLINE_BYTES = 8 * 1024  # read on the loop: most ensure files are smaller
_EXPORTED_INLINE_BYTES = 64 * 1024  # of a lock; a larger one is exported off the loop


def _read(body: bytes, content_type: str, kind: str, name: str) -> EnsureFile | PinnedFiles:
    kind = kind or manifest_kind(basename_of(name)) or kind_of(name, body)
    if kind and kind != ENSURE_KIND and kind not in manifests():
        return read_lock(kind, body)
    if not kind:
        refuse_manifest(basename_of(name))
    if len(body) > ENSURE_BYTES:
        raise RequestTooLarge(
            f"an ensure file has at most {ENSURE_BYTES} bytes", hint="A lock is told by name= or kind=."
        )
    try:
        text = body.decode()
    except UnicodeDecodeError as error:
        before = body[: error.start]
        line, column = before.count(b"\n") + 1, error.start - before.rfind(b"\n")
        raise EnsureInvalid(f"line {line}, column {column}: this is not UTF-8") from None
    if kind in manifests():
        return read_manifest(kind, text)
    if content_type.partition(";")[0].strip().lower() == "application/json":
        return read_json(text)
    return read_toml(text.removeprefix("\ufeff"))


@post(
    "/api/v1/ensure",
    summary="Resolve an ensure file and have all of it stored",
    tags=["ensure"],
    status_code=200,
    responses=_ANSWERS,
)
async def ensure(
    request: Request[Any, Any, Any],
    ensures: Ensures,
    parsers: BoundedThreads,
    check_may_refresh: CheckMayRefresh,
    request_id: str,
    refresh: str = "",
    kind: str = "",
    name: str = "",
) -> Response[bytes]:
    """The body is an ensure file: TOML, or JSON of the same shape (`Content-Type: application/json`); or a
    lock of some client, told by `kind`, else by the `name` of its file and by its content.

    200 with the lock, the same bytes for ever once it was complete; 202 with how far it is: ask its
    `location` again. 422 for a file that is wrong, with line and column, and when no versions fit."""
    again = flag("refresh", refresh)
    if again:
        check_may_refresh()
    body, content_type = await request.body(), request.headers.get("content-type", "")
    file = await parsed(parsers, len(body), _read, body, content_type, kind, name)
    job = Ensure(
        key=file.key,
        document=file.document,
        refresh=again,
        request_id=request_id,
        protocols=file.spoken,
    )
    return answered(await ensures.answer(job, location=_location(file.key)))


@get("/api/v1/ensures/{key:str}", summary="An ensure by its key", tags=["ensure"], responses=_ANSWERS)
async def by_key(ensures: Ensures, key: str) -> Response[bytes]:
    """The same answers as to the file itself; starts nothing."""
    return answered(await _by_key(ensures, check_key(key)))


@get("/api/v1/ensures/{key:str}/exports/{name:str}", summary="A lock as clients take it", tags=["ensure"])
async def export(
    request: Request[Any, Any, Any], ensures: Ensures, base_urls: BaseUrls, key: str, name: str
) -> Response[bytes]:
    """A file that clients take as it is: requirements.txt, package-lock.json, bom.cdx.json, …"""
    check_key(key)
    if name not in EXPORTS:
        raise InvalidParameter(f"name: expected one of {', '.join(EXPORTS)}")
    host = request.headers.get("host", "").encode("latin-1", "replace")
    base_url = base_urls.choose(host, request.scope["scheme"])
    found = await _by_key(ensures, key)
    if not isinstance(found, bytes):
        raise EnsureIncomplete(f"it is still {found.phase}")
    if len(found) <= _EXPORTED_INLINE_BYTES:
        body = _exported(found, name, base_url)
    else:
        body = await asyncio.to_thread(_exported, found, name, base_url)
    headers = {**HEADERS, "content-disposition": f'attachment; filename="{name}"'}
    return Response(body, media_type=EXPORTS[name][1].content_type, headers=headers)


def _exported(body: bytes, name: str, base_url: str) -> bytes:
    """Raises `EnsureNotFound` where the ensure file has no such table, `EnsureIncomplete`."""
    lock: Lock = decode_lock(body)
    protocol, export = EXPORTS[name]
    if not lock.complete:
        first = lock.missing[0]
        said = f"{len(lock.missing)} files or projects are missing: {first.name}: {first.reason}"
        if any(each.reason.startswith(f"{Offline.code}:") for each in lock.missing):
            raise EnsureIncomplete(said, hint=Offline.hint)
        passing = any(each.passing for each in lock.missing)
        raise EnsureIncomplete(
            said, hint="" if passing else "No retry brings it: see the reasons in the lock."
        )
    if protocol and protocol not in lock.protocols:
        raise EnsureNotFound(f"this ensure file has no table [{protocol}], so no {name}")
    if is_pinned(lock.ensure) and not export.of_pins:
        raise EnsureNotFound(f"this is a lock of files alone: {name} would need what they were chosen for")
    return export.render(lock, base_url)


async def parsed(
    parsers: BoundedThreads, size_bytes: int, read: Callable[P, R], *args: P.args, **kwargs: P.kwargs
) -> R:
    """What `read` makes of a body of this size: a fifth of a second for the largest, which no other request
    waits for. Raises `Overloaded`, and what `read` raises."""
    if size_bytes <= _INLINE_BYTES:
        return read(*args, **kwargs)
    if parsers.waiting >= _MOST_WAITING:
        raise Overloaded(f"{_MOST_WAITING} ensure files or locks wait to be read")
    return await parsers.run(read, *args, **kwargs)


def _location(key: str) -> str:
    return f"/api/v1/ensures/{key}"


async def _by_key(ensures: Ensures, key: str) -> bytes | EnsureProgress:
    return await ensures.by_key([Ensure(key=key, document="")], _location(key))


HANDLERS = [ensure, by_key, export]
