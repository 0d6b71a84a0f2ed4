"""`EnsureRepository`: kept locks, ensures in the making, and which documents of projects are stored.
Each method is one statement."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from shared.clients.postgres import Database
from shared.errors import ErrorValue

CACHED_AS = "ensure"
"""Stands in the cache keys where a resolution has its protocol."""

FIND = "SELECT body FROM ensures WHERE key = $1"

# The first complete lock stands; only a refresh replaces it.
KEEP = """
WITH done AS (DELETE FROM ensure_progress WHERE key = $1),
kept AS (
    INSERT INTO ensures AS standing (key, body) VALUES ($1, $2)
    ON CONFLICT (key) DO UPDATE SET
        body = CASE WHEN $3 THEN excluded.body ELSE standing.body END,
        kept_at = CASE WHEN $3 THEN now() ELSE standing.kept_at END
    RETURNING body
)
SELECT body FROM kept
"""

PROGRESS = "SELECT state FROM ensure_progress WHERE key = $1"

# Those left behind by a job that was given up go when others write.
SAVE_PROGRESS = """
WITH old AS (DELETE FROM ensure_progress WHERE updated_at < now() - interval '1 day' AND key <> $1)
INSERT INTO ensure_progress (key, state) VALUES ($1, $2)
ON CONFLICT (key) DO UPDATE SET state = excluded.state, updated_at = now()
"""

END_PROGRESS = "DELETE FROM ensure_progress WHERE key = $1"

RESOLVING = "SELECT state FROM resolution_progress WHERE key = ANY($1::bytea[])"

DOCUMENTS = """
SELECT identity, document_key FROM index_documents WHERE protocol = $1 AND identity = ANY($2::text[])
"""


def ended_identifier(key: str) -> str:
    """Where in the cache an end that is not kept lies for a while, for those who ask later."""
    return f"ended-{key}"


class Ended(msgspec.Struct, frozen=True):
    """How an ensure ended whose lock is not kept: with an incomplete lock, or with an error."""

    lock: bytes = b""  # JSON
    error: ErrorValue | None = None


_decode_ended = msgspec.msgpack.Decoder(Ended).decode


def encode_ended(ended: Ended) -> bytes:
    """The cached form."""
    return msgspec.msgpack.encode(ended)


def decode_ended(value: bytes) -> Ended | None:
    """What was cached; None for what this version cannot read."""
    try:
        return _decode_ended(value)
    except msgspec.MsgspecError:
        return None


class EnsureRepository:
    """All methods raise `DatabaseUnavailable` (passing) or `InvalidData`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def find(self, key: str) -> bytes | None:
        """The kept lock, as JSON, or None."""
        row = await self._database.fetchrow(FIND, bytes.fromhex(key))
        return None if row is None else bytes(row["body"])

    async def keep(self, key: str, body: bytes, *, replace: bool) -> bytes:
        """Keep a complete lock for ever; the one that stands (an earlier one, unless `replace`)."""
        row = await self._database.fetchrow(KEEP, bytes.fromhex(key), body, replace)
        assert row is not None
        return bytes(row["body"])

    async def progress(self, key: str) -> bytes | None:
        """The saved state of an ensure in the making."""
        row = await self._database.fetchrow(PROGRESS, bytes.fromhex(key))
        return None if row is None else bytes(row["state"])

    async def save_progress(self, key: str, state: bytes) -> None:
        """Replace the saved state."""
        await self._database.execute(SAVE_PROGRESS, bytes.fromhex(key), state)

    async def end_progress(self, key: str) -> None:
        """Forget the saved state."""
        await self._database.execute(END_PROGRESS, bytes.fromhex(key))

    async def resolving(self, keys: Sequence[str]) -> list[bytes]:
        """The saved states of those of these resolutions that are in the making."""
        rows = await self._database.fetch(RESOLVING, [bytes.fromhex(key) for key in keys])
        return [bytes(row["state"]) for row in rows]

    async def documents(self, protocol: str, identities: Sequence[str]) -> dict[str, str]:
        """Of these indexes those whose last good document is stored: identity → object key."""
        rows = await self._database.fetch(DOCUMENTS, protocol, list(identities))
        return {row["identity"]: row["document_key"] for row in rows}
