"""Upstreams: whether each can be asked, and what operators do about it."""

from __future__ import annotations

import asyncio

from litestar import Response, get, post
from litestar.response import Template

from services.gateway.api.admin.upstream_types import Upstream
from services.gateway.api.stock import UpstreamState
from services.gateway.api.types import Page
from services.gateway.pages.asking import Ask, path_of
from shared.sources.answers import UpstreamTest


@get("/upstreams")
async def upstreams(ask: Ask) -> Template:
    """All of them, in the order in which they are asked."""
    return await _shown(ask)


async def _shown(ask: Ask, tested: int = 0, test: UpstreamTest | None = None) -> Template:
    states, known = await asyncio.gather(
        ask.part(ask.get(path_of("upstreams"), Page[UpstreamState])), ask.part(_known(ask))
    )
    found = states.value.items if states.value is not None else []
    return ask.page(
        "upstreams/upstreams.html",
        "Upstreams",
        states=states,
        answered={(each.protocol, each.name): each.answered for each in found},
        known=known,
        tested=tested,
        test=test,
    )


async def _known(ask: Ask) -> list[Upstream]:
    """With their addresses, for operators."""
    if not ask.reader.is_operator:
        return []
    return (await ask.get(path_of("admin", "upstreams"), Page[Upstream])).items


@post("/upstreams/{upstream:int}/test", status_code=200)
async def test(ask: Ask, upstream: int) -> Template:
    """Ask it now, and show what it said."""
    project = (await ask.form()).get("project", "")
    path = path_of("admin", "upstreams", upstream, "test")
    return await _shown(ask, upstream, await ask.send("POST", path, UpstreamTest, project=project))


@post("/upstreams/{upstream:int}/pause", status_code=200)
async def pause(ask: Ask, upstream: int) -> Response[bytes]:
    """Have it asked no more."""
    await ask.send("PATCH", path_of("admin", "upstreams", upstream), Upstream, {"enabled": False})
    return ask.go("upstreams", "paused")


@post("/upstreams/{upstream:int}/resume", status_code=200)
async def resume(ask: Ask, upstream: int) -> Response[bytes]:
    """Have it asked again."""
    await ask.send("PATCH", path_of("admin", "upstreams", upstream), Upstream, {"enabled": True})
    return ask.go("upstreams", "resumed")


HANDLERS = [upstreams, test, pause, resume]
