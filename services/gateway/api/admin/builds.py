"""The admin API: all builds. Their ids open them, so that only operators see the list."""

from __future__ import annotations

from typing import Any

from litestar import Request, delete, get

from services.gateway.api.admin.repository import Actor
from services.gateway.api.builds import Build, checked_or_lock, shown
from services.gateway.api.parameters import (
    DEFAULT_LIMIT,
    Cursor,
    Limit,
    check_limit,
    page_of,
    read_cursor,
)
from services.gateway.api.types import Page, Removed
from services.gateway.builds.builds import Builds
from services.gateway.http.base_urls import BaseUrls

_LATEST = 253_402_300_799_000_000  # microseconds of unix time: the end of 9999


@get("/api/v1/admin/builds", summary="All builds")
async def listed(
    request: Request[Any, Any, Any],
    builds: Builds,
    base_urls: BaseUrls,
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = "",
) -> Page[Build]:
    """The sealed ones, the newest first; on the first page those that are recorded stand before them."""
    after = read_cursor(cursor, int, str)
    moment, id = (after[0], after[1]) if after is not None else (_LATEST, "")
    found = await builds.sealed(min(max(0, moment), _LATEST), id, check_limit(limit) + 1)
    rows = [(shown(each, request, base_urls), [at, each.id]) for each, at in found]
    page = page_of(rows, limit)
    if after is not None:
        return page
    recorded = [shown(each, request, base_urls) for each in await builds.recorded()]
    return Page([*recorded, *page.items], page.next)


@delete("/api/v1/admin/builds/{id:str}", summary="Remove a build", status_code=200)
async def remove(builds: Builds, actor: Actor, id: str) -> Removed:
    """An open one records no more; of a sealed one nothing is kept that nothing else needs. `lock-KEY`: the
    view of a lock, which is made again where that lock is kept; one that came in a bundle is gone."""
    await builds.remove(checked_or_lock(id), actor.name, actor.request_id)
    return Removed(id)


HANDLERS = [listed, remove]
