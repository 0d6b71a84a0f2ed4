"""Whatever a handler or the router raised, as an error of ours and as a problem document."""

from __future__ import annotations

import re
from typing import Any

from litestar import Request, Response
from litestar.exceptions import HTTPException, ValidationException

from services.gateway.http.responses import SECURITY_HEADERS, error_headers
from shared.errors import (
    InternalError,
    InvalidParameter,
    MalformedRequest,
    MethodNotAllowed,
    OrchardError,
    RequestTooLarge,
    RouteNotFound,
)
from shared.errors.base import problem_body, problem_of
from shared.telemetry.logs import get_logger

log = get_logger()


def on_error(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    """Any exception as a problem document."""
    known = as_orchard(error)
    if isinstance(known, InternalError):
        log.error("request_failed", path=request.scope["path"], exc_info=error)
    request_id = request.headers.get("x-request-id", "")[:64]
    kind, body = problem_body(problem_of(known, request_id))
    headers = {
        name.decode(): value.decode()
        for name, value in [
            *error_headers(known, kind, body),
            *SECURITY_HEADERS,
            (b"cache-control", b"no-store"),
        ]
        if name not in (b"content-type", b"content-length")
    }
    body = b"" if request.method == "HEAD" else body
    return Response(body, status_code=known.status, media_type=kind, headers=headers)


def _fault(field: str, message: str) -> str:
    """What is wrong with a body or a parameter, its field first: msgspec names some only in its message."""
    named = re.search(r"field `([^`]{1,80})`", message)
    if named is not None and field in ("", "data"):
        field = named[1]
    return f"{field or 'body'}: {message or 'not understood'}"


def as_orchard(error: Exception) -> OrchardError:
    """Whatever a handler or the router raised, as an error of ours."""
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
        told = dict(getattr(error, "headers", None) or {}).get("allow", "GET, HEAD")
        methods = set(told.split(", ")) - {"OPTIONS"}
        allow = ", ".join(sorted(methods | ({"HEAD"} if "GET" in methods else set())))
        return MethodNotAllowed("this address does not answer that method", allow=allow or "GET, HEAD")
    if status == 413:
        return RequestTooLarge("the request's body is larger than anything that is asked here")
    if 400 <= status < 500:
        return MalformedRequest("the request was not understood")
    return InternalError("an internal error")
