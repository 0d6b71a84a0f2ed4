"""The admin API: all builds. Their ids open them, so that only operators see the list."""

from __future__ import annotations

from typing import Any

from litestar import Request, delete, get

from services.gateway.api.admin.repository import Actor
from services.gateway.api.builds import Build, checked_or_lock, shown
from services.gateway.api.types import Page, Removed
from services.gateway.builds.builds import Builds
from services.gateway.http.base_urls import BaseUrls


@get("/api/v1/admin/builds", summary="All builds")
async def listed(request: Request[Any, Any, Any], builds: Builds, base_urls: BaseUrls) -> Page[Build]:
    """Those that are recorded, then the sealed ones, the newest first; at most 500."""
    return Page([shown(each, request, base_urls) for each in await builds.all()])


@delete("/api/v1/admin/builds/{id:str}", summary="Remove a build", status_code=200)
async def remove(builds: Builds, actor: Actor, id: str) -> Removed:
    """An open one records no more; of a sealed one nothing is kept that nothing else needs. `lock-KEY`: the
    view of a lock, which is made again where that lock is kept; one that came in a bundle is gone."""
    await builds.remove(checked_or_lock(id), actor.name, actor.request_id)
    return Removed(id)


HANDLERS = [listed, remove]
