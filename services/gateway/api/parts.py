"""Dependency injection for handlers: Litestar finds each part by the name of a parameter, and checks its
type."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

from litestar import Request
from litestar.di import Provide

from services.gateway.api.catalogue_rows import Catalogue
from services.gateway.api.parameters import CheckMayRefresh, check_may_refresh
from services.gateway.builds.bundling import Note
from services.gateway.compose import Gateway
from services.gateway.door.access import client_of
from services.gateway.http.requests import read_headers
from services.gateway.ledger.entries import entry_of_bundled
from shared.builds.entries import File
from shared.errors.passing import ShuttingDown
from shared.protocols import protocol_named
from shared.redis import clock
from shared.settings import Settings


class Running(Protocol):
    """The part of the application that is used here."""

    settings: Settings
    gateway: Gateway | None
    draining: bool
    in_flight: int


Opened = Callable[[], Gateway]
"""The open gateway. Raises `ShuttingDown`."""


def opened_of(application: Running) -> Opened:
    """A dependency that gives handlers the open gateway. Raises `ShuttingDown` outside the lifespan."""

    def opened() -> Gateway:
        if application.gateway is None:
            raise ShuttingDown("this gateway is not open")
        return application.gateway

    return opened


def part(find: Callable[..., object]) -> Provide:
    """A dependency computed by `find` for each request."""
    return Provide(find, sync_to_thread=False)


def parts(application: Running, opened: Opened) -> dict[str, Provide]:
    """All dependencies by parameter name."""

    def may_refresh(request: Request[Any, Any, Any]) -> CheckMayRefresh:
        authorization = request.headers.get("authorization", "")
        client = request.client.host if request.client else ""
        return partial(check_may_refresh, opened().access, authorization, client)

    def who(request: Request[Any, Any, Any]) -> str:
        """The name of the token that asks; "" without one."""
        return opened().access.name_of(request.headers.get("authorization", "").encode("latin-1", "replace"))

    def asker(request: Request[Any, Any, Any]) -> str:
        """Who asks, as budgets count: a token, or a network."""
        return client_of(opened().access, request.scope, dict(request.scope["headers"]))

    def note_bundled(request: Request[Any, Any, Any]) -> Note:
        """Notes in the ledger that this request was given a file in a bundle."""
        ledger, headers = opened().ledger, read_headers(request.scope)

        def note(file: File) -> None:
            assert file.stored is not None
            entry = entry_of_bundled(protocol_named(file.protocol), file.file, file.stored.sha256)
            if ledger is not None and entry is not None:
                ledger.note(request.scope, headers, entry, file.stored.size_bytes, clock.now())

        return note

    return {
        "gateway": part(opened),
        "stock_counter": part(lambda: opened().stock),
        "traffic_log": part(lambda: opened().traffic),
        "catalogue": part(lambda: Catalogue(opened().database)),
        "stores": part(lambda: opened().stores),
        "database": part(lambda: opened().database),
        "cache": part(lambda: opened().cache),
        "log_reader": part(lambda: opened().log_reader),
        "resolutions": part(lambda: opened().resolutions),
        "ensures": part(lambda: opened().ensures),
        "builds": part(lambda: opened().builds),
        "lock_views": part(lambda: opened().lock_views),
        "bundling": part(lambda: opened().bundling),
        "note_bundled": part(note_bundled),
        "who": part(who),
        "asker": part(asker),
        "identities": part(lambda: opened().identities),
        "parsers": part(lambda: opened().parsers),
        "base_urls": part(lambda: opened().reader.base_urls),
        "access_watcher": part(lambda: opened().access_watcher),
        "popular": part(lambda: opened().popular),
        "board": part(lambda: opened().board),
        "settings": part(lambda: application.settings),
        "draining": part(lambda: application.draining),
        "in_flight": part(lambda: application.in_flight),
        "check_may_refresh": part(may_refresh),
        "request_id": part(_request_id),
    }


def _request_id(request: Request[Any, Any, Any]) -> str:
    """The request id of the client if it is well-formed, else the gateway's own (`door/admission.py`)."""
    return request.headers.get("x-request-id", "")
