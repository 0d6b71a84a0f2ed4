"""The door of the admin API: an admin token, and no page of another site behind the request."""

from __future__ import annotations

import re
from typing import Any

from litestar import Request
from litestar.connection import ASGIConnection
from litestar.handlers.base import BaseRouteHandler

from services.gateway.routes.api_catalogue import gateway_of
from shared.administration import Actor, AdminRepository
from shared.errors import Forbidden, ShuttingDown

_FOREIGN = ("cross-site", "same-site")
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")


def admin_only(connection: ASGIConnection[Any, Any, Any, Any], _: BaseRouteHandler) -> None:
    """Raises `Unauthorized` or `Forbidden` unless an operator asks.

    A browser adds remembered Basic credentials to requests that other sites start; Sec-Fetch-Site says
    so, and tools other than browsers do not send it.
    """
    gateway = connection.app.state.application.gateway
    if gateway is None:
        raise ShuttingDown("this gateway is not open")
    if connection.headers.get("sec-fetch-site") in _FOREIGN:
        raise Forbidden("the page of another site cannot administer this Orchard")
    given = connection.headers.get("authorization")
    token = gateway.access.administrator(None if given is None else given.encode("latin-1", "replace"))
    connection.state.actor = token.name


def actor_of(request: Request[Any, Any, Any]) -> Actor:
    """Who asks, as `admin_only` found; the request's own id only if it is a sane one."""
    given = request.headers.get("x-request-id", "")
    return Actor(request.state.actor, given if _REQUEST_ID.fullmatch(given) else "")


def repository_of(request: Request[Any, Any, Any]) -> AdminRepository:
    """The rows that operators change."""
    return AdminRepository(gateway_of(request).database)
