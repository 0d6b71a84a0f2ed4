"""A file that may be another one tomorrow at the same address (Maven's non-unique snapshots).

A small index tells which it is now, by what the upstream's headers say; the file itself is then an
artifact under that name, relayed, verified and stored like every other, however large it is.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import msgspec

from shared.protocols.conditions import Conditions
from shared.protocols.index_flow import serve_index
from shared.protocols.ports import Ports, Reply
from shared.protocols.resource import Resource

Serve = Callable[[Resource, Conditions, Ports], Awaitable[Reply]]


async def serve_moving(resource: Resource, conditions: Conditions, ports: Ports, serve: Serve) -> Reply:
    """The reply for the file that `resource.pointer` names now, by `serve`. Raises as both flows do."""
    pointer = Resource(
        resource.protocol,
        "index",
        resource.pointer,
        resource.project,
        representation="id",
        honours_no_cache=False,
        vary="",
        content_codings=("identity",),
    )
    told = await serve_index(pointer, Conditions(request_id=conditions.request_id, via=conditions.via), ports)
    if told.status != 200 or not isinstance(told.body, bytes | memoryview):
        return told
    file_id = f"{resource.file_id}:{bytes(told.body).decode('ascii')}"
    identity = f"{resource.project}/{file_id}/{resource.filename}"
    now = msgspec.structs.replace(resource, pointer="", file_id=file_id, identity=identity)
    reply = await serve(now, conditions, ports)
    for name, value in told.headers:
        if name == b"cache-control":  # it may be kept as long as the pointer, not as a sealed file
            reply.headers = [(n, value if n == name and v != b"no-store" else v) for n, v in reply.headers]
    if told.cache == "STALE":
        reply.cache = "STALE"
    return reply
