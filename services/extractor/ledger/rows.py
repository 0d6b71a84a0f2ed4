"""`LedgerRows`: batches of servings into their tables, each batch once.

Clients and files are rows of their own, found by a hash of what they are; a serving is numbers. The rows of a
batch, their sums by day, and the number under which it counts as kept are one statement, and so one
transaction: whoever keeps it again, after a kill or beside another extractor, changes nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta

import msgspec

from shared.digests import is_sha256
from shared.errors import InvalidData
from shared.errors.passing import DatabaseUnavailable
from shared.ledger.batch import Batch, Client, File, Serving
from shared.postgres.database import Database
from shared.process.bounded import Bounded
from shared.protocols import named_alike

REMEMBERED = 50_000  # ids of clients, and as many of files
GATEWAY_DAYS = 30  # so long after its last batch a gateway's number is kept
PURGED = 500  # rows of one statement: each is a page of four indexes

CLIENTS = """
INSERT INTO serving_clients AS c (key, address, token, tool, version, seen_on)
SELECT key, address, token, tool, version, $6
FROM unnest($1::bytea[], $2::text[], $3::text[], $4::text[], $5::text[])
    AS t (key, address, token, tool, version)
ORDER BY key
ON CONFLICT (key) DO UPDATE SET seen_on = greatest(c.seen_on, excluded.seen_on)
RETURNING key, id
"""

FILES = """
INSERT INTO serving_files AS f (key, protocol, project, alike, version, filename, sha256, seen_on)
SELECT key, protocol, project, alike, version, filename, sha256, $8
FROM unnest($1::bytea[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::bytea[])
    AS t (key, protocol, project, alike, version, filename, sha256)
ORDER BY key
ON CONFLICT (key) DO UPDATE SET seen_on = greatest(f.seen_on, excluded.seen_on)
RETURNING key, id
"""

# $1 instance, $2 number, $3 dropped, then the columns.
KEEP = """
WITH fresh AS (
    INSERT INTO serving_gateways AS g (instance, last, dropped) VALUES ($1, $2, $3)
    ON CONFLICT (instance) DO UPDATE
        SET last = excluded.last, dropped = g.dropped + excluded.dropped, kept_at = now()
        WHERE g.last < excluded.last
    RETURNING 1
), given AS (
    SELECT to_timestamp(at) AS at, size_bytes, file_id, client_id, times, result, cache, code
    FROM unnest($4::float8[], $5::bigint[], $6::integer[], $7::integer[], $8::integer[], $9::smallint[],
                $10::text[], $11::text[])
        AS t (at, size_bytes, file_id, client_id, times, result, cache, code)
    WHERE EXISTS (SELECT FROM fresh)
), kept AS (
    INSERT INTO servings (at, size_bytes, file_id, client_id, times, result, cache, code)
    SELECT at, size_bytes, file_id, client_id, times, result, cache, code FROM given
), summed AS (
    INSERT INTO servings_daily AS d (day, file_id, client_id, result, code, times, first_at, last_at)
    SELECT (at AT TIME ZONE 'UTC')::date, file_id, client_id, result, code, sum(times), min(at), max(at)
    FROM given GROUP BY 1, 2, 3, 4, 5 ORDER BY 2, 3, 4, 5, 1
    ON CONFLICT (file_id, client_id, result, code, day) DO UPDATE SET
        times = d.times + excluded.times,
        first_at = least(d.first_at, excluded.first_at),
        last_at = greatest(d.last_at, excluded.last_at)
)
SELECT EXISTS (SELECT FROM fresh)
"""

ADD_DAY = "SELECT add_servings_day($1)"
DROP_DAYS = "SELECT drop_servings_before($1)"
# In order, or the last look, which finds nothing, reads all.
PURGE_CLIENTS = """
DELETE FROM serving_clients WHERE id IN (
    SELECT id FROM serving_clients WHERE seen_on < $1 ORDER BY seen_on LIMIT $2)
"""
PURGE_FILES = """
DELETE FROM serving_files WHERE id IN (
    SELECT id FROM serving_files WHERE seen_on < $1 ORDER BY seen_on LIMIT $2)
"""
PURGE_GATEWAYS = "DELETE FROM serving_gateways WHERE kept_at < now() - $1 * interval '1 day'"

_Columns = tuple[str | bytes, ...]


class Kept(msgspec.Struct, frozen=True):
    """What became of a batch's servings."""

    stored: int = 0
    repeated: int = 0  # the batch was kept before
    expired: int = 0  # older than what is kept


def today() -> date:
    """Of UTC, as the partitions are."""
    return datetime.now(UTC).date()


class LedgerRows:
    """All methods raise `DatabaseUnavailable` and `InvalidData`. `days`: how long servings are kept."""

    def __init__(self, database: Database, *, days: int) -> None:
        self._database = database
        self._days = days
        self._known_on = date.min  # the day of which `_clients` and `_files` are
        self._clients = Bounded[bytes, int](REMEMBERED)
        self._files = Bounded[bytes, int](REMEMBERED)
        self._partitions: set[date] = set()

    async def prepare(self) -> int:
        """Make the partitions of the next days, drop what is too old; how many days went."""
        self._forget()  # whoever else works on the tables tells us nothing
        first = today()
        for ahead in range(3):
            await self._add_day(first + timedelta(days=ahead))
        return await self.drop_before(first - timedelta(days=self._days))

    async def drop_before(self, oldest: date) -> int:
        """Drop the days before `oldest`, and who and what no later serving names; how many days went."""
        dropped = await self._database.fetchrow(DROP_DAYS, oldest)
        self._partitions = {day for day in self._partitions if day >= oldest}
        for statement in (PURGE_CLIENTS, PURGE_FILES):
            while (await self._database.execute(statement, oldest, PURGED)).endswith(f" {PURGED}"):
                pass
        await self._database.execute(PURGE_GATEWAYS, GATEWAY_DAYS)
        return int(dropped[0]) if dropped is not None else 0

    async def keep(self, batch: Batch) -> Kept:
        """Store a batch, unless it was stored before. Batches of one gateway must come in order."""
        try:
            return await self._keep(batch)
        except DatabaseUnavailable:  # after a failover it may lack what we remember
            self._forget()
            raise
        except InvalidData:  # its day may be gone: another dropped it, or a backup was restored
            self._forget()
            return await self._keep(batch)

    def _forget(self) -> None:
        self._known_on = date.min
        self._partitions.clear()

    async def _keep(self, batch: Batch) -> Kept:
        now = datetime.now(UTC)
        if now.date() != self._known_on:  # whoever is seen today has to be marked so
            self._known_on = now.date()
            self._clients.clear()
            self._files.clear()
        oldest = now.date() - timedelta(days=self._days)
        newest = (now + timedelta(days=1)).timestamp()
        taken = [
            each if each.at < newest else msgspec.structs.replace(each, at=now.timestamp())  # a wrong clock
            for each in batch.servings
        ]
        taken = [each for each in taken if _day(each) >= oldest]
        for day in sorted({_day(each) for each in taken} - self._partitions):
            await self._add_day(day)
        clients = await self._ids_of_clients(
            [batch.clients[n] for n in sorted({each.client for each in taken})]
        )
        files = await self._ids_of_files([batch.files[n] for n in sorted({each.file for each in taken})])
        row = await self._database.fetchrow(
            KEEP,
            batch.instance[:64],
            batch.number,
            batch.dropped,
            [each.at for each in taken],
            [each.size_bytes for each in taken],
            [files[batch.files[each.file]] for each in taken],
            [clients[batch.clients[each.client]] for each in taken],
            [each.times for each in taken],
            [each.result for each in taken],
            [_clean(each.cache, 16) for each in taken],
            [_clean(each.code, 64) for each in taken],
        )
        stored, given = sum(each.times for each in taken), sum(each.times for each in batch.servings)
        if row is None or not row[0]:
            return Kept(repeated=given)
        return Kept(stored=stored, expired=given - stored)

    async def _add_day(self, day: date) -> None:
        if day not in self._partitions:
            await self._database.execute(ADD_DAY, day)
            self._partitions.add(day)

    async def _ids_of_clients(self, clients: Sequence[Client]) -> dict[Client, int]:
        rows: dict[bytes, _Columns] = {
            _key(each): (
                _clean(each.address, 64),
                _clean(each.token, 128),
                _clean(each.tool, 64),
                _clean(each.version, 64),
            )
            for each in clients
        }
        ids = await self._ids(CLIENTS, rows, self._clients)
        return {each: ids[_key(each)] for each in clients}

    async def _ids_of_files(self, files: Sequence[File]) -> dict[File, int]:
        rows: dict[bytes, _Columns] = {}
        for each in files:
            digest = bytes.fromhex(each.sha256) if is_sha256(each.sha256) else b""
            protocol, project = _clean(each.protocol, 32), _clean(each.project, 512)
            alike = _clean(named_alike(protocol, project).lower(), 512)
            version, filename = _clean(each.version, 512), _clean(each.filename, 1024)
            rows[_key(each)] = (protocol, project, alike, version, filename, digest)
        ids = await self._ids(FILES, rows, self._files)
        return {each: ids[_key(each)] for each in files}

    async def _ids(
        self, statement: str, rows: Mapping[bytes, _Columns], known: Bounded[bytes, int]
    ) -> dict[bytes, int]:
        """By key, those of rows that are not there yet made now."""
        ids = {key: found for key in rows if (found := known.use(key)) is not None}
        missing = {key: row for key, row in rows.items() if key not in ids}
        if missing:
            columns = [list(column) for column in zip(*missing.values(), strict=True)]
            # A serving may be of tomorrow: clocks differ.
            seen_on = self._known_on + timedelta(days=1)
            for row in await self._database.fetch(statement, list(missing), *columns, seen_on):
                ids[bytes(row["key"])] = row["id"]
                known.put(bytes(row["key"]), row["id"])
        return ids


def _day(serving: Serving) -> date:
    return datetime.fromtimestamp(max(0.0, serving.at), UTC).date()


_encode = msgspec.msgpack.Encoder().encode


def _key(row: Client | File) -> bytes:
    return hashlib.sha256(_encode(row)).digest()


def _clean(text: str, most_bytes: int) -> str:
    """Text that a column takes, whoever wrote the batch."""
    text = text.replace("\x00", "")
    if len(text) * 4 <= most_bytes:
        return text
    return text.encode(errors="replace")[:most_bytes].decode(errors="ignore")
