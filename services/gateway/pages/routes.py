"""The pages for people under `/ui/`, subject by subject, as one router."""

from __future__ import annotations

from typing import Any

from litestar import Request, Response, Router, get
from litestar.di import Provide
from litestar.response import Template

from services.gateway.api.faults import as_orchard
from services.gateway.api.parts import Opened
from services.gateway.door.sessions import PAGES
from services.gateway.pages import (
    builds,
    documents,
    events,
    files,
    locks,
    operations,
    overview,
    packages,
    queues,
    rules,
    screening,
    setup,
    signin,
    tokens,
    upstreams,
    webhooks,
)
from services.gateway.pages.asking import Ask, Refused, refused
from shared.errors import InternalError, RouteNotFound
from shared.telemetry.logs import get_logger

log = get_logger()

HANDLERS = [
    *overview.HANDLERS,
    *packages.HANDLERS,
    *setup.HANDLERS,
    *upstreams.HANDLERS,
    *events.HANDLERS,
    *rules.HANDLERS,
    *screening.HANDLERS,
    *builds.HANDLERS,
    *locks.HANDLERS,
    *tokens.HANDLERS,
    *webhooks.HANDLERS,
    *operations.HANDLERS,
    *queues.HANDLERS,
    *signin.HANDLERS,
    *documents.HANDLERS,
    *files.HANDLERS,
]


def pages(opened: Opened) -> Router:
    """All of them; what goes wrong is told on a page too."""

    def ask(request: Request[Any, Any, Any]) -> Ask:
        return Ask(request, opened())

    def on_page_error(request: Request[Any, Any, Any], error: Exception) -> Response[Any]:
        known = as_orchard(error) if not isinstance(error, Refused) else None
        if isinstance(known, InternalError):
            log.error("page_failed", path=request.scope["path"], exc_info=error)
        told = error if isinstance(error, Refused) else refused(known or InternalError("an internal error"))
        problem = told.problem
        return Ask(request, opened()).page(
            "error.html", problem.title, status=problem.status, problem=problem
        )

    return Router(
        PAGES.decode().rstrip("/"),
        route_handlers=[*HANDLERS, nothing_here],
        dependencies={"ask": Provide(ask, sync_to_thread=False)},
        exception_handlers={Exception: on_page_error},
        include_in_schema=False,
    )


@get("/{rest:path}")
async def nothing_here(rest: str) -> Template:
    """An address that no page has."""
    raise RouteNotFound("there is no page at this address")
