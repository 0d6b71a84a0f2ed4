"""`FeedRows`: the last good state of each feed, in the database."""

from __future__ import annotations

import msgspec

from services.fetcher.feeds.build import Made
from shared.access.feeds import FeedState, Project
from shared.postgres.database import Database, Row

_COLUMNS = """
    feed, good, tried, digest, advisories, left_out, fault, before, told, may_shrink,
    changed::text AS changed,
    coalesce(extract(epoch FROM told_read_at), 0)::float8 AS told_read_at,
    coalesce(extract(epoch FROM read_at), 0)::float8 AS read_at,
    coalesce(extract(epoch FROM confirmed_at), 0)::float8 AS confirmed_at
"""
_READ = f"SELECT {_COLUMNS} FROM osv_feeds WHERE feed = ANY($1::text[])"  # noqa: S608
_SNAPSHOT = "SELECT snapshot FROM osv_feeds WHERE feed = $1"
# Of two fetchers that read one feed, who began with the newer state wins. What changed since a state that
# nobody was told of may be anything.
_KEEP = """
INSERT INTO osv_feeds AS f
    (feed, good, tried, digest, snapshot, advisories, left_out, read_at, confirmed_at, before, changed)
VALUES ($1, $2, $2, $3, $4, $5, $6, to_timestamp($7), to_timestamp($7), $8, $9::jsonb)
ON CONFLICT (feed) DO UPDATE SET
    good = $2, tried = $2, digest = $3, snapshot = $4, advisories = $5, left_out = $6,
    read_at = to_timestamp($7), confirmed_at = to_timestamp($7), looked_at = now(), fault = '',
    before = $8, changed = CASE WHEN f.told = $8 THEN $9::jsonb END, may_shrink = false
WHERE f.digest = $8
"""
_CONFIRM = """
UPDATE osv_feeds SET confirmed_at = now(), looked_at = now(), good = $2, tried = $2, fault = ''
WHERE feed = $1
"""
_REFUSE = """
INSERT INTO osv_feeds AS f (feed, tried, fault) VALUES ($1, $2, $3)
ON CONFLICT (feed) DO UPDATE SET tried = $2, fault = $3, looked_at = now()
"""
_TOLD = "UPDATE osv_feeds SET told = $2, told_read_at = read_at WHERE feed = $1 AND digest = $2"


class Feed(msgspec.Struct, frozen=True):
    """A row, without its snapshot."""

    state: FeedState
    good: str = ""
    tried: str = ""
    told: str = ""
    told_read_at: float = 0.0  # unix seconds: when that was read; 0: none was told
    may_shrink: bool = False


_decode = msgspec.json.Decoder(tuple[Project, ...] | None).decode


class FeedRows:
    """Every method raises `DatabaseUnavailable`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def read(self, feeds: list[str]) -> dict[str, Feed]:
        """Those that were ever looked at."""
        return {row["feed"]: _feed(row) for row in await self._database.fetch(_READ, feeds)}

    async def snapshot(self, feed: str) -> bytes:
        """The packed snapshot; b"" of one that was never read."""
        row = await self._database.fetchrow(_SNAPSHOT, feed)
        return bytes(row["snapshot"]) if row is not None else b""

    async def keep(self, feed: str, state: str, made: Made, packed: bytes, before: str, now: float) -> None:
        """The new good state, unless another fetcher was faster. `now` in unix seconds."""
        changed = msgspec.json.encode(made.changed).decode()
        await self._database.execute(
            _KEEP, feed, state, made.digest, packed, made.count, made.left_out, now, before, changed
        )

    async def confirm(self, feed: str, state: str) -> None:
        """It is as it was, or says the same in another way."""
        await self._database.execute(_CONFIRM, feed, state)

    async def refuse(self, feed: str, tried: str, fault: str) -> None:
        """What it has now does not count, or it is away: the last good state stands."""
        await self._database.execute(_REFUSE, feed, tried[:512], fault[:500])

    async def note_told(self, feed: str, digest: str) -> None:
        """Its news were told."""
        await self._database.execute(_TOLD, feed, digest)


def _feed(row: Row) -> Feed:
    state = FeedState(
        feed=row["feed"],
        digest=row["digest"],
        count=row["advisories"],
        read_at=row["read_at"],
        confirmed_at=row["confirmed_at"],
        fault=row["fault"],
        left_out=row["left_out"],
        before=row["before"],
        changed=None if row["changed"] is None else _decode(row["changed"]),
    )
    return Feed(state, row["good"], row["tried"], row["told"], row["told_read_at"], row["may_shrink"])
