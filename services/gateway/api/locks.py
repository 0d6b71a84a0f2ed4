"""The locks of ensure files that are kept, as a list."""

from __future__ import annotations

from typing import Any

import msgspec
from litestar import get

from services.gateway.api.parameters import Cursor, Limit, check_limit, page_of, read_cursor
from services.gateway.api.types import Page
from shared.postgres.database import Database

DEFAULT_LOCKS = 25
_READ_BYTES = 256 * 1024  # larger locks are listed without what they hold
_NEWEST = 2**62

# $1 and $2: time (microseconds) and key of the last one of the page before, $3 limit, $4 bytes.
LOCKS = """
SELECT encode(key, 'hex') AS key, extract(epoch FROM kept_at)::float8 AS kept_at,
    (extract(epoch FROM kept_at) * 1000000)::bigint AS us, octet_length(body) AS size_bytes,
    CASE WHEN octet_length(body) <= $4 THEN body END AS body
FROM ensures
WHERE (kept_at, key) < ('epoch'::timestamptz + $1::bigint * interval '1 microsecond', $2::bytea)
ORDER BY kept_at DESC, key DESC LIMIT $3
"""


class KeptLock(msgspec.Struct, frozen=True):
    """A lock; `/api/v1/ensures/{key}` is the whole of it."""

    key: str
    kept_at: float
    lock_bytes: int  # of the lock itself
    files: int | None  # distinct files that it names; null: too large to be read for a list
    size_bytes: int | None  # of these
    requirements: dict[str, int]  # how many by protocol


class _Lock(msgspec.Struct):
    """The part of a lock that is shown."""

    files: int = 0
    size_bytes: int = 0
    protocols: dict[str, _Graph] = {}


class _Graph(msgspec.Struct):
    requirements: list[str] = []


@get("/api/v1/ensures", summary="Locks that are kept", tags=["ensure"])
async def locks(database: Database, limit: Limit = DEFAULT_LOCKS, cursor: Cursor = "") -> Page[KeptLock]:
    """The newest first."""
    after = read_cursor(cursor, int, str)
    moment, key = (after[0], after[1]) if after is not None else (_NEWEST // 1000, "")
    rows = await database.fetch(
        LOCKS, min(max(0, moment), _NEWEST // 1000), _digest(key), check_limit(limit) + 1, _READ_BYTES
    )
    return page_of([(_shown(row), [row["us"], row["key"]]) for row in rows], limit)


def _digest(key: str) -> bytes:
    try:
        return bytes.fromhex(key)
    except ValueError:
        return b""


def _shown(row: Any) -> KeptLock:
    body = row["body"]
    lock = None if body is None else msgspec.json.decode(body, type=_Lock)
    return KeptLock(
        key=row["key"],
        kept_at=row["kept_at"],
        lock_bytes=row["size_bytes"],
        files=None if lock is None else lock.files,
        size_bytes=None if lock is None else lock.size_bytes,
        requirements={}
        if lock is None
        else {name: len(each.requirements) for name, each in lock.protocols.items()},
    )


HANDLERS = [locks]
