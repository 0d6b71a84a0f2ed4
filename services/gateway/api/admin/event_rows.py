"""`EventRepository`: the events recorded for operators, and how one of them is accepted.

Events are written by `ArtifactRepository.record_event`; the same one again raises its count.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from services.gateway.api.admin.repository import Actor
from shared.artifacts.event_kinds import WARNED
from shared.errors import Conflict, EntryNotFound, InvalidParameter
from shared.postgres.database import Database, Row

MUTATED = "upstream_mutated"
ACCEPTED, UNDONE = "event.accept", "event.accept.undone"  # in the audit

# Two digests of the same algorithm that differ: the one of a page may not be the one of a download.
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
        AND EXISTS (SELECT FROM cached_urls c WHERE {_OF_SEALED}) AS acceptable,
    CASE a.action WHEN '{ACCEPTED}' THEN a.who ELSE '' END AS accepted_by,
    CASE a.action WHEN '{ACCEPTED}' THEN extract(epoch FROM a.at)::float8 ELSE 0 END AS accepted_at
"""  # noqa: S608 - of constants

# With the last word of the audit on each.
_EVENTS = f"""
    events e LEFT JOIN LATERAL (
        SELECT action, who, at FROM audit
        WHERE action IN ('{ACCEPTED}', '{UNDONE}') AND (after ->> 'event')::bigint = e.id
        ORDER BY id DESC LIMIT 1
    ) a ON true
"""  # noqa: S608 - of constants

# $1 kind ('': any), $2 protocols and $3 the project's name in each ('': all of that protocol; no protocols:
# all events), $4 since (unix seconds), $5 and $6 the last one's time in microseconds and id, $7 limit, $8
# whether warnings of rules are among them.
LIST = f"""
SELECT {_SHOWN} FROM {_EVENTS}
WHERE ($1 = '' OR e.kind = $1) AND ($8::bool OR e.kind <> '{WARNED}')
    AND (cardinality($2::text[]) = 0 OR EXISTS (
        SELECT FROM unnest($2::text[], $3::text[]) AS wanted (protocol, project)
        WHERE e.protocol = wanted.protocol AND wanted.project IN ('', e.project)))
    AND e.last_at >= to_timestamp($4::float8)
    AND (e.last_at, e.id) < ('epoch'::timestamptz + $5::bigint * interval '1 microsecond', $6::bigint)
ORDER BY e.last_at DESC, e.id DESC LIMIT $7
"""  # noqa: S608 - of constants

FIND = f"SELECT {_SHOWN} FROM {_EVENTS} WHERE e.id = $1"  # noqa: S608 - of constants

# The rows that go: the file's and that of its metadata.
_GOES = f"""
    SELECT c.file_id, c.filename, c.created_at FROM cached_urls c JOIN event e ON {_OF_SEALED}
    UNION ALL
    SELECT m.file_id, m.filename, m.created_at FROM cached_urls m JOIN cached_urls c
        ON m.protocol = c.protocol AND m.project = c.project AND m.file_id = c.file_id
        AND m.role <> 'file' AND starts_with(m.filename, c.filename)
        JOIN event e ON {_OF_SEALED}
"""  # noqa: S608 - of constants

# $1 event. What accepting it takes away, and `taken`: false, or true for what an acceptance took that may
# have been cut off, since nothing stands under that name yet.
PLANNED = f"""
WITH event AS (
    SELECT * FROM events e WHERE e.id = $1 AND e.kind = '{MUTATED}' AND NOT EXISTS ({_NEWER})
), taken AS (
    SELECT a.before -> 'files' AS files FROM audit a JOIN event e ON a.action = '{ACCEPTED}'
        AND (a.after ->> 'event')::bigint = e.id AND NOT EXISTS (
            SELECT FROM cached_urls c WHERE c.protocol = e.protocol AND c.project = e.project
                AND c.filename = e.filename)
    ORDER BY a.id DESC LIMIT 1
)
SELECT false AS taken, file_id, filename, extract(epoch FROM created_at)::float8 AS at FROM ({_GOES}) AS g
UNION ALL
SELECT true, f ->> 'file_id', f ->> 'filename', (f ->> 'at')::float8
FROM taken, jsonb_array_elements(taken.files) AS f
"""  # noqa: S608 - of constants

PAGES = """
SELECT identity, source_id, document_key, extract(epoch FROM fetched_at)::float8 AS fetched_at
FROM index_documents WHERE protocol = $1 AND project = $2
"""

# $1 who, $2 request, $3 event, $4 a generation newer than every claim so far: a job that has read the row
# before cannot store its document any more. Without validators the next question brings the whole document.
ACCEPT = f"""
WITH event AS (
    SELECT * FROM events e WHERE e.id = $3 AND e.kind = '{MUTATED}' AND NOT EXISTS ({_NEWER})
), goes AS ({_GOES}), gone AS (
    DELETE FROM cached_urls c USING event e, goes g WHERE c.protocol = e.protocol AND c.project = e.project
        AND c.file_id = g.file_id AND c.filename = g.filename
    RETURNING c.*, extract(epoch FROM c.created_at)::float8 AS at
), fenced AS (
    UPDATE index_documents d
    SET generation = greatest(d.generation, $4), upstream_etag = '', upstream_last_modified = ''
    FROM event e WHERE d.protocol = e.protocol AND d.project = e.project AND EXISTS (SELECT FROM gone)
)
INSERT INTO audit (who, request_id, action, target, before, after)
SELECT $1, $2, '{ACCEPTED}', concat_ws('/', e.protocol, e.project, e.filename),
    (SELECT jsonb_build_object('files', jsonb_agg(to_jsonb(gone))) FROM gone),
    e.detail || jsonb_build_object('event', e.id)
FROM event e WHERE EXISTS (SELECT FROM gone)
RETURNING id
"""  # noqa: S608 - of constants

# $1 who, $2 request, $3 event. The rows that its last acceptance took, as rows of now: the cache takes no
# facts of the old ones. Nothing where other rows stand under their names. The documents as in ACCEPT.
UNDO = f"""
WITH taken AS (
    SELECT a.target, a.before -> 'files' AS files FROM audit a
    WHERE a.action = '{ACCEPTED}' AND (a.after ->> 'event')::bigint = $3 ORDER BY a.id DESC LIMIT 1
), back AS (
    INSERT INTO cached_urls
    SELECT r.* FROM taken, jsonb_array_elements(taken.files) AS f,
        jsonb_populate_record(NULL::cached_urls, f || jsonb_build_object('created_at', now())) AS r
    ON CONFLICT DO NOTHING RETURNING protocol, project
), fenced AS (
    UPDATE index_documents d SET upstream_etag = '', upstream_last_modified = ''
    FROM back WHERE d.protocol = back.protocol AND d.project = back.project
)
INSERT INTO audit (who, request_id, action, target, after)
SELECT $1, $2, '{UNDONE}', taken.target, jsonb_build_object('event', $3::bigint)
FROM taken WHERE EXISTS (SELECT FROM back)
RETURNING id
"""  # noqa: S608 - of constants

NEWEST = 2**62


class OperatorEvent(msgspec.Struct, frozen=True):
    """Something an operator should know. `acceptable`: `accept` would have an effect. `accepted_by`: who
    accepted it, and that stands; "" for nobody."""

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
    accepted_by: str
    accepted_at: float  # unix seconds; 0.0: never


class FencedPage(msgspec.Struct, frozen=True):
    """An index of the project whose stored document nobody older may replace now."""

    identity: str
    source_id: int
    document_key: str
    fetched_at: float


class Acceptable(msgspec.Struct, frozen=True):
    """What accepting an event takes away: file id, file name and creation (unix seconds) of each row; and the
    pages to fetch again. `taken`: an earlier acceptance took the rows, and may have been cut off there."""

    event: OperatorEvent
    files: list[tuple[str, str, float]]
    pages: list[FencedPage]
    taken: bool


class EventRepository:
    """Every method raises `DatabaseUnavailable` besides what it names."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def list(
        self,
        kind: str,
        projects: Mapping[str, str],
        since: float,
        after: list[int] | None,
        limit: int,
        *,
        warnings: bool = True,
    ) -> list[tuple[OperatorEvent, list[Any]]]:
        """`limit` events that were seen since, the one seen last first, with the key of each. Kind "" is any.
        `projects`: by protocol the canonical name of a project, "" for all of them; empty is any.
        `warnings`: those of rules (`WARNED`) too."""
        start = after or [NEWEST // 1000, NEWEST]
        about = [*projects], [*projects.values()]
        rows = await self._database.fetch(LIST, kind, *about, since, *start, limit, warnings)
        return [(_event(row), [row["last_us"], row["id"]]) for row in rows]

    async def find(self, event_id: int) -> OperatorEvent:
        """Raises `EntryNotFound`."""
        row = await self._database.fetchrow(FIND, event_id)
        if row is None:
            raise EntryNotFound(f"there is no event {event_id}", hint="`orchard events` lists them.")
        return _event(row)

    async def planned(self, event_id: int) -> Acceptable:
        """What is to be done to accept an event; changes nothing.

        Raises `EntryNotFound`, `InvalidParameter` for an event of another kind, and `Conflict` where the
        rows have changed since the event.
        """
        event = await self.find(event_id)
        if event.kind != MUTATED:
            raise InvalidParameter(
                f"event: only {MUTATED} can be accepted, and this is {event.kind}",
                hint="docs/operations.md, Events, says what to do about the others.",
            )
        rows = await self._database.fetch(PLANNED, event_id)
        if not rows:
            raise no_longer_so(
                event_id,
                "it was accepted before, or the upstream has sent other bytes since (the newest event of "
                "this file tells which)",
            )
        taken = all(row["taken"] for row in rows)
        files = [(row["file_id"], row["filename"], row["at"]) for row in rows if row["taken"] == taken]
        pages = await self._database.fetch(PAGES, event.protocol, event.project)
        return Acceptable(event, files, [FencedPage(**dict(page)) for page in pages], taken)

    async def accept(self, actor: Actor, event_id: int, generation: int) -> bool:
        """Deletes the sealed row under the event's name; the object stays. One statement, audited. False: the
        rows have changed just now."""
        return bool(await self._database.fetch(ACCEPT, actor.name, actor.request_id, event_id, generation))

    async def undo(self, actor: Actor, event_id: int) -> bool:
        """Brings back the rows that `accept` deleted. One statement, audited. False: others stand there."""
        return bool(await self._database.fetch(UNDO, actor.name, actor.request_id, event_id))


def no_longer_so(event_id: int, why: str) -> Conflict:
    """The error for an event that cannot be accepted any more."""
    return Conflict(
        f"event {event_id} tells of what is no longer so: {why}",
        hint="Nothing is left to do for it; `orchard events` lists the newest.",
    )


def _event(row: Row) -> OperatorEvent:
    values = {name: row[name] for name in OperatorEvent.__struct_fields__}
    return OperatorEvent(**{**values, "detail": msgspec.json.decode(row["detail"])})
