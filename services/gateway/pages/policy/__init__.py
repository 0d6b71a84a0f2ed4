"""Events, blocks and exemptions, for operators."""

from __future__ import annotations

import asyncio

from litestar import Response, get, post
from litestar.response import Template

from services.gateway.api.admin.access_types import BlockEntry, ExemptionEntry, MadeExemption
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
    found, blocks, exemptions = await asyncio.gather(
        ask.part(ask.get(path_of("events"), Page[OperatorEvent], **query)),
        ask.part(ask.get(path_of("admin", "blocks"), Page[BlockEntry])),
        ask.part(ask.get(path_of("admin", "exemptions"), Page[ExemptionEntry])),
    )
    return ask.page(
        "policy/events.html",
        "Events and blocks",
        found=found,
        blocks=blocks,
        exemptions=exemptions,
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
    return ask.go("events", "blocked")


@post("/blocks/{block_id:int}/lift", status_code=200)
async def lift(ask: Ask, block_id: int) -> Response[bytes]:
    """Lift a block."""
    await ask.send("DELETE", path_of("admin", "blocks", block_id), Removed)
    return ask.go("events", "lifted")


@post("/exemptions", status_code=200)
async def exempt(ask: Ask) -> Response[bytes]:
    """Exempt what the form names from the rules."""
    form = await ask.form()
    body: dict[str, str | bool] = {name: form.get(name, "") for name in ("of", "reason", "expires")}
    body |= {"yes": True} if form.get("yes") else {}
    made = await ask.send("POST", path_of("admin", "exemptions"), MadeExemption, body)
    return ask.go("events", "exempted, blocked" if made.refused else "exempted")


@post("/exemptions/{exemption:int}/end", status_code=200)
async def end(ask: Ask, exemption: int) -> Response[bytes]:
    """The rules count again."""
    await ask.send("DELETE", path_of("admin", "exemptions", exemption), Removed)
    return ask.go("events", "ended")


HANDLERS = [events, accept, block, lift, exempt, end]
