"""Events for operators: the list, and accepting that an upstream changed a file."""

from __future__ import annotations

from typing import Annotated, Any

from litestar import Request, get, post
from litestar.params import Parameter

from services.gateway import admin_checks as checks
from services.gateway.acceptance import Acceptance
from services.gateway.cursors import DEFAULT_LIMIT, check_limit, page_of, read_cursor
from services.gateway.routes.admin_guard import actor_of, admin_only
from services.gateway.routes.api_catalogue import Cursor, Limit, gateway_of
from shared.api_types import Page
from shared.errors import InvalidParameter
from shared.operator_events import NEWEST, EventRepository, OperatorEvent

_TAGS = ["admin"]
_LATEST = 1e11  # seconds; what no time stamp of PostgreSQL reaches is refused

Since = Annotated[float, Parameter(description="Unix seconds: only events that were seen since")]


@get("/api/v1/events", summary="What operators should know", tags=_TAGS, guards=[admin_only])
async def events(
    request: Request[Any, Any, Any],
    kind: str = "",
    protocol: str = "",
    project: str = "",
    since: Since = 0.0,
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = "",
) -> Page[OperatorEvent]:
    """The one that was seen last first; the same again raises its count."""
    if protocol:
        checks.protocol_of(protocol)
    if project:
        project = checks.project_of(protocol, project, "project") if protocol else project
    if not 0 <= since < _LATEST:
        raise InvalidParameter("since: expected unix seconds")
    if "\0" in kind + project:
        raise InvalidParameter("kind, project: expected printable text")
    after = read_cursor(cursor, int, int)
    if after is not None and not (0 <= after[0] < NEWEST // 1000 and 0 <= after[1] < NEWEST):
        after = None
    repository = EventRepository(gateway_of(request).database)
    rows = await repository.list(kind, protocol, project, since, after, check_limit(limit) + 1)
    return page_of(rows, limit)


@post(
    "/api/v1/admin/events/{event_id:int}/accept",
    summary="Accept what an upstream made of a file",
    tags=_TAGS,
    guards=[admin_only],
    status_code=200,
)
async def accept(request: Request[Any, Any, Any], event_id: int) -> OperatorEvent:
    """Of an `upstream_mutated`: the next fetch takes what the upstream has now. The old bytes stay stored."""
    gateway = gateway_of(request)
    if not 0 < event_id < NEWEST:
        raise InvalidParameter("event: expected the id of an event")
    acceptance = Acceptance(EventRepository(gateway.database), gateway.cache, gateway.queue)
    return await acceptance.accept(actor_of(request), event_id)


HANDLERS = [events, accept]
