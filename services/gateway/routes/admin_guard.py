"""The door of the admin API: an admin token, and no page of another site behind the request."""

from __future__ import annotations

import re
from typing import Any

from litestar import Request
from litestar.connection import ASGIConnection
from litestar.handlers.base import BaseRouteHandler

from services.gateway.neighbours import check_page
from services.gateway.routes.api_catalogue import gateway_of
from shared.administration import Actor, AdminRepository
from shared.errors import ShuttingDown

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")


def admin_only(connection: ASGIConnection[Any, Any, Any, Any], _: BaseRouteHandler) -> None:
    """Raises `Unauthorized` or `Forbidden` unless an operator asks.

    A browser adds remembered Basic credentials to requests that other sites start. Sec-Fetch-Site says so,
    but over plain http only on loopback (Fetch Metadata, 4.2); Origin does with every POST (Fetch, 3.2),
    and no other site's page can send what is neither GET nor POST. Tools other than browsers send neither.
    """
    gateway = connection.app.state.application.gateway
    if gateway is None:
        raise ShuttingDown("this gateway is not open")
    of = connection.headers.get
    check_page(of("host", ""), of("origin"), of("sec-fetch-site"), gateway.settings.public_url)
    given = connection.headers.get("authorization")
    token = gateway.access.administrator(
        None if given is None else given.encode("latin-1", "replace"),
        connection.client.host if connection.client else "",
    )
    connection.state.actor = token.name


def actor_of(request: Request[Any, Any, Any]) -> Actor:
    """Who asks, as `admin_only` found; the request's own id only if it is a sane one."""
    given = request.headers.get("x-request-id", "")
    return Actor(request.state.actor, given if _REQUEST_ID.fullmatch(given) else "")


def repository_of(request: Request[Any, Any, Any]) -> AdminRepository:
    """The rows that operators change."""
    return AdminRepository(gateway_of(request).database)
