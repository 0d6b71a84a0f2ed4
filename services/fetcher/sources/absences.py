"""Stored absences: 404s that outlive the cache, for all protocols (docs/decisions/0026).

A name is absent when every source that may be asked for it has answered 404 or 410 itself. Such an absence is
stored in a row beside the short entry in the cache, and answers when no source can be asked: neither an
outage nor ORCHARD_OFFLINE changes a known 404. It holds while exactly those sources may be asked. Bounded:
strangers may ask for any number of names.

But a 404 is believed only of a source that is seen to be healthy: one under maintenance may answer 404 for
everything, and must neither wipe a page that was there nor make names absent for the next outage.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Collection, Sequence

from services.fetcher.sources.policy import candidates
from services.fetcher.sources.upstreams import Upstreams
from services.fetcher.sources.watcher import SourceWatcher
from shared.artifacts.statements import is_newer
from shared.errors import (
    FileNotFound,
    InvalidData,
    Offline,
    OrchardError,
    ProjectNotFound,
    SourceUnusable,
    UpstreamRefused,
    UpstreamStrayed,
)
from shared.errors.passing import (
    CacheUnavailable,
    DeadlineExceeded,
    UpstreamRateLimited,
    UpstreamTimeout,
    UpstreamUnavailable,
)
from shared.models import FORMAT, IndexHead, StoredDocument, UpstreamSource
from shared.postgres.database import Database
from shared.protocols import protocol_named
from shared.protocols.base import PackageProxyBase
from shared.protocols.resource import Resource
from shared.redis import clock
from shared.stores import Stores
from shared.telemetry.logs import get_logger

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

# What is older than the oldest that is to stay. The index alone tells which that is.
_PRUNE = """
DELETE FROM absences
WHERE known AND seen_at < (
    SELECT seen_at FROM absences WHERE known ORDER BY seen_at DESC OFFSET $1 - 1 LIMIT 1)
   OR NOT known AND seen_at < (
    SELECT seen_at FROM absences WHERE NOT known ORDER BY seen_at DESC OFFSET $2 - 1 LIMIT 1)
"""

_FIND = "SELECT reason FROM absences WHERE protocol = $1 AND identity = $2 AND sources = $3::bigint[]"

# Stored pages of a source: the newest, which may all have gone with their owner, and those of another time.
_PAGES = """
WITH known AS NOT MATERIALIZED (
    SELECT split_part(identity, '#', 1) AS identity, fetched_at FROM index_documents
    WHERE protocol = $1 AND source_id = $2 AND gone_at IS NULL AND NOT starts_with(identity, '#')
)
(SELECT identity FROM known ORDER BY fetched_at DESC LIMIT 2)
UNION (
    SELECT identity FROM known WHERE fetched_at <= (
        SELECT min(fetched_at) + random() * (max(fetched_at) - min(fetched_at)) FROM known)
    ORDER BY fetched_at DESC LIMIT 3
)
"""
# Of its first files; in order, so that a source without any is not looked for in all of the table.
_FILES = """
SELECT upstream_url FROM (
    SELECT protocol, source_id, upstream_url FROM cached_urls WHERE (protocol, source_id) >= ($1, $2)
    ORDER BY protocol, source_id LIMIT 1000
) f
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
        """Store that all of `sources`, which are those that may be asked, lack it."""
        await self._database.execute(
            _NOTE, protocol, identity, project, sorted(sources), reason, generation, MOST_OF_PROJECT
        )
        if self._writes % PRUNED_EVERY == 0:
            await self._database.execute(_PRUNE, MOST_KNOWN, MOST_UNKNOWN)
        self._writes += 1

    async def find(self, protocol: str, identity: str, sources: Collection[int]) -> str | None:
        """The reason of an absence, if it is stored for exactly these sources; else None."""
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
        """For how many seconds a page that was there has been 404 without confirmation."""
        row = await self._database.fetchrow(_DOUBT, protocol, identity)
        return 0.0 if row is None else float(row["seconds"])

    async def trust(self, protocol: str, identity: str) -> None:
        """Reset `doubt`: the page is there again."""
        await self._database.execute(_TRUST, protocol, identity)


log = get_logger()

UNASKED = (
    DeadlineExceeded,
    Offline,
    SourceUnusable,
    UpstreamRateLimited,
    UpstreamRefused,
    UpstreamStrayed,
    UpstreamTimeout,
    UpstreamUnavailable,
)
"""Errors after which nobody knows what a source would have said: what it said last stands."""

STALE_SECONDS = 5.0  # so long a kept absence answers before the sources are asked again
WELL_SECONDS = 30.0  # a source that had something so lately is well, as far as names go that it never had
DOUBTED_AGAIN_SECONDS = 15
VAIN_SECONDS = 5.0


class Absences:
    """Stores absences, and decides whether to believe a 404."""

    def __init__(
        self, stores: Stores, *, repository: AbsenceRepository, upstreams: Upstreams, sources: SourceWatcher
    ) -> None:
        self._repository = repository
        self._artifacts = stores.artifacts
        self._upstreams = upstreams
        self._sources = sources
        self._cache = stores.cache
        self._settings = stores.settings
        self._looks: dict[int, tuple[float, asyncio.Task[bool]]] = {}  # by source

    # --- names that were never there ----------------------------------------------------------------

    async def note(
        self,
        protocol: str,
        identity: str,
        project: str,
        asked: Sequence[UpstreamSource],
        reason: str,
        generation: int,
    ) -> None:
        """Store that all of `asked`, which are those that may be asked, lack it. Never raises for the
        database."""
        try:
            for source in asked:
                if not await self._is_well(protocol_named(protocol), source):
                    log.info("absence_not_kept", protocol=protocol, identity=identity, source=source.name)
                    return
            await self._repository.note(
                protocol,
                identity,
                project=project,
                sources={source.id for source in asked},
                reason=reason,
                generation=generation,
            )
        except OrchardError as error:  # the 404 is true all the same
            log.warning("absence_not_kept", protocol=protocol, identity=identity, error=error.code)

    async def kept(self, protocol: str, identity: str, asked: Collection[int]) -> str | None:
        """The reason of the stored absence for those that may be asked; None without one. Raises
        `DatabaseUnavailable`."""
        return await self._repository.find(protocol, identity, asked) if asked else None

    @contextlib.asynccontextmanager
    async def of_file(self, resource: Resource, generation: int) -> AsyncIterator[None]:
        """A context manager around the search for a file: stores its absence, and raises the stored one
        where no source could be asked.

        Raises `FileNotFound` for that.
        """
        try:
            yield
        except (FileNotFound, ProjectNotFound) as error:
            asked = await self._who(resource)
            if asked:
                await self.note(
                    resource.protocol,
                    resource.absence_identity,
                    resource.project,
                    asked,
                    error.message,
                    generation,
                )
            raise
        except UNASKED as error:
            ids = [source.id for source in await self._who(resource)]
            reason = await self.kept(resource.protocol, resource.absence_identity, ids)
            if reason is None:
                raise
            log.info(
                "absence_told", protocol=resource.protocol, filename=resource.filename, because=error.code
            )
            await self._show(resource, reason, generation)
            raise FileNotFound(reason) from error

    async def _who(self, resource: Resource) -> list[UpstreamSource]:
        known = self._sources.current(resource.protocol)
        if known is None:
            return []
        names = protocol_named(resource.protocol).names.pin_names(resource.project)
        try:
            pinned = await self._artifacts.pinned(resource.protocol, names)
        except OrchardError:
            return []
        return candidates(known.sources, resource.project, pinned)

    async def _show(self, resource: Resource, reason: str, generation: int) -> None:
        known = self._sources.current(resource.protocol)
        now = clock.now()
        head = IndexHead(
            format=FORMAT,
            status=404,
            generation=generation,
            source_revision=known.revision if known is not None else 0,
            source_id=0,
            fetched_at=now,
            fresh_until=now + STALE_SECONDS,
            reason=reason,
            failing=True,
        )
        with contextlib.suppress(CacheUnavailable, InvalidData):
            await self._cache.write_head(resource.protocol, resource.absence_identity, head)

    # --- pages that were there ------------------------------------------------------------------------

    async def believes(self, protocol: PackageProxyBase, row: StoredDocument, source: UpstreamSource) -> bool:
        """Whether a 404 for a page that was there is to be believed: the source has something else at this
        moment, or has said so for ORCHARD_ABSENCE_DOUBT."""
        if await self._has_something(protocol, source):
            return True
        seconds = await self._repository.doubt(row.protocol, row.identity)
        believed = seconds >= self._settings.absence_doubt
        log.warning(
            "absence_doubted",
            identity=row.identity,
            source=source.name,
            seconds=round(seconds),
            believed=believed,
        )
        return believed

    async def trust(self, row: StoredDocument) -> None:
        """It is there, as it was before it was doubted."""
        if row.doubted_at:
            await self._repository.trust(row.protocol, row.identity)

    # --- witnesses --------------------------------------------------------------------------------------

    async def _is_well(self, protocol: PackageProxyBase, source: UpstreamSource) -> bool:
        if time.monotonic() - self._upstreams.had_something.get(source.id, -WELL_SECONDS) < WELL_SECONDS:
            return True
        return await self._has_something(protocol, source)

    async def _has_something(self, protocol: PackageProxyBase, source: UpstreamSource) -> bool:
        """Whether it answers 200, now, for something that it is known to have. Those who want to know at
        once share one look; a vain one serves for some seconds, for a whole page full of names, unless the
        source has had something since."""
        at, look = self._looks.get(source.id, (0.0, None))
        had_since = self._upstreams.had_something.get(source.id, 0.0) > at
        if look is None or (look.done() and (had_since or not _still_vain(look, at))):
            look = asyncio.create_task(self._look(protocol, source))
            look.add_done_callback(lambda done: done.cancelled() or done.exception())
            self._looks[source.id] = (time.monotonic(), look)
        return await asyncio.shield(look)

    async def _look(self, protocol: PackageProxyBase, source: UpstreamSource) -> bool:
        pages = await self._repository.known_pages(protocol.name, source.id)
        addresses: list[str] = []
        with contextlib.suppress(OrchardError):  # it may not even say where its pages are
            source = await self._upstreams.described(protocol, source)
            addresses += [protocol.upstream.upstream_request(identity, source).url for identity in pages]
        if len(addresses) < 2:  # the one may be what is asked about
            addresses += await self._repository.known_files(protocol.name, source.id, source.url)
        if len(addresses) < 2:
            addresses.append(source.url)  # nothing else is known: its front page will do
        for url in addresses:
            if await self._upstreams.has(source, url):
                return True
        return False


def _still_vain(look: asyncio.Task[bool], began: float) -> bool:
    failed = look.cancelled() or look.exception() is not None
    return not failed and not look.result() and time.monotonic() - began < VAIN_SECONDS


def doubted(source: UpstreamSource) -> UpstreamUnavailable:
    """Why a page that was there stays: its 404 is not believed."""
    return UpstreamUnavailable(
        f"upstream {source.name} answers 404 for all that it had; that is not believed yet",
        retry_after_seconds=DOUBTED_AGAIN_SECONDS,
    )
