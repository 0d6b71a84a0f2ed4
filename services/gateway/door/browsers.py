"""The door of the pages for people: a session's cookie opens it, and whoever has none is shown the way in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from services.gateway.door.access import OPEN_PATHS
from services.gateway.door.neighbours import READING
from services.gateway.door.sessions import GRANTED, PAGES
from services.gateway.http.addresses import address_of
from services.gateway.http.requests import Headers
from shared.errors import Forbidden, OrchardError
from shared.telemetry.logs import get_logger

if TYPE_CHECKING:
    from services.gateway.compose import Gateway

log = get_logger()

_FOR_ALL = (b"/ui/assets/", b"/ui/docs/")  # what is the same in every Orchard of a version


def is_open(raw_path: bytes) -> bool:
    """Whether a path needs no token, whoever may read."""
    return raw_path in OPEN_PATHS or raw_path.startswith(_FOR_ALL)


async def with_session(gateway: Gateway, scope: Any, headers: Headers) -> Any:
    """The scope of a request below `PAGES`, with what its session grants. A session that cannot be read is
    none."""
    if b"cookie" not in headers or b"authorization" in headers:
        return scope
    try:
        token = await gateway.sessions.find(headers, address_of(scope))
    except OrchardError as error:
        log.warning("session_not_read", code=error.code)
        return scope
    return scope if token is None else {**scope, GRANTED: token}


def check_own_page(scope: Any, headers: Headers) -> None:
    """Raises `Forbidden` for a change that a session would grant and that does not say whose page began it:
    each browser says so with a form (Fetch, 3.2). A foreign page is refused by `check_page_of`."""
    tells = b"origin" in headers or b"sec-fetch-site" in headers
    if GRANTED in scope and scope["method"] not in READING and not tells:
        raise Forbidden("a browser's change without Origin or Sec-Fetch-Site is not taken")


def way_in(scope: Any, raw_path: bytes, headers: Headers) -> bytes | None:
    """Where a person who has to sign in first is sent; None for all else, which is told so in an error.

    Relative: a proxy in front may put Orchard under a path.
    """
    if (
        not raw_path.startswith(PAGES)
        or scope["method"] != "GET"
        or b"text/html" not in headers.get(b"accept", b"")
    ):
        return None
    wanted = raw_path[len(PAGES) :]
    up = b"../" * wanted.count(b"/") or b"./"
    query = scope["query_string"]
    to = quote((wanted + (b"?" + query if query else b"")).decode("latin-1"), safe="/")
    return up + b"signin?to=" + to.encode()
