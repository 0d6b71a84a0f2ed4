"""Files as a view of a moment shows them (docs/decisions/0050). Pure policy: all I/O goes through `ports`.

A file was there or it was not: that is asked first, and the file is then served like any other.
"""

from __future__ import annotations

import asyncio

import msgspec

from services.gateway.serving.artifact_flow import serve_artifact
from services.gateway.serving.ports import Ports, Reply
from shared.errors.catalogue import from_value
from shared.errors.passing import DeadlineExceeded
from shared.http.conditions import Conditions
from shared.models import Standing
from shared.policy.age import is_told
from shared.policy.project import NOTHING
from shared.policy.verdict import UNKNOWN
from shared.protocols import protocol_named
from shared.protocols.reading.views import view_named
from shared.protocols.resource import Resource
from shared.protocols.subjects import subject_of
from shared.queue.jobs import DateArtifact


def was_there(resource: Resource, published: float, stored_at: float) -> bool:
    """Whether a file had been published at the moment of its resource's view. `published`, `stored_at`: of
    it, in unix seconds, 0: unknown, and not. False: these do not tell. Raises `NotInView`."""
    facts = Standing(published if is_told(published, stored_at) else 0.0, stored_at=stored_at)
    of = subject_of(protocol_named(resource.protocol), resource, facts)
    found = NOTHING.seen_from(view_named(resource.view).moment).by_view(of)
    if found is None or found is UNKNOWN:
        return found is None
    raise found.refusal(resource.filename)


async def serve_file_in_view(resource: Resource, conditions: Conditions, ports: Ports) -> Reply:
    """The reply for a file. Raises `NotInView` and what `serve_artifact` raises."""
    seconds = ports.settings.request_seconds(resource.protocol)
    try:
        async with asyncio.timeout(seconds):
            await _look(resource, conditions, ports, seconds)
    except TimeoutError:
        raise DeadlineExceeded(
            f"the date of {resource.filename} was not known within {seconds:.3g} s"
        ) from None
    return await serve_artifact(msgspec.structs.replace(resource, view=""), conditions, ports)


async def _look(resource: Resource, conditions: Conditions, ports: Ports, seconds: float) -> None:
    """Raises `NotInView`, and why its date cannot be known."""

    async def is_known() -> bool:
        facts = await ports.facts.cached(resource.file)
        return facts is not None and was_there(resource, facts.published, facts.created_at)

    if await is_known():
        return
    facts = await ports.facts.stored(resource.file)
    if facts is not None and was_there(resource, facts.published, facts.created_at):
        return
    job = DateArtifact.of(resource.file, via=conditions.via, request_id=conditions.request_id)
    event = await ports.misses.wait(job, until=is_known, timeout=seconds)
    if event.kind == "failed" and event.error is not None:
        raise from_value(event.error)
    if event.published:
        was_there(resource, event.published, 0.0)
    elif not await is_known():
        raise DeadlineExceeded(f"nobody could tell when {resource.filename} was published")
