"""Builds that were recorded, for operators: a build's id opens it."""

from __future__ import annotations

from litestar import get
from litestar.response import Template

from services.gateway.api.builds import Build, BuildDetail
from services.gateway.api.types import Page
from services.gateway.pages.asking import Ask, path_of

SHOWN = 500  # answers of one build


@get("/builds")
async def builds(ask: Ask, cursor: str = "") -> Template:
    """All builds."""
    found = await ask.part(ask.get(path_of("admin", "builds"), Page[Build], cursor=cursor))
    return ask.page("builds/builds.html", "Builds", found=found, cursor=cursor)


@get("/builds/{id:str}")
async def build(ask: Ask, id: str) -> Template:
    """One, with what it got."""
    found = await ask.get(path_of("builds", id), BuildDetail)
    return ask.page("builds/build.html", "Build", build=found, most=SHOWN)


HANDLERS = [builds, build]
