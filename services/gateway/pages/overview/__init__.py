"""Home, and search: problems first, then what is stored and what that saved."""

from __future__ import annotations

import asyncio
import time
from typing import Any, cast

import msgspec
from litestar import Request, Response, get
from litestar.response import Template

from services.gateway.api.admin.event_rows import MUTATED, OperatorEvent
from services.gateway.api.health import HealthReport
from services.gateway.api.search import Found
from services.gateway.api.stock import Stock, TrafficDay, TrafficOf, UpstreamState
from services.gateway.api.types import Page
from services.gateway.door.sessions import PAGES
from services.gateway.pages.asking import Ask, Part, path_of
from services.gateway.pages.events import MEANINGS
from services.gateway.pages.layout import address_of

DAYS = 7
ALARMS = ("malware_stored", "advisory_about_served", "rules_weakened")
"""Kinds of events after which all is not well, for as many days."""


class Saved(msgspec.Struct, frozen=True):
    """Of some days, all protocols together."""

    requests: int
    saved_requests: int
    saved_bytes: int


@get("/")
async def home(ask: Ask, request: Request[Any, Any, Any]) -> Template | Response[bytes]:
    """What a person wants to know first."""
    if cast("dict[str, Any]", request.scope)["raw_path"] + b"/" == PAGES:
        return ask.go(PAGES.decode().strip("/") + "/")  # relative links start at the folder
    health, stock, traffic, upstreams, events, alarms = await asyncio.gather(
        ask.part(ask.health()),
        ask.part(ask.get(path_of("stock"), Stock)),
        ask.part(ask.get(path_of("traffic"), Page[TrafficDay], days=DAYS)),
        ask.part(ask.get(path_of("upstreams"), Page[UpstreamState])),
        ask.part(_undecided(ask)),
        ask.part(_alarms(ask)),
    )
    days = traffic.value.items if traffic.value is not None else []
    return ask.page(
        "overview/home.html",
        "Home",
        health=health,
        stock=stock,
        traffic=traffic,
        days=days,
        today=saved(days[:1]),
        saved=saved(days),
        by_protocol=by_protocol(days),
        upstreams=upstreams,
        problems=problems(health, upstreams),
        undecided=events.value or [],
        alarms=alarms.value or {},
        meanings=MEANINGS,
        days_shown=DAYS,
    )


async def _undecided(ask: Ask) -> list[OperatorEvent]:
    """Files that an upstream has changed and nobody has decided about; for operators."""
    if not ask.reader.is_operator:
        return []
    events = await ask.get(path_of("events"), Page[OperatorEvent], kind=MUTATED)
    return [each for each in events.items if each.acceptable]


async def _alarms(ask: Ask) -> dict[str, list[OperatorEvent]]:
    """By kind, those of the last days; for operators."""
    if not ask.reader.is_operator:
        return {}
    pages = [await ask.get(path_of("events"), Page[OperatorEvent], kind=kind) for kind in ALARMS]
    since = time.time() - DAYS * 86400
    new = {
        kind: [each for each in page.items if each.last_at > since]
        for kind, page in zip(ALARMS, pages, strict=True)
    }
    return {kind: found for kind, found in new.items() if found}


def problems(health: Part[HealthReport], upstreams: Part[Page[UpstreamState]]) -> list[str]:
    """One line each, the gravest first."""
    found = list(health.value.problems) if health.value is not None else []
    if health.problem is not None:
        found.append(health.problem.detail)
    for each in upstreams.value.items if upstreams.value is not None else ():
        for alone in each.left_alone[:1]:
            found.append(f"upstream {each.protocol}/{each.name}: {alone.message}")
    return found


def saved(days: list[TrafficDay]) -> Saved:
    """The sum of some days."""
    of = [each for day in days for each in day.items]
    return Saved(
        sum(each.requests for each in of),
        sum(each.saved_requests for each in of),
        sum(each.saved_bytes for each in of),
    )


def by_protocol(days: list[TrafficDay]) -> dict[str, Saved]:
    """The same for each protocol."""
    names = sorted({each.protocol for day in days for each in day.items})
    return {name: saved([TrafficDay(day.day, _of(day, name)) for day in days]) for name in names}


def _of(day: TrafficDay, protocol: str) -> list[TrafficOf]:
    return [each for each in day.items if each.protocol == protocol]


@get("/search")
async def search(ask: Ask, q: str = "", cursor: str = "") -> Template | Response[bytes]:
    """What was found. A digest, a version, and the only package there is of exactly this name are shown at
    once."""
    found = await ask.get(path_of("search"), Found, q=q, cursor=cursor) if q.strip() else Found([])
    if found.sha256:
        return ask.go(f"files/{found.sha256}")
    exact = [each for each in found.items if each.exact]
    is_all = not (found.first or found.next)
    if len(exact) == 1 and (
        exact[0].version or (is_all and len(found.items) == 1) or q.strip().startswith("pkg:")
    ):
        return ask.go(address_of(exact[0].protocol, exact[0].name, exact[0].version))
    return ask.page(
        "overview/search.html", f"Search: {q}" if q else "Search", q=q, found=found, cursor=cursor
    )


HANDLERS = [home, search]
