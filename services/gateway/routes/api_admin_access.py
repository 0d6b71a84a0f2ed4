"""The admin API: blocks, tokens and the audit."""

from __future__ import annotations

from typing import Any

from litestar import Request, delete, get, post

from services.gateway import admin_checks as checks
from services.gateway.cursors import DEFAULT_LIMIT, check_limit, page_of, read_cursor
from services.gateway.routes.admin_guard import actor_of, admin_only, repository_of
from services.gateway.routes.api_catalogue import Cursor, Limit, gateway_of
from shared.admin_types import (
    AuditEntry,
    BlockEntry,
    MadeToken,
    NewBlock,
    NewToken,
    Removed,
    TokenEntry,
)
from shared.api_types import Page
from shared.errors import InvalidParameter
from shared.tokens import digest_of, is_token_name, new_token

_TAGS = ["admin"]
_NEWEST = 2**62


@get("/api/v1/admin/blocks", summary="What is blocked", tags=_TAGS, guards=[admin_only])
async def blocks(request: Request[Any, Any, Any]) -> Page[BlockEntry]:
    """All, the oldest first."""
    return Page(await repository_of(request).blocks())


@post("/api/v1/admin/blocks", summary="Block a package, a version or bytes", tags=_TAGS, guards=[admin_only])
async def add_block(request: Request[Any, Any, Any], data: NewBlock) -> BlockEntry:
    """Files answer 403 with the reason, indexes lose the entries: everywhere within a second."""
    made = await repository_of(request).add_block(actor_of(request), checks.block(data))
    await gateway_of(request).access_watcher.refresh()
    return made


@delete(
    "/api/v1/admin/blocks/{block_id:int}",
    summary="Lift a block",
    tags=_TAGS,
    guards=[admin_only],
    status_code=200,
)
async def drop_block(request: Request[Any, Any, Any], block_id: int) -> Removed:
    """What it withheld is served again."""
    await repository_of(request).drop_block(actor_of(request), block_id)
    await gateway_of(request).access_watcher.refresh()
    return Removed(str(block_id))


@get("/api/v1/admin/tokens", summary="Tokens that are known here", tags=_TAGS, guards=[admin_only])
async def tokens(request: Request[Any, Any, Any]) -> Page[TokenEntry]:
    """All, the oldest first; never the tokens themselves."""
    return Page(await repository_of(request).tokens())


@post("/api/v1/admin/tokens", summary="Make a token", tags=_TAGS, guards=[admin_only])
async def add_token(request: Request[Any, Any, Any], data: NewToken) -> MadeToken:
    """Good everywhere within a second. The token is in this answer and nowhere else."""
    if not is_token_name(data.name):
        raise InvalidParameter("name: 1 to 64 of A-Z, a-z, 0-9 and ._@+-, starting with one of the first")
    token = new_token()
    made = await repository_of(request).add_token(
        actor_of(request), data.name, data.scope, digest_of(token.encode())
    )
    await gateway_of(request).access_watcher.refresh()
    return MadeToken(made, data.name, data.scope, token)


@delete(
    "/api/v1/admin/tokens/{token_id:int}",
    summary="Revoke a token",
    tags=_TAGS,
    guards=[admin_only],
    status_code=200,
)
async def drop_token(request: Request[Any, Any, Any], token_id: int) -> Removed:
    """Refused everywhere within a second."""
    await repository_of(request).drop_token(actor_of(request), token_id)
    await gateway_of(request).access_watcher.refresh()
    return Removed(str(token_id))


@get("/api/v1/admin/audit", summary="Who changed what", tags=_TAGS, guards=[admin_only])
async def audit(
    request: Request[Any, Any, Any], limit: Limit = DEFAULT_LIMIT, cursor: Cursor = ""
) -> Page[AuditEntry]:
    """The newest first."""
    after = read_cursor(cursor, int)
    start = after[0] if after is not None and after[0] < _NEWEST else _NEWEST
    return page_of(await repository_of(request).audit(start, check_limit(limit) + 1), limit)


HANDLERS = [blocks, add_block, drop_block, tokens, add_token, drop_token, audit]
