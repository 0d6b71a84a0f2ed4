"""Request parameters that several routes share, and cursors of pages: opaque to clients, the key of the last
item to us.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from typing import Annotated, Any, TypeVar

import msgspec
from litestar.params import Parameter

from services.gateway.api.types import Page
from services.gateway.door.access import Access
from shared.digests import is_sha256
from shared.errors import Forbidden, InvalidParameter, Unauthorized
from shared.protocols import PROTOCOLS, find_protocol
from shared.protocols.base import PackageProxyBase

_MAX_NAME = 512  # characters

CheckMayRefresh = Callable[[], None]
"""Raises `Forbidden` unless an operator asks, `AccessUnknown`, `TooManyGuesses`."""

Limit = Annotated[int, Parameter(description="Items on a page, 1 to 500")]
Cursor = Annotated[str, Parameter(description="`next` of the page before")]


def check_sha256(text: str) -> str:
    """The digest in lower case. Raises `InvalidParameter`."""
    return check_key(text.lower(), "sha256")


def check_key(text: str, field: str = "key") -> str:
    """The key of a stored answer. Raises `InvalidParameter`."""
    if not is_sha256(text):
        raise InvalidParameter(f"{field}: expected 64 hex digits")
    return text


def package_name(protocol: str, text: str) -> tuple[PackageProxyBase, str]:
    """A protocol, and a package's canonical name in it, out of a path. Raises `InvalidParameter`."""
    known = find_protocol(protocol)
    if known is None:
        raise InvalidParameter(f"protocol: expected one of {', '.join(each.name for each in PROTOCOLS)}")
    name = text.strip("/")
    if not name or len(name) > _MAX_NAME or not name.isprintable():
        raise InvalidParameter("name: expected a package's name")
    return known, known.names.canonical_name(name)


def number(name: str, text: str, default: int) -> int:
    """Raises `InvalidParameter`."""
    if not text:
        return default
    if not text.isascii() or not text.isdigit() or len(text) > 9:
        raise InvalidParameter(f"{name}: expected a number, not {text[:40]!r}")
    return int(text)


def flag(name: str, text: str) -> bool:
    """A yes-or-no parameter; absent is no. Raises `InvalidParameter`."""
    if text in ("", "false", "0"):
        return False
    if text in ("true", "1"):
        return True
    raise InvalidParameter(f"{name}: expected true or false, not {text[:40]!r}")


def check_may_refresh(access: Access, authorization: str, client: str) -> None:
    """Raises `Forbidden` unless this header holds an admin token, `AccessUnknown`, `TooManyGuesses`."""
    try:
        access.administrator(authorization.encode("latin-1", "replace"), client)
    except (Unauthorized, Forbidden):
        raise Forbidden("refresh=true computes a kept answer again: it needs an admin token") from None


DEFAULT_LIMIT = 100
MAX_LIMIT = 500
_MAX_CURSOR_CHARACTERS = 4000

T = TypeVar("T")


def read_cursor(text: str, *types: type) -> list[Any] | None:
    """The key in a cursor, None for "" (the first page). Raises `InvalidParameter`."""
    if not text:
        return None
    if len(text) <= _MAX_CURSOR_CHARACTERS:
        try:
            padded = text + "=" * (-len(text) % 4)
            key = msgspec.json.decode(base64.b64decode(padded, altchars=b"-_", validate=True), type=list[Any])
        except (msgspec.MsgspecError, binascii.Error, ValueError):
            key = []
        if [type(value) for value in key] == list(types):
            return key
    raise InvalidParameter("cursor: not one that this list has given")


def page_of(rows: list[tuple[T, list[Any]]], limit: int, looked_after: list[Any] | None = None) -> Page[T]:
    """A page of `limit` items of rows that were asked for with one more. `looked_after`: where the look for
    them ended before that, None for the end of the list."""
    items = [item for item, _ in rows[:limit]]
    after = rows[limit - 1][1] if len(rows) > limit else looked_after
    if after is None:
        return Page(items)
    return Page(items, cursor_of(after))


def cursor_of(key: list[Any]) -> str:
    """The cursor of the page after the item with this key."""
    return base64.urlsafe_b64encode(msgspec.json.encode(key)).decode().rstrip("=")


def check_limit(limit: int) -> int:
    """Raises `InvalidParameter` outside 1 to 500."""
    if not 1 <= limit <= MAX_LIMIT:
        raise InvalidParameter(f"limit: from 1 to {MAX_LIMIT}, not {limit}")
    return limit
