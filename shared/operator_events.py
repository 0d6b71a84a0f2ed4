"""`EventRepository`: what was noted for operators, and the one change that they make to it: accept.

Events are written by `ArtifactRepository.record_event`; the same one again raises its count.
"""

from __future__ import annotations

from typing import Any

import msgspec

from shared.administration import Actor
from shared.clients.postgres import Database, Row
from shared.errors import Conflict, EntryNotFound, InvalidParameter

MUTATED = "upstream_mutated"

# Other bytes by the same algorithm: a page tells another digest than a download.
_NEWER = """
    SELECT FROM events n WHERE n.kind = e.kind AND n.protocol = e.protocol AND n.project = e.project
        AND n.filename = e.filename AND (n.last_at, n.id) > (e.last_at, e.id)
        AND n.detail ->> 'sealed_sha256' = e.detail ->> 'sealed_sha256'
        AND n.detail ->> 'upstream_sha256' <> e.detail ->> 'upstream_sha256'
        AND length(n.detail ->> 'upstream_sha256') = length(e.detail ->> 'upstream_sha256')
"""

_OF_SEALED = """
    c.protocol = e.protocol AND c.project = e.project AND c.filename = e.filename
    AND encode(c.sha256, 'hex') = e.detail ->> 'sealed_sha256'
"""

_SHOWN = f"""
    e.id, e.kind, e.protocol, e.project, e.filename, e.detail::text AS detail, e.count,
    extract(epoch FROM e.at)::float8 AS first_at, extract(epoch FROM e.last_at)::float8 AS last_at,
    (extract(epoch FROM e.last_at) * 1000000)::bigint AS last_us,
    e.kind = '{MUTATED}' AND NOT EXISTS ({_NEWER})
        AND EXISTS (SELECT FROM cached_urls c WHERE {_OF_SEALED}) AS acceptable
"""

# $1 kind, $2 protocol, $3 project ('': any), $4 since (unix seconds), $5 and $6 the last one's time in
# microseconds and id, $7 limit.
LIST = f"""
SELECT {_SHOWN} FROM events e
WHERE ($1 = '' OR e.kind = $1) AND ($2 = '' OR e.protocol = $2) AND ($3 = '' OR e.project = $3)
    AND e.last_at >= to_timestamp($4::float8)
    AND (e.last_at, e.id) < ('epoch'::timestamptz + $5::bigint * interval '1 microsecond', $6::bigint)
ORDER BY e.last_at DESC, e.id DESC LIMIT $7
"""  # noqa: S608 - of constants

FIND = f"SELECT {_SHOWN} FROM events e WHERE e.id = $1"  # noqa: S608 - of constants

# $1 who, $2 request, $3 event, $4 a generation newer than every claim so far: a job that has read the row
# before cannot store its document any more. Without validators the next question brings the whole document.
ACCEPT = f"""
WITH event AS (
    SELECT * FROM events e WHERE e.id = $3 AND e.kind = '{MUTATED}' AND NOT EXISTS ({_NEWER})
), gone AS (
    DELETE FROM cached_urls c USING event e WHERE {_OF_SEALED} RETURNING c.file_id, c.filename
), described AS (
    DELETE FROM cached_urls c USING event e, gone g
    WHERE c.protocol = e.protocol AND c.project = e.project AND c.file_id = g.file_id
        AND c.filename = g.filename || '.metadata' AND c.role = 'metadata'
    RETURNING c.file_id, c.filename
), fenced AS (
    UPDATE index_documents d
    SET generation = greatest(d.generation, $4), upstream_etag = '', upstream_last_modified = ''
    FROM event e WHERE d.protocol = e.protocol AND d.project = e.project AND EXISTS (SELECT FROM gone)
    RETURNING d.identity, d.source_id, d.document_key, extract(epoch FROM d.fetched_at)::float8 AS fetched_at
), noted AS (
    INSERT INTO audit (who, request_id, action, target, after)
    SELECT $1, $2, 'event.accept', concat_ws('/', e.protocol, e.project, e.filename),
        e.detail || jsonb_build_object('event', e.id)
    FROM event e WHERE EXISTS (SELECT FROM gone)
)
SELECT 'file' AS what, file_id, filename, '' AS identity, 0::bigint AS source_id, '' AS document_key,
    0::float8 AS fetched_at FROM (SELECT * FROM gone UNION ALL SELECT * FROM described) AS f
UNION ALL
SELECT 'page', '', '', identity, source_id, document_key, fetched_at FROM fenced
"""  # noqa: S608 - of constants

NEWEST = 2**62


class OperatorEvent(msgspec.Struct, frozen=True):
    """Something an operator should know. `acceptable`: `accept` would have an effect."""

    id: int
    kind: str
    protocol: str
    project: str
    filename: str
    detail: Any
    count: int
    first_at: float  # unix seconds
    last_at: float
    acceptable: bool


class FencedPage(msgspec.Struct, frozen=True):
    """An index of the project whose stored document nobody older may replace now."""

    identity: str
    source_id: int
    document_key: str
    fetched_at: float


class Accepted(msgspec.Struct, frozen=True):
    """What an acceptance freed: (file id, file name) of the rows that are gone, and pages to make anew."""

    event: OperatorEvent
    files: list[tuple[str, str]]
    pages: list[FencedPage]


class EventRepository:
    """Every method raises `DatabaseUnavailable` besides what it names."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def list(
        self, kind: str, protocol: str, project: str, since: float, after: list[int] | None, limit: int
    ) -> list[tuple[OperatorEvent, list[Any]]]:
        """`limit` events that were seen since, the one seen last first, with the key of each; "" is any."""
        start = after or [NEWEST // 1000, NEWEST]
        rows = await self._database.fetch(LIST, kind, protocol, project, since, *start, limit)
        return [(_event(row), [row["last_us"], row["id"]]) for row in rows]

    async def find(self, event_id: int) -> OperatorEvent:
        """Raises `EntryNotFound`."""
        row = await self._database.fetchrow(FIND, event_id)
        if row is None:
            raise EntryNotFound(f"there is no event {event_id}")
        return _event(row)

    async def accept(self, actor: Actor, event_id: int, generation: int) -> Accepted:
        """Lets go of the sealed bytes under the event's name; the object stays. One statement, audited.

        Raises `EntryNotFound`, `InvalidParameter` for an event of another kind, and `Conflict` where what
        it tells of is no longer so.
        """
        event = await self.find(event_id)
        if event.kind != MUTATED:
            raise InvalidParameter(f"event: only {MUTATED} can be accepted, and this is {event.kind}")
        rows = await self._database.fetch(ACCEPT, actor.name, actor.request_id, event_id, generation)
        files = [(row["file_id"], row["filename"]) for row in rows if row["what"] == "file"]
        if not files:
            raise Conflict(
                f"event {event_id} tells of what is no longer so: it was accepted before, or the upstream "
                "has sent other bytes since (the newest event of this file tells which)"
            )
        pages = [
            FencedPage(row["identity"], row["source_id"], row["document_key"], row["fetched_at"])
            for row in rows
            if row["what"] == "page"
        ]
        return Accepted(event, files, pages)


def _event(row: Row) -> OperatorEvent:
    values = {name: row[name] for name in OperatorEvent.__struct_fields__}
    return OperatorEvent(**{**values, "detail": msgspec.json.decode(row["detail"])})
