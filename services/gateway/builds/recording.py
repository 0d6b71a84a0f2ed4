"""What an open session writes down of an answer."""

from __future__ import annotations

import msgspec

from services.gateway.serving.index_flow import serve_index
from services.gateway.serving.ports import Ports, Reply
from shared.builds.entries import Absent, Entry, File, Page, absent_address
from shared.errors import OrchardError
from shared.http.conditions import Conditions
from shared.protocols.resource import Resource
from shared.redis import clock


async def with_its_bytes(resource: Resource, conditions: Conditions, reply: Reply, ports: Ports) -> Reply:
    """The reply itself, or the same page whole where nobody has read its bytes: a 304 or the answer to HEAD
    is made of a page's head alone, and its body may be evicted by then. Raises what `serve_index` raises."""
    page = reply.page
    if page is None or page.head is None or reply.status not in (200, 206, 304):
        return reply
    info = page.head.variants[page.variant]
    if page.body is not None or info.object_key or not info.size_bytes:
        return reply
    whole = Conditions(
        codings=conditions.codings, base_url=conditions.base_url, request_id=conditions.request_id
    )
    return await serve_index(resource, msgspec.structs.replace(whole, via=conditions.via), ports)


async def entry_of(resource: Resource, reply: Reply, who: str, ports: Ports) -> Entry | None:
    """What is written down of a reply; None: nothing, as of an error that passes."""
    now = clock.now()
    if reply.status == 404 and reply.error is not None:
        return absent_of(resource, reply.error, who)
    if resource.kind == "artifact" and reply.status in (200, 206, 304, 307, 416):
        file = reply.meant if resource.pointer else resource.file
        if file is None:
            return None
        stored = await ports.facts.cached(file)
        return File(resource.protocol, resource.identity, file, stored, now, who, resource.sidecar)
    page = reply.page
    if page is None or page.head is None or reply.status not in (200, 206, 304):
        return None
    info = page.head.variants[page.variant]
    body = b"" if info.object_key or page.body is None else bytes(page.body)
    return Page(resource.protocol, resource.identity, page.variant, info, page.head.modified, body, now, who)


def absent_of(resource: Resource, error: OrchardError, who: str) -> Absent:
    """What is written down of a resource that nobody has."""
    address = absent_address(resource.kind, resource.identity, resource.sidecar)
    return Absent(resource.protocol, address, error.code, error.message, clock.now(), who)
