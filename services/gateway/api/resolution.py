"""Resolved dependency graphs: of an artifact, of a list of requirements, by key.

Those of artifacts that are stored go past the framework: from the address to the stored bytes by one read.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl

from litestar import Request, Response, get, post

from services.gateway.api.answers import Resolutions, answered
from services.gateway.api.catalogue_rows import Catalogue
from services.gateway.api.parameters import CheckMayRefresh, check_key, check_sha256, flag, number
from services.gateway.api.types import ResolveRequest
from services.gateway.hits.l1 import L1Cache
from services.gateway.http.responses import SECURITY_HEADERS
from shared.cache.keys import Category, cache_key
from shared.errors import ArtifactNotFound, InvalidParameter, NotResolvable, OrchardError
from shared.judging.kept import BlockedGraphs
from shared.process.bounded import Bounded
from shared.protocols import PROTOCOLS, find_protocol
from shared.protocols.resolution import DEFAULT_MAX_DEPTH, ResolutionRequest
from shared.queue.jobs import Resolve
from shared.resolving.answers import resolve_job

_PARAMETERS = ("max_depth", "include_optional", "environment", "as_of", "refresh", "protocol")


WRITTEN = "Requirements are written as the protocol's own clients write them; docs/api.md shows some of each."


def resolution_request(
    protocol: str,
    options: Mapping[str, str],
    *,
    artifact: str = "",
    requirements: tuple[str, ...] = (),
) -> ResolutionRequest:
    """The canonical request of query parameters. Raises `InvalidParameter` naming the one at fault,
    `NotResolvable` for a protocol without rules."""
    for name in options:
        if name not in _PARAMETERS:
            raise InvalidParameter(f"{name[:40]}: unknown; there are {', '.join(_PARAMETERS)}")
    known = find_protocol(protocol)
    resolver = known.resolver if known is not None else None
    if resolver is None:
        raise NotResolvable(f"dependencies of {protocol[:32]!r} are not resolved yet")
    try:
        return resolver.request(
            artifact=artifact,
            requirements=requirements,
            max_depth=number("max_depth", options.get("max_depth", ""), DEFAULT_MAX_DEPTH),
            include_optional=flag("include_optional", options.get("include_optional", "")),
            environment=options.get("environment", ""),
            as_of=options.get("as_of", ""),
        )
    except InvalidParameter as error:
        raise InvalidParameter(error.message, hint=WRITTEN) from error


@get(
    "/api/v1/artifacts/{sha256:str}/resolution",
    summary="The dependency graph of an artifact",
    tags=["resolution"],
    responses={},
)
async def artifact_resolution(
    request: Request[Any, Any, Any],
    catalogue: Catalogue,
    resolutions: Resolutions,
    check_may_refresh: CheckMayRefresh,
    request_id: str,
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
    options = dict(request.query_params)
    again = flag("refresh", refresh)
    if again:
        check_may_refresh()
    if protocol:
        resolution_request(protocol, options, artifact=digest)  # a bad parameter is reported before a 404
    found = await catalogue.artifact(digest)
    names = [each.protocol for each in found.names if each.role == "file"] if found else []
    if not names or (protocol and protocol not in names):
        raise ArtifactNotFound(f"no artifact with the SHA256 {digest} is stored here")
    wanted = resolution_request(protocol or names[0], options, artifact=digest)
    path = request.scope["path"]
    query = request.scope["query_string"].decode("latin-1")
    job = resolve_job(wanted, refresh=again, request_id=request_id)
    location = f"{path}?{query}" if query and not again else path
    return answered(await resolutions.answer(job, location=location))


@post(
    "/api/v1/resolve",
    summary="The dependency graph of requirements",
    tags=["resolution"],
    status_code=200,
)
async def resolve(
    resolutions: Resolutions,
    check_may_refresh: CheckMayRefresh,
    request_id: str,
    data: ResolveRequest,
) -> Response[bytes]:
    """As for an artifact, with the requirements as roots. The order of requirements means nothing."""
    if not data.requirements:
        raise InvalidParameter("requirements: at least one is needed", hint=WRITTEN)
    if data.refresh:
        check_may_refresh()
    options = {
        "include_optional": "true" if data.include_optional else "",
        "environment": data.environment,
        "as_of": data.as_of,
        "max_depth": str(data.max_depth) if data.max_depth else "",
    }
    wanted = resolution_request(data.protocol, options, requirements=tuple(data.requirements))
    job = resolve_job(wanted, refresh=data.refresh, request_id=request_id)
    location = f"/api/v1/resolutions/{wanted.key}"
    return answered(await resolutions.answer(job, location=location))


@get("/api/v1/resolutions/{key:str}", summary="A resolution by its key", tags=["resolution"])
async def by_key(resolutions: Resolutions, key: str) -> Response[bytes]:
    """A stored resolution, or the progress of a running one; starts nothing."""
    check_key(key)
    jobs = [Resolve(protocol=each.name, key=key) for each in PROTOCOLS if each.resolver is not None]
    location = f"/api/v1/resolutions/{key}"
    return answered(await resolutions.by_key(jobs, location))


HANDLERS = [artifact_resolution, resolve, by_key]


PREFIX = b"/api/v1/artifacts/"
_PATH = re.compile(rb"/api/v1/artifacts/([0-9a-fA-F]{64})/resolution")
_REMEMBERED = 4096
_LONGEST_QUERY = 512

HeaderList = list[tuple[bytes, bytes]]


class WarmResolutions:
    """Answers from the cache alone. What it cannot answer goes through the router, errors included."""

    def __init__(self, l1: L1Cache, graphs: BlockedGraphs) -> None:
        self._l1 = l1
        self._graphs = graphs
        self._keys = Bounded[tuple[bytes, bytes], list[str]](_REMEMBERED)

    async def find(self, scope: Any, raw_path: bytes) -> bytes | None:
        """The body to answer a GET with, or None."""
        if scope["method"] != "GET":
            return None
        query: bytes = scope["query_string"]
        keys = self._keys.get((raw_path, query))
        if keys is None:
            keys = _keys(raw_path, query)
            if len(query) <= _LONGEST_QUERY:
                self._keys.put((raw_path, query), keys)
        if not keys:
            return None
        try:
            values = await self._l1.get_many(keys)
        except OrchardError:
            return None
        body = next((value for value in values if value is not None), None)
        return body if body is not None and self._graphs.is_allowed(body) else None

    @staticmethod
    def headers(body: bytes, request_id: str) -> HeaderList:
        """The headers of a stored answer."""
        return [
            (b"content-type", b"application/json"),
            (b"content-length", b"%d" % len(body)),
            (b"cache-control", b"no-cache"),
            (b"x-cache", b"HIT"),
            (b"x-request-id", request_id.encode()),
            *SECURITY_HEADERS,
        ]


def _keys(raw_path: bytes, query: bytes) -> list[str]:
    """The cache keys under which the answer may lie: one for each protocol that the bytes may be of."""
    found = _PATH.fullmatch(raw_path)
    if found is None or len(query) > _LONGEST_QUERY:
        return []
    pairs = parse_qsl(query.decode("latin-1"), keep_blank_values=True)
    options = dict(pairs)
    keys = []
    try:
        if len(options) != len(pairs) or flag("refresh", options.get("refresh", "")):
            return []
    except OrchardError:
        return []
    for protocol in PROTOCOLS:
        if protocol.resolver is None or options.get("protocol", protocol.name) != protocol.name:
            continue
        try:
            request = resolution_request(protocol.name, options, artifact=found[1].decode().lower())
        except OrchardError:
            continue
        keys.append(cache_key(Category.DEPENDENCY_RESOLUTION, protocol.name, request.key))
    return keys
