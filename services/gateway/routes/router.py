"""Litestar's part of the gateway: everything that is not a package request."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from litestar import Litestar, Request, Response
from litestar.exceptions import HTTPException, ValidationException

from services.gateway.responses import SECURITY_HEADERS, error_headers, problem
from services.gateway.routes import (
    api_admin_access,
    api_admin_upstreams,
    api_catalogue,
    api_dead_letters,
    api_ensure,
    api_events,
    api_resolution,
    ui,
)
from services.gateway.routes.health import health, identity, live, metrics_page, ready
from services.gateway.routes.openapi_page import openapi_config
from services.gateway.routes.page import page
from shared.errors import (
    InternalError,
    InvalidParameter,
    MalformedRequest,
    MethodNotAllowed,
    OrchardError,
    RequestTooLarge,
    RouteNotFound,
)
from shared.logs import get_logger

if TYPE_CHECKING:
    from services.gateway.app import Application

log = get_logger()


def build_litestar(application: Application) -> Litestar:
    """The router over an application, which its handlers find as `state.application`."""
    litestar = Litestar(
        route_handlers=[
            page,
            health,
            live,
            ready,
            identity,
            metrics_page,
            *api_catalogue.HANDLERS,
            *api_resolution.HANDLERS,
            *api_admin_upstreams.HANDLERS,
            *api_admin_access.HANDLERS,
            *api_ensure.HANDLERS,
            *api_events.HANDLERS,
            *api_dead_letters.HANDLERS,
            *ui.HANDLERS,
        ],
        openapi_config=openapi_config(),
        exception_handlers={Exception: on_error},
        logging_config=None,
        debug=False,
    )
    litestar.state.application = application
    return litestar


def on_error(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    """Any exception as a problem document."""
    known = _as_orchard(error)
    if isinstance(known, InternalError):
        log.error("request_failed", path=request.scope["path"], exc_info=error)
    request_id = request.headers.get("x-request-id", "")[:64]
    body = b"" if request.method == "HEAD" else problem(known, request_id)
    headers = {
        name.decode(): value.decode()
        for name, value in [*error_headers(known, body), *SECURITY_HEADERS, (b"cache-control", b"no-store")]
        if name not in (b"content-type", b"content-length")
    }
    return Response(body, status_code=known.status, media_type="application/problem+json", headers=headers)


def _fault(field: str, message: str) -> str:
    """What is wrong with a body or a parameter, its field first: msgspec names some only in its message."""
    named = re.search(r"field `([^`]{1,80})`", message)
    if named is not None and field in ("", "data"):
        field = named[1]
    return f"{field or 'body'}: {message or 'not understood'}"


def _as_orchard(error: Exception) -> OrchardError:
    if isinstance(error, OrchardError):
        return error
    if isinstance(error, ValidationException) and isinstance(error.extra, list) and error.extra:
        return InvalidParameter(_fault(str(error.extra[0].get("key", "")), error.extra[0].get("message", "")))
    if isinstance(error, RecursionError):
        return MalformedRequest("the body is nested too deeply")
    status = error.status_code if isinstance(error, HTTPException) else 500
    if status == 404:
        return RouteNotFound("nothing is served at this address")
    if status == 405:
        return MethodNotAllowed("this address does not answer that method")
    if status == 413:
        return RequestTooLarge("the request's body is larger than anything that is asked here")
    if 400 <= status < 500:
        return MalformedRequest("the request was not understood")
    return InternalError("an internal error")
