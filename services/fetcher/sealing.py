"""From a verified download to a sealed artifact: object → row → cache. A row implies its object."""

from __future__ import annotations

from urllib.parse import urlsplit

from shared.artifacts import ArtifactRepository
from shared.batches import BatchWriter
from shared.cache import CacheService, Category
from shared.clients.object_verify import Verifier
from shared.clients.objects import ObjectStore
from shared.errors import CacheUnavailable
from shared.jobs import FetchArtifact
from shared.logs import get_logger
from shared.metrics import UPSTREAM_MUTATED
from shared.models import FORMAT, ArtifactFacts, CachedUrl

log = get_logger()


class Sealer:
    """Stores rows in batches and facts in the cache."""

    def __init__(
        self,
        *,
        rows: BatchWriter[CachedUrl, CachedUrl],
        artifacts: ArtifactRepository,
        objects: ObjectStore,
        cache: CacheService,
        verifier: Verifier,
    ) -> None:
        self._rows = rows
        self._artifacts = artifacts
        self._objects = objects
        self._cache = cache
        self._verifier = verifier

    async def seal(self, url: CachedUrl, identity: str) -> ArtifactFacts:
        """The facts that stand under the name: these, or the ones that were there first.

        The object must be stored already. Raises `DatabaseUnavailable`; a cache that is away is no
        failure, for its content is found again in the row.
        """
        standing = await self._rows.add(url)
        if standing.sha256 != url.sha256:
            await self._report_mutation(standing, url)
        facts = ArtifactFacts(
            format=FORMAT,
            sha256=standing.sha256,
            size_bytes=standing.size_bytes,
            content_type=standing.content_type,
            object_key=standing.object_key,
            filename=standing.filename,
            created_at=standing.created_at,
            digests=standing.digests,
            modified=standing.modified,
        )
        await self.tell_cache(url.protocol, identity, facts)
        if url.role == "file":
            await self._forget_list(url.protocol, url.project)
        return facts

    async def _forget_list(self, protocol: str, project: str) -> None:
        """The list of a package's stored files is longer now; a lost word of it costs some minutes."""
        try:
            await self._cache.delete(Category.PACKAGE_VERSIONS, protocol, project)
        except CacheUnavailable as error:
            log.info("list_not_forgotten", error=error.message)

    async def tell_cache(self, protocol: str, identity: str, facts: ArtifactFacts) -> None:
        """Write the facts; a cache that does not answer is only logged."""
        try:
            await self._cache.write_facts(protocol, identity, facts)
        except CacheUnavailable as error:
            log.info("facts_not_cached", error=error.message)

    async def is_intact(self, facts: ArtifactFacts) -> bool:
        """Whether the object behind a row is there, with the sealed bytes. Raises `StoreUnavailable`.

        Hashed each time: whoever asks for a file that has a row was told that its object is damaged.
        """
        return await self._verifier.is_intact(facts.object_key, facts.size_bytes, anew=True)

    async def set_aside(self, job: FetchArtifact, facts: ArtifactFacts) -> None:
        """Take a damaged object away and tell of it; one that was evicted or lost is nothing to tell."""
        found = await self._objects.stat(facts.object_key)
        await self._objects.set_aside(facts.object_key)
        if found is None:
            return
        log.warning("object_set_aside", key=facts.object_key, size_bytes=found.size_bytes)
        detail = {"sha256": facts.sha256, "size_bytes": facts.size_bytes, "found_bytes": found.size_bytes}
        await self._artifacts.record_event("object_decayed", job.protocol, job.project, job.filename, detail)

    async def _report_mutation(self, standing: CachedUrl, url: CachedUrl) -> None:
        UPSTREAM_MUTATED.labels(url.protocol).inc()
        detail = {"sealed_sha256": standing.sha256, "upstream_sha256": url.sha256}
        log.warning("upstream_mutated", project=url.project, filename=url.filename, **detail)
        await self._artifacts.record_event(
            "upstream_mutated", url.protocol, url.project, url.filename, detail
        )


def public_url(url: str) -> str:
    """An upstream address as it may stand in a row: without credentials, query and fragment."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
