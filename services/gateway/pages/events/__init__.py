"""Events, and blocks, for operators."""

from __future__ import annotations

import asyncio

from litestar import Response, get, post
from litestar.response import Template

from services.gateway.api.admin.access_types import BlockEntry
from services.gateway.api.admin.event_rows import OperatorEvent
from services.gateway.api.admin.subjects import read_subject
from services.gateway.api.types import Page, Removed
from services.gateway.pages.asking import Ask, path_of
from shared.artifacts.event_kinds import EVENT_KINDS

SHOWN = 50


@get("/events")
async def events(ask: Ask, kind: str = "", project: str = "", cursor: str = "") -> Template:
    """What an operator should know, and what nobody gets."""
    query = {"kind": kind, "project": project, "limit": SHOWN, "cursor": cursor}
    found, blocks = await asyncio.gather(
        ask.part(ask.get(path_of("events"), Page[OperatorEvent], **query)),
        ask.part(ask.get(path_of("admin", "blocks"), Page[BlockEntry])),
    )
    return ask.page(
        "events/events.html",
        "Events and blocks",
        found=found,
        blocks=blocks,
        kinds=EVENT_KINDS,
        kind=kind,
        project=project,
        cursor=cursor,
    )


@post("/events/{event:int}/accept", status_code=200)
async def accept(ask: Ask, event: int) -> Response[bytes]:
    """Take what the upstream has now."""
    await ask.send("POST", path_of("admin", "events", event, "accept"), OperatorEvent)
    return ask.go("events", "accepted")


@post("/blocks", status_code=200)
async def block(ask: Ask) -> Response[bytes]:
    """Block what the form names: a package URL, or a SHA-256."""
    form = await ask.form()
    of = read_subject(form.get("of", ""))
    body = {
        "protocol": of.protocol,
        "name": of.project,
        "version": of.version,
        "sha256": of.sha256,
        "reason": form.get("reason", ""),
    }
    await ask.send("POST", path_of("admin", "blocks"), BlockEntry, body)
    return ask.go(ask.back(form, "events"), "blocked")


@post("/blocks/{block_id:int}/lift", status_code=200)
async def lift(ask: Ask, block_id: int) -> Response[bytes]:
    """Lift a block."""
    await ask.send("DELETE", path_of("admin", "blocks", block_id), Removed)
    return ask.go(ask.back(await ask.form(), "events"), "lifted")


HANDLERS = [events, accept, block, lift]
