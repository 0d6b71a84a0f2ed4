"""`AbsenceRepository`: names of which every source that may be asked has truly said that it lacks them.

Rows that outlive the cache, so that an outage or ORCHARD_OFFLINE turns no known 404 into something else
(docs/decisions/0026). Bounded: strangers may ask for any number of names.
"""

from __future__ import annotations

from collections.abc import Collection

from shared.artifacts_sql import is_newer
from shared.clients.postgres import Database

MOST_KNOWN = 200_000  # of projects that something is stored of, or that are pinned
MOST_UNKNOWN = 20_000  # of names that anybody may have made up
MOST_OF_PROJECT = 1_000
PRUNED_EVERY = 256  # writes of a process

# An index that a newer generation stored is not absent. `known`: see MOST_KNOWN.
_NOTE = f"""
WITH surplus AS (
    SELECT protocol, identity FROM absences WHERE protocol = $1 AND project = $3 AND project <> ''
    ORDER BY seen_at DESC OFFSET $7
), pruned AS (
    DELETE FROM absences a USING surplus s
    WHERE a.protocol = s.protocol AND a.identity = s.identity AND a.identity <> $2
)
INSERT INTO absences (protocol, identity, project, sources, reason, known)
SELECT $1, $2, $3, $4::bigint[], $5,
    EXISTS (SELECT FROM packages WHERE protocol = $1 AND name = $3)
    OR EXISTS (SELECT FROM project_pins WHERE protocol = $1 AND project = $3)
    OR EXISTS (SELECT FROM shared_pins WHERE protocol = $1 AND project = $3)
WHERE NOT EXISTS (
    SELECT FROM index_documents
    WHERE protocol = $1 AND identity = $2 AND {is_newer("generation", "$6::bigint")})
ON CONFLICT (protocol, identity) DO UPDATE SET
    sources = excluded.sources, reason = excluded.reason, known = excluded.known, seen_at = now()
"""  # noqa: S608 - of constants

_PRUNE = """
DELETE FROM absences a USING (
    (SELECT protocol, identity FROM absences WHERE known ORDER BY seen_at DESC OFFSET $1)
    UNION ALL
    (SELECT protocol, identity FROM absences WHERE NOT known ORDER BY seen_at DESC OFFSET $2)
) old
WHERE a.protocol = old.protocol AND a.identity = old.identity
"""

_FIND = "SELECT reason FROM absences WHERE protocol = $1 AND identity = $2 AND sources = $3::bigint[]"

# What a source is known to have: the newest, which may all have gone with their owner, and any others.
_PAGES = """
WITH known AS (
    SELECT split_part(identity, '#', 1) AS identity, fetched_at FROM index_documents
    WHERE protocol = $1 AND source_id = $2 AND gone_at IS NULL
)
(SELECT identity FROM known ORDER BY fetched_at DESC LIMIT 2)
UNION (SELECT identity FROM known ORDER BY random() LIMIT 3)
"""
_FILES = """
SELECT upstream_url FROM cached_urls
WHERE protocol = $1 AND source_id = $2 AND starts_with(upstream_url, $3)
LIMIT 3
"""

_DOUBT = """
UPDATE index_documents SET doubted_at = coalesce(doubted_at, now())
WHERE protocol = $1 AND identity = $2
RETURNING extract(epoch FROM now() - doubted_at)::float8 AS seconds
"""
_TRUST = "UPDATE index_documents SET doubted_at = NULL WHERE protocol = $1 AND identity = $2"


class AbsenceRepository:
    """Reads and writes of `absences`. Every method raises `DatabaseUnavailable`."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._writes = 0

    async def note(
        self,
        protocol: str,
        identity: str,
        *,
        project: str,
        sources: Collection[int],
        reason: str,
        generation: int,
    ) -> None:
        """All of `sources`, who are those that may be asked, lack it."""
        await self._database.execute(
            _NOTE, protocol, identity, project, sorted(sources), reason, generation, MOST_OF_PROJECT
        )
        if self._writes % PRUNED_EVERY == 0:
            await self._database.execute(_PRUNE, MOST_KNOWN, MOST_UNKNOWN)
        self._writes += 1

    async def find(self, protocol: str, identity: str, sources: Collection[int]) -> str | None:
        """Why it is absent, if exactly these sources said so; None if that is not known."""
        row = await self._database.fetchrow(_FIND, protocol, identity, sorted(sources))
        return None if row is None else str(row["reason"])

    async def known_pages(self, protocol: str, source_id: int) -> list[str]:
        """Identities of a few indexes that the source had when it was last asked."""
        rows = await self._database.fetch(_PAGES, protocol, source_id)
        return [row["identity"] for row in rows]

    async def known_files(self, protocol: str, source_id: int, root: str) -> list[str]:
        """Addresses below `root` of a few stored files."""
        return [row["upstream_url"] for row in await self._database.fetch(_FILES, protocol, source_id, root)]

    async def doubt(self, protocol: str, identity: str) -> float:
        """For how many seconds a page that was there has been 404 without anything to confirm it."""
        row = await self._database.fetchrow(_DOUBT, protocol, identity)
        return 0.0 if row is None else float(row["seconds"])

    async def trust(self, protocol: str, identity: str) -> None:
        """It is there, as before."""
        await self._database.execute(_TRUST, protocol, identity)
