"""The pages for people under `/ui/`, subject by subject, as one router."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from litestar import Request, Response, Router, get
from litestar.di import Provide
from litestar.response import Template

from services.gateway.api.faults import as_orchard, on_error
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
from shared.errors import InternalError, MethodNotAllowed, RouteNotFound
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
    """All of them."""

    def ask(request: Request[Any, Any, Any]) -> Ask:
        return Ask(request, opened())

    return Router(
        PAGES.decode().rstrip("/"),
        route_handlers=[*HANDLERS, nothing_here],
        dependencies={"ask": Provide(ask, sync_to_thread=False)},
        include_in_schema=False,
    )


def errors(opened: Opened) -> Callable[[Request[Any, Any, Any], Exception], Response[Any]]:
    """Tells what goes wrong: below the pages on a page, also where no handler was found (405); elsewhere as
    the API does."""

    def told(request: Request[Any, Any, Any], error: Exception) -> Response[Any]:
        if not f"{request.scope['path']}/".encode().startswith(PAGES):
            return on_error(request, error)
        known = as_orchard(error) if not isinstance(error, Refused) else None
        if isinstance(known, InternalError):
            log.error("page_failed", path=request.scope["path"], exc_info=error)
        shown = error if isinstance(error, Refused) else refused(known or InternalError("an internal error"))
        problem = shown.problem
        page = Ask(request, opened()).page(
            "error.html", problem.title, status=problem.status, problem=problem
        )
        if isinstance(known, MethodNotAllowed):
            page.set_header("allow", known.allow)
        return page

    return told


@get("/{rest:path}")
async def nothing_here(rest: str) -> Template:
    """An address that no page has."""
    raise RouteNotFound("there is no page at this address")
