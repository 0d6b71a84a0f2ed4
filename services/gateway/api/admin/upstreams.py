"""The admin API: upstream sources, pins, and the invalidation of cached pages."""

from __future__ import annotations

import asyncio
from typing import Annotated

import msgspec
from litestar import delete, get, patch, post, put
from litestar.params import Parameter

from services.gateway.api.admin import checks
from services.gateway.api.admin.fetcher_desk import FetcherDesk
from services.gateway.api.admin.repository import Actor, AdminRepository
from services.gateway.api.admin.upstream_types import (
    Invalidated,
    Invalidation,
    NewPin,
    NewUpstream,
    Pin,
    Upstream,
    UpstreamChange,
)
from services.gateway.api.left_alone import left_alone
from services.gateway.api.parameters import Cursor, Limit, check_limit, page_of, read_cursor
from services.gateway.api.types import Page, Removed
from shared.cache.keys import Category
from shared.cache.service import CacheService
from shared.errors import Conflict, InvalidParameter
from shared.errors.passing import CacheUnavailable
from shared.protocols.resource import ABSENT
from shared.settings import upstream_variable
from shared.sources.answers import UpstreamTest
from shared.sources.urls import origin_text

_PINS_LIMIT = 500


@get("/api/v1/admin/upstreams", summary="Upstream sources")
async def upstreams(repository: AdminRepository, cache: CacheService, protocol: str = "") -> Page[Upstream]:
    """In the order in which they are asked, protocol by protocol; without secrets."""
    if protocol:
        checks.protocol_of(protocol)
    found = await repository.upstreams(protocol)
    return Page(await asyncio.gather(*(_as_seen(cache, each) for each in found)))


async def _as_seen(cache: CacheService, upstream: Upstream) -> Upstream:
    """The source with what fetchers have seen of it: open breakers, which Orchard it is. Without that while
    the cache Redis is away."""
    try:
        alone, orchard = await asyncio.gather(
            left_alone(cache, upstream.protocol, upstream.id),
            cache.read_installation(upstream.protocol, upstream.id),
        )
    except CacheUnavailable:
        return upstream
    failing = alone[0].reason if alone else ""
    return msgspec.structs.replace(upstream, failing=failing, left_alone=alone, orchard=orchard)


@post("/api/v1/admin/upstreams", summary="Make an upstream source")
async def add_upstream(
    repository: AdminRepository, actor: Actor, desk: FetcherDesk, data: NewUpstream
) -> Upstream:
    """In use everywhere within a second. Its credentials are sealed by a fetcher before they are stored."""
    checks.protocol_of(data.protocol)
    url = checks.source_url(data.url)
    credentials = checks.credentials(data.username, data.password, data.token, data.credential_hosts)
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
    sealed = await desk.seal(url, credentials)
    return await repository.add_upstream(actor, [*values, sealed])


@get(
    "/api/v1/admin/upstreams/{upstream_id:int}",
    summary="One upstream source",
)
async def upstream(repository: AdminRepository, cache: CacheService, upstream_id: int) -> Upstream:
    """One source, without its secrets."""
    return await _as_seen(cache, await repository.upstream(upstream_id))


@patch(
    "/api/v1/admin/upstreams/{upstream_id:int}",
    summary="Pause, reorder or change an upstream source",
)
async def change_upstream(
    repository: AdminRepository, actor: Actor, desk: FetcherDesk, upstream_id: int, data: UpstreamChange
) -> Upstream:
    """In force everywhere within a second. Credentials go with the address: another host needs them anew."""
    known = await repository.upstream(upstream_id)
    secrets = [data.username, data.password, data.token]
    given = any(each is not None for each in secrets)
    url = checks.source_url(data.url) if data.url is not None else None
    if known.origin == "env" and (given or url is not None):
        raise Conflict(
            f"{known.name} follows {upstream_variable(known.protocol)}: "
            "its address and credentials are changed there",
            hint="Change the variable and start Orchard again; all else can be changed here.",
        )
    if url is not None and origin_text(url) != origin_text(known.url) and known.has_credentials and not given:
        raise InvalidParameter('url: of another host; give its credentials with it (or all three as "")')
    sealed = None
    if given:
        credentials = checks.credentials(
            data.username or "", data.password or "", data.token or "", data.credential_hosts or []
        )
        sealed = await desk.seal(url or known.url, credentials)
    elif data.credential_hosts is not None:
        raise InvalidParameter("credential_hosts: goes with the credentials; give them with it")
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
    return await repository.change_upstream(actor, upstream_id, values)


@delete(
    "/api/v1/admin/upstreams/{upstream_id:int}",
    summary="Remove an upstream source",
    status_code=200,
)
async def drop_upstream(repository: AdminRepository, actor: Actor, upstream_id: int) -> Removed:
    """What it served stays; names pinned to it are asked nowhere until they are unpinned."""
    gone = await repository.drop_upstream(actor, upstream_id)
    return Removed(f"{gone.protocol}/{gone.name}")


@post(
    "/api/v1/admin/upstreams/{upstream_id:int}/test",
    summary="Ask an upstream source now",
    status_code=200,
)
async def test_upstream(
    repository: AdminRepository,
    desk: FetcherDesk,
    upstream_id: int,
    project: Annotated[str, Parameter(description="Ask for this project's index; else for the root")] = "",
) -> UpstreamTest:
    """By a fetcher, with the source's credentials, paused or not. Returns the outcome and changes nothing."""
    known = await repository.upstream(upstream_id)
    name = checks.project_of(known.protocol, project, "project") if project else ""
    return await desk.test(known.protocol, upstream_id, name)


@get(
    "/api/v1/admin/pins",
    summary="Projects and the source that each is pinned to",
)
async def pins(
    repository: AdminRepository,
    protocol: str = "",
    prefix: str = "",
    limit: Limit = _PINS_LIMIT,
    cursor: Cursor = "",
) -> Page[Pin]:
    """By protocol and name."""
    if protocol:
        checks.protocol_of(protocol)
    after = read_cursor(cursor, str, str)
    rows = await repository.pins(protocol, prefix, after, check_limit(limit) + 1)
    return page_of(rows, limit)


@put(
    "/api/v1/admin/pins/{protocol:str}/{project:path}",
    summary="Pin a project",
)
async def set_pin(
    repository: AdminRepository, actor: Actor, cache: CacheService, protocol: str, project: str, data: NewPin
) -> NewPin:
    """Pin a project to one source or several, replacing an earlier pin; or a group, by its pattern."""
    name = checks.pinned_name(protocol, project)
    if not 1 <= len(data.sources) <= checks.MOST_PATTERNS:
        raise InvalidParameter("sources: the names of one upstream or several")
    group = checks.protocol_of(protocol).names.group_prefix(name)
    await repository.set_pin(actor, protocol, name, data.sources, group)
    await _forget_pinned(repository, cache, protocol, name)
    return data


@delete(
    "/api/v1/admin/pins/{protocol:str}/{project:path}",
    summary="Unpin a project",
    status_code=200,
)
async def drop_pin(
    repository: AdminRepository, actor: Actor, cache: CacheService, protocol: str, project: str
) -> Removed:
    """Remove a pin. The project's pages are fetched again, from all sources in order."""
    name = checks.project_of(protocol, project, "project")
    try:
        await repository.drop_pin(actor, protocol, name)
    finally:  # where it is not pinned any more, too: the cache may have been away when that was made so
        await _forget_pinned(repository, cache, protocol, name)
    return Removed(f"{protocol}/{name}")


@post(
    "/api/v1/admin/cache/invalidate",
    summary="Have pages asked for again",
    status_code=200,
)
async def invalidate(
    repository: AdminRepository, actor: Actor, cache: CacheService, data: Invalidation
) -> Invalidated:
    """Removes cached pages; the last good copies stay for when an upstream is away. Files never change."""
    checks.protocol_of(data.protocol)
    if bool(data.project) == data.all:
        raise InvalidParameter("project: name one, or say all")
    subject = data.protocol
    if data.all:
        count = await cache.invalidate(Category.PACKAGE_INDEX, data.protocol)
    else:
        name = checks.project_of(data.protocol, data.project, "project")
        subject += f"/{name}"
        count = await _forget(repository, cache, data.protocol, name)
    after = {"invalidated": count}
    await repository.note(actor, "cache.invalidate", subject, after)
    return Invalidated(count)


async def _forget_pinned(
    repository: AdminRepository, cache: CacheService, protocol: str, project: str
) -> None:
    group = checks.protocol_of(protocol).names.group_prefix(project)
    if group:
        await repository.forget_absences(protocol, project, group)
        await cache.invalidate(Category.PACKAGE_INDEX, protocol)
    else:
        await _forget(repository, cache, protocol, project)


async def _forget(repository: AdminRepository, cache: CacheService, protocol: str, project: str) -> int:
    identities = {checks.protocol_of(protocol).grammar.index_identity(project)}
    identities.update(await repository.pages_of(protocol, project))
    identities.update(await repository.forget_absences(protocol, project))
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
