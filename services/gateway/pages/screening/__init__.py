"""What rules hold back, what is malware, and the feeds that say so, for operators."""

from __future__ import annotations

import asyncio

from litestar import Response, get, post
from litestar.response import Template

from services.gateway.api.admin.access_types import BlockEntry, MadeExemption
from services.gateway.api.admin.feed_types import AcceptedFeed, FeedEntry, QuarantineEntry
from services.gateway.api.admin.held_rows import HeldVersion
from services.gateway.api.types import Page
from services.gateway.pages.asking import Ask, path_of

SHOWN = 50


@get("/held")
async def held(ask: Ask, cursor: str = "") -> Template:
    """What pages were made without; what is stored of malware; where that is known from."""
    found, quarantine, feeds = await asyncio.gather(
        ask.part(ask.get(path_of("admin", "held"), Page[HeldVersion], limit=SHOWN, cursor=cursor)),
        ask.part(ask.get(path_of("admin", "quarantine"), Page[QuarantineEntry], limit=SHOWN)),
        ask.part(ask.get(path_of("admin", "feeds"), Page[FeedEntry])),
    )
    return ask.page(
        "screening/held.html",
        "Held back",
        found=found,
        quarantine=quarantine,
        feeds=feeds,
        cursor=cursor,
    )


@post("/held/approve", status_code=200)
async def approve(ask: Ask) -> Response[bytes]:
    """Let a held version in."""
    form = await ask.form()
    body = {name: form.get(name, "") for name in ("of", "reason", "expires")}
    made = await ask.send("POST", path_of("admin", "held", "approve"), MadeExemption, body)
    return ask.go("held", "exempted, blocked" if made.refused else "exempted")


@post("/held/deny", status_code=200)
async def deny(ask: Ask) -> Response[bytes]:
    """Keep a held version out."""
    form = await ask.form()
    body = {name: form.get(name, "") for name in ("of", "reason")}
    await ask.send("POST", path_of("admin", "held", "deny"), BlockEntry, body)
    return ask.go("held", "blocked")


@post("/feeds/accept", status_code=200)
async def accept(ask: Ask) -> Response[bytes]:
    """A feed may be smaller."""
    body = {"feed": (await ask.form()).get("feed", "")}
    await ask.send("POST", path_of("admin", "feeds", "accept"), AcceptedFeed, body)
    return ask.go("held", "read anew")


HANDLERS = [held, approve, deny, accept]
