"""The admin API: feeds of advisories, and what is under quarantine by them."""

from __future__ import annotations

from litestar import Response, get, post
from litestar.response import Stream

from services.gateway.api.admin.feed_types import AcceptedFeed, FeedEntry, QuarantineEntry
from services.gateway.api.admin.repository import Actor, AdminRepository
from services.gateway.api.parameters import DEFAULT_LIMIT, Cursor, Limit, check_limit, page_of, read_cursor
from services.gateway.api.types import Page
from services.gateway.hits.stored_objects import StoredObjects
from shared.access.watcher import AccessWatcher
from shared.digests import is_sha256
from shared.errors import EntryNotFound
from shared.errors.passing import ObjectMissing
from shared.postgres.database import Database, Row
from shared.protocols.package_urls import told_purl

_ACCEPT = """
WITH accepted AS (
    UPDATE osv_feeds SET may_shrink = true, tried = '' WHERE feed = $3 AND digest <> '' RETURNING feed
), noted AS (
    INSERT INTO audit (who, request_id, action, target)
    SELECT $1, $2, 'feeds.accept', left(feed, 1000) FROM accepted
)
SELECT feed FROM accepted
"""
_COLUMNS = """
    q.protocol, q.project, q.version, q.filename, q.advisory, encode(q.sha256, 'hex') AS sha256,
    extract(epoch FROM q.since)::float8 AS since, a.size_bytes, a.object_key
"""
_LIST = f"""
SELECT {_COLUMNS}, (extract(epoch FROM q.since) * 1000000)::bigint AS us, q.file_id
FROM quarantine q JOIN artifacts a USING (sha256)
WHERE (q.since, q.protocol, q.project, q.file_id, q.filename)
    > ('epoch'::timestamptz + $1::bigint * interval '1 microsecond', $2, $3, $4, $5)
ORDER BY q.since, q.protocol, q.project, q.file_id, q.filename LIMIT $6
"""  # noqa: S608 - of constants
_FIND = f"SELECT {_COLUMNS} FROM quarantine q JOIN artifacts a USING (sha256) WHERE q.sha256 = $1 LIMIT 1"  # noqa: S608


class FeedRepository:
    """Every method raises `DatabaseUnavailable`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def accept(self, actor: Actor, feed: str) -> bool:
        """Have the feed read again, however small; whether there is such a feed."""
        return bool(await self._database.fetch(_ACCEPT, actor.name, actor.request_id, feed))

    async def quarantine(
        self, after: list[object] | None, limit: int
    ) -> list[tuple[QuarantineEntry, list[object]]]:
        """What is stored of malware, the oldest first, with the key of each."""
        rows = await self._database.fetch(_LIST, *(after or [-1, "", "", "", ""]), limit)
        keys = ("us", "protocol", "project", "file_id", "filename")
        return [(_entry(row), [row[name] for name in keys]) for row in rows]

    async def find(self, sha256: str) -> tuple[QuarantineEntry, str]:
        """One, and the key of its object. Raises `EntryNotFound`."""
        row = await self._database.fetchrow(_FIND, bytes.fromhex(sha256)) if is_sha256(sha256) else None
        if row is None:
            raise EntryNotFound(
                f"nothing with the SHA256 {sha256[:64]} is under quarantine",
                hint="`orchard quarantine list` shows what is.",
            )
        return _entry(row), row["object_key"]


def _entry(row: Row) -> QuarantineEntry:
    return QuarantineEntry(
        sha256=row["sha256"],
        purl=told_purl(row["protocol"], row["project"], row["version"], row["filename"]),
        protocol=row["protocol"],
        project=row["project"],
        version=row["version"],
        filename=row["filename"],
        advisory=row["advisory"],
        since=row["since"],
        size_bytes=row["size_bytes"],
    )


@get("/api/v1/admin/feeds", summary="Feeds of advisories")
async def feeds(access_watcher: AccessWatcher) -> Page[FeedEntry]:
    """What counts of each in this gateway, since when, and what is wrong with what it has now."""
    return Page(
        [
            FeedEntry(
                each.feed,
                each.count,
                each.left_out,
                each.read_at or None,
                each.confirmed_at or None,
                each.fault,
            )
            for each in access_watcher.feeds.state.feeds
        ]
    )


@post("/api/v1/admin/feeds/accept", summary="Accept that a feed has shrunk", status_code=200)
async def accept_feed(feed_repository: FeedRepository, actor: Actor, data: AcceptedFeed) -> AcceptedFeed:
    """What the feed has at the next look counts, however much smaller it is than what counts now."""
    if not await feed_repository.accept(actor, data.feed):
        raise EntryNotFound(
            f"no feed {data.feed[:200]} was ever read", hint="Name one that `orchard feeds list` shows."
        )
    return data


@get("/api/v1/admin/quarantine", summary="Stored files that are malware")
async def quarantine(
    feed_repository: FeedRepository, limit: Limit = DEFAULT_LIMIT, cursor: Cursor = ""
) -> Page[QuarantineEntry]:
    """The oldest first. They are served to nobody, and evicted by nothing."""
    after = read_cursor(cursor, int, str, str, str, str)
    return page_of(await feed_repository.quarantine(after, check_limit(limit) + 1), limit)


@get("/api/v1/admin/quarantine/{sha256:str}", summary="The bytes of a file under quarantine")
async def quarantined(
    feed_repository: FeedRepository,
    repository: AdminRepository,
    objects: StoredObjects,
    actor: Actor,
    sha256: str,
) -> Response[bytes] | Stream:
    """For who examines it. In the audit before a byte goes out."""
    entry, key = await feed_repository.find(sha256.lower())
    body = await objects.open(key, 0, entry.size_bytes, size_bytes=entry.size_bytes)
    if body is None:
        raise ObjectMissing(f"the file with the SHA256 {entry.sha256} is not in the object store")
    try:
        await repository.note(actor, "quarantine.read", f"sha256:{entry.sha256}", {"file": entry.filename})
    except BaseException:
        if not isinstance(body, bytes):
            await body.aclose()
        raise
    headers = {
        "content-disposition": f'attachment; filename="{entry.sha256}.quarantined"',
        "content-length": str(entry.size_bytes),
        "cache-control": "no-store",
        "x-content-type-options": "nosniff",
    }
    kind = "application/octet-stream"
    if isinstance(body, bytes):
        return Response(body, headers=headers, media_type=kind)
    return Stream(body.chunks(), headers=headers, media_type=kind)


HANDLERS = [feeds, accept_feed, quarantine, quarantined]
