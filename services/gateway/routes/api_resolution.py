"""Resolved dependency graphs: of an artifact, of a list of requirements, by key."""

from __future__ import annotations

from typing import Any

import msgspec
from litestar import Request, Response, get, post

from services.gateway.resolutions import flag, resolution_request
from services.gateway.routes.api_catalogue import check_sha256, client_of, gateway_of
from shared.api_types import ResolutionProgress, ResolveRequest
from shared.catalogue import Catalogue
from shared.errors import ArtifactNotFound, InvalidParameter
from shared.protocols import PROTOCOLS
from shared.protocols.resolution import Resolution

_HEADERS = {"cache-control": "no-cache", "x-content-type-options": "nosniff"}
_MAX_BODY = 1024 * 1024


def _response(answer: bytes | ResolutionProgress) -> Response[bytes]:
    if isinstance(answer, bytes):
        return Response(answer, media_type="application/json", headers=_HEADERS)
    headers = {
        **_HEADERS,
        "cache-control": "no-store",
        "location": answer.location,
        "retry-after": str(answer.retry_after_seconds),
    }
    body = msgspec.json.encode(answer)
    return Response(body, status_code=202, media_type="application/json", headers=headers)


@get(
    "/api/v1/artifacts/{sha256:str}/resolution",
    summary="The dependency graph of an artifact",
    tags=["resolution"],
    responses={},
)
async def artifact_resolution(
    request: Request[Any, Any, Any],
    sha256: str,
    max_depth: str = "",
    include_optional: str = "",
    environment: str = "",
    as_of: str = "",
    refresh: str = "",
    protocol: str = "",
) -> Response[bytes]:
    """200 with a `Resolution`, the same for ever once it was complete; 202 with a
    `ResolutionProgress` while it is computed: ask again. 422 when no set of versions fits."""
    digest = check_sha256(sha256)
    gateway = gateway_of(request)
    options = dict(request.query_params)
    again = flag("refresh", refresh)
    if again:
        gateway.resolutions.check_token(request.headers.get("authorization", ""), client_of(request))
    if protocol:
        resolution_request(protocol, options, artifact=digest)  # a bad parameter is told before a 404
    found = await Catalogue(gateway.database).artifact(digest)
    names = [each.protocol for each in found.names if each.role == "file"] if found else []
    if not names or (protocol and protocol not in names):
        raise ArtifactNotFound(f"no artifact with the SHA256 {digest} is stored here")
    wanted = resolution_request(protocol or names[0], options, artifact=digest)
    path = request.scope["path"]
    query = request.scope["query_string"].decode("latin-1")
    answer = await gateway.resolutions.answer(
        wanted,
        location=f"{path}?{query}" if query and not again else path,
        refresh=again,
        request_id=request.headers.get("x-request-id", "")[:64],
    )
    return _response(answer)


@post(
    "/api/v1/resolve",
    summary="The dependency graph of requirements",
    tags=["resolution"],
    status_code=200,
    request_max_body_size=_MAX_BODY,
)
async def resolve(request: Request[Any, Any, Any], data: ResolveRequest) -> Response[bytes]:
    """As for an artifact, with the requirements as roots. The order of requirements means nothing."""
    gateway = gateway_of(request)
    if not data.requirements:
        raise InvalidParameter("requirements: at least one is needed")
    if data.refresh:
        gateway.resolutions.check_token(request.headers.get("authorization", ""), client_of(request))
    options = {
        "include_optional": "true" if data.include_optional else "",
        "environment": data.environment,
        "as_of": data.as_of,
        "max_depth": str(data.max_depth) if data.max_depth else "",
    }
    wanted = resolution_request(data.protocol, options, requirements=tuple(data.requirements))
    answer = await gateway.resolutions.answer(
        wanted,
        location=f"/api/v1/resolutions/{wanted.key}",
        refresh=data.refresh,
        request_id=request.headers.get("x-request-id", "")[:64],
    )
    return _response(answer)


@get("/api/v1/resolutions/{key:str}", summary="A resolution by its key", tags=["resolution"])
async def by_key(request: Request[Any, Any, Any], key: str) -> Response[bytes]:
    """What is kept or in the making; starts nothing."""
    if len(key) != 64 or not set(key) <= set("0123456789abcdef"):
        raise InvalidParameter("key: expected 64 hex digits")
    protocols = [each.name for each in PROTOCOLS if each.resolver is not None]
    location = f"/api/v1/resolutions/{key}"
    return _response(await gateway_of(request).resolutions.by_key(protocols, key, location))


HANDLERS = [artifact_resolution, resolve, by_key]
__all__ = ["HANDLERS", "Resolution"]
