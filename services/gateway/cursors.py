"""Cursors of the API's pages: opaque to clients, the key of the last item to us."""

from __future__ import annotations

import base64
import binascii
from typing import Any, TypeVar

import msgspec

from shared.api_types import Page
from shared.errors import InvalidParameter

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


def page_of(rows: list[tuple[T, list[Any]]], limit: int) -> Page[T]:
    """A page of `limit` items of rows that were asked for with one more."""
    items = [item for item, _ in rows[:limit]]
    if len(rows) <= limit:
        return Page(items)
    text = base64.urlsafe_b64encode(msgspec.json.encode(rows[limit - 1][1])).decode().rstrip("=")
    return Page(items, text)


def check_limit(limit: int) -> int:
    """Raises `InvalidParameter` outside 1 to 500."""
    if not 1 <= limit <= MAX_LIMIT:
        raise InvalidParameter(f"limit: from 1 to {MAX_LIMIT}, not {limit}")
    return limit
