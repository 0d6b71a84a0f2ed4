"""What is blocked here, for Orchards whose upstream this is: they withhold the same
(docs/decisions/0038)."""

from __future__ import annotations

import hashlib
from typing import Annotated, Any

import msgspec
from litestar import Request, Response, get
from litestar.params import Parameter

from services.gateway.api.types import Page
from shared.access.watcher import AccessWatcher
from shared.errors.passing import AccessUnknown
from shared.http.conditions import is_not_modified
from shared.policy.rules import ToldBlock, told


@get("/api/v1/blocks", summary="What is blocked, for other Orchards", tags=["blocks"])
async def told_blocks(
    request: Request[Any, Any, Any],
    access_watcher: AccessWatcher,
    protocol: Annotated[str, Parameter(description="Of this protocol, and all bytes by their SHA256")],
) -> Response[Page[ToldBlock]]:
    """All of it at once, with the reasons; 304 to who has it already."""
    state = access_watcher.state
    if state is None:
        raise AccessUnknown("what is blocked is not known yet")
    page = Page(told(state.blocks, protocol))
    etag = f'"{hashlib.sha256(msgspec.json.encode(page)).hexdigest()[:32]}"'
    headers = {"etag": etag, "cache-control": "no-cache"}
    seen = request.headers.get("if-none-match", "").encode("latin-1", "replace")
    if is_not_modified(seen, b"", etag, b""):
        return Response(None, status_code=304, headers=headers)  # type: ignore[arg-type]
    return Response(page, headers=headers)


HANDLERS = [told_blocks]
