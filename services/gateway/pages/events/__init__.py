"""Events, and blocks, for operators."""

from __future__ import annotations

import asyncio

from litestar import Response, get, post
from litestar.response import Template

from services.gateway.api.admin.access_types import BlockEntry
from services.gateway.api.admin.event_rows import OperatorEvent
from services.gateway.api.types import Page, Removed
from services.gateway.pages.asking import Ask, path_of
from shared.artifacts.event_kinds import EVENT_KINDS

SHOWN = 50
MEANINGS = {
    "upstream_mutated": "an upstream changed a file that is stored; clients go on getting the first bytes",
    "digest_mismatch": "an upstream's bytes are not what its index says; nothing was kept",
    "metadata_differs": "the metadata that an index tells is not what is in the wheel, which counts",
    "ranges_contradict": "parts of a wheel did not fit each other; it was downloaded whole",
    "checksum_differs": "a file is not what the checksum beside it says, and was taken all the same",
    "file_without_checksum": "a file came without a checksum and was taken as it was",
    "blocked_file_refused": "an upstream sent bytes that are blocked; they were not kept",
    "object_decayed": "a stored object was damaged; it was set aside and is fetched again",
    "source_shadowed": "another upstream has this name too; its owner's alone is served",
    "empty_index": "an upstream knows the name and has no files of it",
    "upstream_strayed": "an index came from another host than its upstream's",
    "served_by_several": "files of one project came from several upstreams",
    "servings_dropped": "a gateway had no room for what it served; the ledger lacks it",
    "feed_refused": "a feed of advisories was not taken; what it said last counts on",
    "malware_stored": "a stored file is malware by an advisory: under quarantine",
    "advisory_about_served": "a new advisory is about what clients have got",
    "rule_warned": "a rule that only warns is against a version",
    "rules_weakened": "the settings of a start ask for less protection than those before",
    "webhook_paused": "a webhook failed for too long, or is gone: it gets nothing any more",
}
"""By kind, in a line; docs/operations.md says what to do."""


@get("/events")
async def events(ask: Ask, kind: str = "", project: str = "", cursor: str = "") -> Template:
    """What an operator should know, and what nobody gets."""
    query = {"kind": kind, "project": project, "limit": SHOWN, "cursor": cursor}
    query |= {} if kind else {"warnings": "false"}
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
        meanings=MEANINGS,
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
    body = {name: form.get(name, "") for name in ("of", "reason")}
    await ask.send("POST", path_of("admin", "blocks"), BlockEntry, body)
    return ask.go(ask.back(form, "events"), "blocked")


@post("/blocks/{block_id:int}/lift", status_code=200)
async def lift(ask: Ask, block_id: int) -> Response[bytes]:
    """Lift a block."""
    await ask.send("DELETE", path_of("admin", "blocks", block_id), Removed)
    return ask.go(ask.back(await ask.form(), "events"), "lifted")


HANDLERS = [events, accept, block, lift]
