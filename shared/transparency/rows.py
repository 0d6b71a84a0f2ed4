"""`LogRows`: the log's rows in Postgres, one statement each. They decide what is in the log, in which order.

All methods raise `DatabaseUnavailable` (passing) and `InvalidData`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from shared.postgres.database import Database

BUNDLES = -1  # the level under which bundles of entries stand

STATE = """
SELECT size, collected, key, checkpoint_size, checkpoint, cosigned_size, cosigned FROM log_state
"""

WAITING = """
SELECT id, to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS time, kind, body::text AS body
FROM log_outbox WHERE kind = ANY ($1) ORDER BY id LIMIT $2
"""

# $1 the size before, $2 ids of the outbox, $3 entries, $4 digests of files that they admit (null: of none).
APPEND = """
WITH given AS (
    SELECT $1::bigint + at - 1 AS leaf, id, data, sha256
    FROM unnest($2::bigint[], $3::bytea[], $4::bytea[]) WITH ORDINALITY AS t (id, data, sha256, at)
), standing AS (
    SELECT count(*) AS many FROM log_outbox WHERE id = ANY ($2)
), grown AS (
    UPDATE log_state SET size = size + cardinality($2) FROM standing
    WHERE size = $1 AND collected AND many = cardinality($2) RETURNING true AS done
), gone AS (
    DELETE FROM log_outbox WHERE id = ANY ($2) AND EXISTS (SELECT FROM grown)
), numbered AS (
    INSERT INTO log_tail (leaf, data) SELECT leaf, data FROM given WHERE EXISTS (SELECT FROM grown)
), found AS (
    INSERT INTO log_files (sha256, leaf)
    SELECT sha256, leaf FROM given WHERE sha256 IS NOT NULL AND EXISTS (SELECT FROM grown)
)
SELECT EXISTS (SELECT FROM grown)
"""

TAIL = "SELECT leaf, data FROM log_tail WHERE leaf >= $1 AND leaf < $2 ORDER BY leaf"
FIRST_OF_TAIL = "SELECT min(leaf) AS leaf FROM log_tail"

# $1 the first leaf of a full bundle, $2 levels, $3 indexes, $4 digests, $5 roots.
BUNDLED = """
WITH named AS (
    INSERT INTO log_tiles (level, index, sha256, root)
    SELECT * FROM unnest($2::smallint[], $3::bigint[], $4::bytea[], $5::bytea[]) ON CONFLICT DO NOTHING
)
DELETE FROM log_tail WHERE leaf >= $1 AND leaf < $1 + 256
"""

ROOTS = "SELECT root FROM log_tiles WHERE level = $1 AND index >= $2 AND index < $3 ORDER BY index"
TILE = "SELECT sha256 FROM log_tiles WHERE level = $1 AND index = $2"
# $1 a digest, $2 entries that are of interest; null: those of the newest checkpoint.
SOUGHT = f"""
SELECT s.*, f.leaf, t.sha256 AS bundle
FROM ({STATE}) s
LEFT JOIN LATERAL (
    SELECT max(leaf) AS leaf FROM log_files WHERE sha256 = $1 AND leaf < coalesce($2, s.checkpoint_size)
) f ON true
LEFT JOIN log_tiles t ON t.level = {BUNDLES} AND t.index = f.leaf / 256
"""  # noqa: S608 - of constants

PUBLISH = """
UPDATE log_state SET checkpoint = $1, checkpoint_size = $2, key = $3,
    cosigned = CASE WHEN key = $3 THEN cosigned ELSE '' END,
    cosigned_size = CASE WHEN key = $3 THEN cosigned_size ELSE -1 END
WHERE size >= $2 AND (checkpoint_size < $2 OR key <> $3) RETURNING true
"""
COSIGN = """
UPDATE log_state SET cosigned = $1, cosigned_size = $2
WHERE size >= $2 AND cosigned_size <= $2 AND cosigned = $3 RETURNING true
"""


class LogState(msgspec.Struct, frozen=True):
    """How far the log is. A `checkpoint_size` of -1: none was signed yet."""

    size: int
    collected: bool
    key: str
    checkpoint_size: int
    checkpoint: bytes
    cosigned_size: int
    cosigned: bytes


class Waiting(msgspec.Struct, frozen=True):
    """What is to be logged. `body`: JSON of the migration that makes it."""

    id: int
    time: str
    kind: str
    body: str


class FullTile(msgspec.Struct, frozen=True):
    """A row of a full tile, or of a bundle (level `BUNDLES`)."""

    level: int
    index: int
    sha256: bytes
    root: bytes


class LogRows:
    """Over a database that others open and close."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def state(self) -> LogState:
        """As it stands."""
        row = await self._database.fetchrow(STATE)
        assert row is not None
        return LogState(**dict(row))

    async def waiting(self, kinds: Sequence[str], most: int) -> list[Waiting]:
        """What is to be logged next, in order; of these kinds, since others are of a later version."""
        return [Waiting(**dict(row)) for row in await self._database.fetch(WAITING, kinds, most)]

    async def append(
        self, size: int, ids: Sequence[int], entries: Sequence[bytes], files: Sequence[bytes | None]
    ) -> bool:
        """Number entries from `size` on. False, and nothing is written, where the log has another size, or a
        row of the outbox is gone: another has written."""
        row = await self._database.fetchrow(APPEND, size, ids, entries, files)
        return row is not None and bool(row[0])

    async def tail(self, first: int, end: int) -> list[bytes]:
        """The entries from `first` up to but excluding `end` that are in no bundle; none where one lacks."""
        rows = await self._database.fetch(TAIL, first, end)
        return [bytes(row["data"]) for row in rows] if len(rows) == end - first else []

    async def first_of_tail(self, size: int) -> int:
        """The first entry that is in no bundle; `size` where all are."""
        row = await self._database.fetchrow(FIRST_OF_TAIL)
        return size if row is None or row["leaf"] is None else int(row["leaf"])

    async def bundled(self, first: int, tiles: Sequence[FullTile]) -> None:
        """Note full tiles, whose objects are stored, and empty the tail of the bundle's entries. May be
        repeated."""
        columns: list[list[Any]] = [
            list(column) for column in zip(*map(msgspec.structs.astuple, tiles), strict=True)
        ]
        await self._database.execute(BUNDLED, first, *columns)

    async def roots(self, level: int, first: int, end: int) -> list[bytes]:
        """Of full tiles of a level the roots; fewer where they are not full yet."""
        return [bytes(row["root"]) for row in await self._database.fetch(ROOTS, level, first, end)]

    async def tile(self, level: int, index: int) -> str:
        """The SHA256 (hex) of a full tile's object; "" where it is not full."""
        row = await self._database.fetchrow(TILE, level, index)
        return "" if row is None else bytes(row["sha256"]).hex()

    async def sought(self, sha256: str, size: int | None = None) -> tuple[LogState, int | None, str]:
        """How far the log is, the last of the first `size` entries (None: of those under the newest
        checkpoint) that admitted a file with this digest (hex), None: none did, and the SHA256 of the object
        of its bundle, "" where that is not full."""
        row = await self._database.fetchrow(SOUGHT, bytes.fromhex(sha256), size)
        assert row is not None
        state = LogState(**{name: row[name] for name in LogState.__struct_fields__})
        return state, row["leaf"], bytes(row["bundle"] or b"").hex()

    async def publish(self, checkpoint: bytes, size: int, key: str) -> bool:
        """Keep a newer checkpoint, or that of another key, which no witness has seen. False: a newer one
        stands."""
        return bool(await self._database.fetch(PUBLISH, checkpoint, size, key))

    async def cosign(self, cosigned: bytes, size: int, before: bytes) -> bool:
        """Keep a cosigned checkpoint in the place of `before`. False: another stands by now, or a newer."""
        return bool(await self._database.fetch(COSIGN, cosigned, size, before))
