"""The admin API: upstream sources, the pins to them, and pages to ask for again."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

import msgspec
from litestar import Request, delete, get, patch, post, put
from litestar.params import Parameter

from services.gateway import admin_checks as checks
from services.gateway.cursors import check_limit, page_of, read_cursor
from services.gateway.routes.admin_guard import actor_of, admin_only, repository_of
from services.gateway.routes.api_catalogue import Cursor, Limit, gateway_of
from shared.admin_types import (
    Invalidated,
    Invalidation,
    LeftAlone,
    NewPin,
    NewUpstream,
    Pin,
    Removed,
    Upstream,
    UpstreamChange,
    UpstreamTest,
)
from shared.api_types import Page
from shared.cache import Category
from shared.errors import CacheUnavailable, Conflict, InvalidParameter
from shared.protocols.resource import ABSENT
from shared.source_urls import origin_text

_TAGS = ["admin"]
_PINS_LIMIT = 500


@get("/api/v1/admin/upstreams", summary="Upstream sources", tags=_TAGS, guards=[admin_only])
async def upstreams(request: Request[Any, Any, Any], protocol: str = "") -> Page[Upstream]:
    """In the order in which they are asked, protocol by protocol; without secrets."""
    if protocol:
        checks.protocol_of(protocol)
    found = await repository_of(request).upstreams(protocol)
    return Page(await asyncio.gather(*(_with_breaker(request, each) for each in found)))


async def _with_breaker(request: Request[Any, Any, Any], upstream: Upstream) -> Upstream:
    """The source with what its fetchers found; without the cache that is not known here."""
    try:
        found = await gateway_of(request).cache.open_breakers(upstream.protocol, upstream.id)
    except CacheUnavailable:
        return upstream
    alone = [LeftAlone(each.name, each.reason, each.message, round(each.left_seconds, 1)) for each in found]
    return msgspec.structs.replace(upstream, failing=alone[0].reason if alone else "", left_alone=alone)


@post("/api/v1/admin/upstreams", summary="Make an upstream source", tags=_TAGS, guards=[admin_only])
async def add_upstream(request: Request[Any, Any, Any], data: NewUpstream) -> Upstream:
    """In use everywhere within a second. Its credentials are sealed by a fetcher before they are kept."""
    checks.protocol_of(data.protocol)
    url = checks.source_url(data.url)
    username, password = checks.secret("username", data.username), checks.secret("password", data.password)
    token = checks.secret("token", data.token)
    checks.credentials_fit(username, password, token)
    values = [
        data.protocol,
        checks.source_name(data.name),
        url,
        checks.priority(data.priority),
        data.enabled,
        data.allow_private,
        checks.patterns("patterns", data.patterns),
        checks.patterns("exclude", data.exclude),
        checks.hosts(data.allowed_hosts),
        checks.options(data.options),
    ]
    sealed = await gateway_of(request).desk.seal(url, username, password, token)
    return await repository_of(request).add_upstream(actor_of(request), [*values, sealed])


@get(
    "/api/v1/admin/upstreams/{upstream_id:int}",
    summary="One upstream source",
    tags=_TAGS,
    guards=[admin_only],
)
async def upstream(request: Request[Any, Any, Any], upstream_id: int) -> Upstream:
    """Without secrets."""
    return await _with_breaker(request, await repository_of(request).upstream(upstream_id))


@patch(
    "/api/v1/admin/upstreams/{upstream_id:int}",
    summary="Pause, reorder or change an upstream source",
    tags=_TAGS,
    guards=[admin_only],
)
async def change_upstream(
    request: Request[Any, Any, Any], upstream_id: int, data: UpstreamChange
) -> Upstream:
    """In force everywhere within a second. Credentials go with the address: another host needs them anew."""
    repository = repository_of(request)
    known = await repository.upstream(upstream_id)
    secrets = [data.username, data.password, data.token]
    given = any(each is not None for each in secrets)
    url = checks.source_url(data.url) if data.url is not None else None
    if known.origin == "env" and (given or url is not None):
        raise Conflict(
            f"{known.name} follows ORCHARD_{known.protocol.upper()}_UPSTREAM: "
            "its address and credentials are changed there"
        )
    if url is not None and origin_text(url) != origin_text(known.url) and known.has_credentials and not given:
        raise InvalidParameter('url: of another host; give its credentials with it (or all three as "")')
    sealed = None
    if given:
        username = checks.secret("username", data.username or "")
        password = checks.secret("password", data.password or "")
        token = checks.secret("token", data.token or "")
        checks.credentials_fit(username, password, token)
        sealed = await gateway_of(request).desk.seal(url or known.url, username, password, token)
    values = [
        data.enabled,
        None if data.priority is None else checks.priority(data.priority),
        url,
        data.allow_private,
        None if data.patterns is None else checks.patterns("patterns", data.patterns),
        None if data.exclude is None else checks.patterns("exclude", data.exclude),
        None if data.allowed_hosts is None else checks.hosts(data.allowed_hosts),
        None if data.options is None else checks.options(data.options),
        sealed,
        known.url,
    ]
    return await repository.change_upstream(actor_of(request), upstream_id, values)


@delete(
    "/api/v1/admin/upstreams/{upstream_id:int}",
    summary="Remove an upstream source",
    tags=_TAGS,
    guards=[admin_only],
    status_code=200,
)
async def drop_upstream(request: Request[Any, Any, Any], upstream_id: int) -> Removed:
    """What it served stays; names pinned to it are asked nowhere until they are unpinned."""
    gone = await repository_of(request).drop_upstream(actor_of(request), upstream_id)
    return Removed(f"{gone.protocol}/{gone.name}")


@post(
    "/api/v1/admin/upstreams/{upstream_id:int}/test",
    summary="Ask an upstream source now",
    tags=_TAGS,
    guards=[admin_only],
    status_code=200,
)
async def test_upstream(
    request: Request[Any, Any, Any],
    upstream_id: int,
    project: Annotated[str, Parameter(description="Ask for this project's index; else for the root")] = "",
) -> UpstreamTest:
    """By a fetcher, with the source's credentials, paused or not. Says how it went, and changes nothing."""
    known = await repository_of(request).upstream(upstream_id)
    name = checks.project_of(known.protocol, project, "project") if project else ""
    return await gateway_of(request).desk.test(known.protocol, upstream_id, name)


@get(
    "/api/v1/admin/pins",
    summary="Projects and the source that each is pinned to",
    tags=_TAGS,
    guards=[admin_only],
)
async def pins(
    request: Request[Any, Any, Any],
    protocol: str = "",
    prefix: str = "",
    limit: Limit = _PINS_LIMIT,
    cursor: Cursor = "",
) -> Page[Pin]:
    """By protocol and name."""
    if protocol:
        checks.protocol_of(protocol)
    after = read_cursor(cursor, str, str)
    rows = await repository_of(request).pins(protocol, prefix, after, check_limit(limit) + 1)
    return page_of(rows, limit)


@put(
    "/api/v1/admin/pins/{protocol:str}/{project:path}",
    summary="Pin a project",
    tags=_TAGS,
    guards=[admin_only],
)
async def set_pin(request: Request[Any, Any, Any], protocol: str, project: str, data: NewPin) -> NewPin:
    """To one source or several, over an earlier pin, and to no other. A Maven group: com.acme:*."""
    name = checks.pinned_name(protocol, project)
    if not 1 <= len(data.sources) <= checks.MOST_PATTERNS:
        raise InvalidParameter("sources: the names of one upstream or several")
    await repository_of(request).set_pin(actor_of(request), protocol, name, data.sources)
    await _forget_pinned(request, protocol, name)
    return data


@delete(
    "/api/v1/admin/pins/{protocol:str}/{project:path}",
    summary="Unpin a project",
    tags=_TAGS,
    guards=[admin_only],
    status_code=200,
)
async def drop_pin(request: Request[Any, Any, Any], protocol: str, project: str) -> Removed:
    """Its pages are asked for again, of every source in order."""
    name = checks.project_of(protocol, project, "project")
    await repository_of(request).drop_pin(actor_of(request), protocol, name)
    await _forget_pinned(request, protocol, name)
    return Removed(f"{protocol}/{name}")


@post(
    "/api/v1/admin/cache/invalidate",
    summary="Have pages asked for again",
    tags=_TAGS,
    guards=[admin_only],
    status_code=200,
)
async def invalidate(request: Request[Any, Any, Any], data: Invalidation) -> Invalidated:
    """Removes cached pages; the last good copies stay for when an upstream is away. Files never change."""
    checks.protocol_of(data.protocol)
    if bool(data.project) == data.all:
        raise InvalidParameter("project: name one, or say all")
    subject = data.protocol
    if data.all:
        count = await gateway_of(request).cache.invalidate(Category.PACKAGE_INDEX, data.protocol)
    else:
        name = checks.project_of(data.protocol, data.project, "project")
        subject += f"/{name}"
        count = await _forget(request, data.protocol, name)
    after = {"invalidated": count}
    await repository_of(request).note(actor_of(request), "cache.invalidate", subject, after)
    return Invalidated(count)


async def _forget_pinned(request: Request[Any, Any, Any], protocol: str, project: str) -> None:
    if project.endswith(":*"):  # of a whole group
        await repository_of(request).forget_absences(protocol, project)
        await gateway_of(request).cache.invalidate(Category.PACKAGE_INDEX, protocol)
    else:
        await _forget(request, protocol, project)


async def _forget(request: Request[Any, Any, Any], protocol: str, project: str) -> int:
    identities = {checks.protocol_of(protocol).index_identity(project)}
    identities.update(await repository_of(request).pages_of(protocol, project))
    identities.update(await repository_of(request).forget_absences(protocol, project))
    cache = gateway_of(request).cache
    await cache.invalidate(Category.PACKAGE_INDEX, protocol, prefix=f"{ABSENT}{project}/")
    counts = [
        await cache.invalidate(Category.PACKAGE_INDEX, protocol, identity) for identity in sorted(identities)
    ]
    return sum(1 for count in counts if count)


HANDLERS = [
    upstreams,
    add_upstream,
    upstream,
    change_upstream,
    drop_upstream,
    test_upstream,
    pins,
    set_pin,
    drop_pin,
    invalidate,
]
