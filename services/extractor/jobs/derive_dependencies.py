"""Job `derive_dependencies`: what follows from an artifact together with other documents.

The pure step is the protocol's; this gives it the documents. Those that are not stored are asked for
at the fetcher, and the job is queued again: it never waits for another job. Nothing is kept between
two turns, for all that is stored is found again.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from services.extractor.models_of_files import extraction_with_model
from services.extractor.sandbox import Sandbox
from shared.artifacts import ArtifactRepository
from shared.cache import CacheService
from shared.clients.queue import JobQueue
from shared.clients.queue_context import JobContext
from shared.derivations import DerivationRepository
from shared.errors import CacheUnavailable
from shared.jobs import DeriveDependencies, ExtractDependencies, FetchArtifact
from shared.logs import get_logger
from shared.models import ArtifactFacts
from shared.protocols.base import PackageProxyBase
from shared.protocols.derivation import Derived, DocumentName, Needed

log = get_logger()

MAX_TURNS = 12
FIRST_PAUSE_SECONDS = 0.3  # doubled each turn, up to:
LONGEST_PAUSE_SECONDS = 30.0
MAX_STEPS = 200  # of the pure step in one turn: each finds at least one more document


class DeriveDependenciesHandler:
    """`handlers[DeriveDependencies]` of an extractor."""

    def __init__(
        self,
        *,
        artifacts: ArtifactRepository,
        derivations: DerivationRepository,
        cache: CacheService,
        queue: JobQueue,
        sandbox: Sandbox,
        protocols: Mapping[str, PackageProxyBase],
    ) -> None:
        self._artifacts = artifacts
        self._derivations = derivations
        self._cache = cache
        self._queue = queue
        self._sandbox = sandbox
        self._protocols = protocols

    async def start(self, job: ExtractDependencies) -> None:
        """Queue the derivation of an artifact that was just read, where its protocol has one."""
        if self._protocols[job.protocol].derives(job.filename):
            await self._queue.enqueue(
                DeriveDependencies(
                    protocol=job.protocol,
                    project=job.project,
                    file_id=job.file_id,
                    filename=job.filename,
                    sha256=job.sha256,
                    request_id=job.request_id,
                )
            )

    async def __call__(self, ctx: JobContext, job: DeriveDependencies) -> None:
        """Returns when the result is written or the job is queued again. Raises what stores raise."""
        protocol = self._protocols[job.protocol]
        start = DocumentName(job.project, job.file_id, job.filename)
        models: dict[DocumentName, bytes | None] = {}
        for _ in range(MAX_STEPS):
            found = protocol.derive(start, models)
            if isinstance(found, Derived):
                await self._store(job, found)
                return
            missing = await self._look_up(protocol, found, models)
            if missing and job.turn >= MAX_TURNS:
                models |= dict.fromkeys(missing)  # what does not come is named as a problem
            elif missing:
                await self._again(job, missing)
                return
        log.warning("derivation_given_up", protocol=job.protocol, filename=job.filename)

    async def _look_up(
        self, protocol: PackageProxyBase, needed: Needed, models: dict[DocumentName, bytes | None]
    ) -> list[DocumentName]:
        """Adds what is known to `models`; the documents that nobody has fetched yet come back."""
        missing = []
        for name in needed.documents:
            facts = await self._artifacts.get_cached_url_with_artifact(
                protocol.name, name.project, name.file_id, name.filename
            )
            if facts is not None:
                models[name] = await self._model(protocol, name, facts)
            elif await self._is_absent(protocol, name):
                models[name] = None
            else:
                missing.append(name)
        return missing

    async def _model(
        self, protocol: PackageProxyBase, name: DocumentName, facts: ArtifactFacts
    ) -> bytes | None:
        extraction = await extraction_with_model(
            protocol,
            name.filename,
            cache=self._cache,
            sandbox=self._sandbox,
            sha256=facts.sha256,
            object_key=facts.object_key,
            size_bytes=facts.size_bytes,
        )
        return extraction.model or None

    async def _is_absent(self, protocol: PackageProxyBase, name: DocumentName) -> bool:
        """Whether every source truly lacked it a moment ago."""
        resource = protocol.artifact_resource(name.project, name.file_id, name.filename)
        try:
            head = (await self._cache.read_index(protocol.name, resource.absence_identity, "")).head
        except CacheUnavailable:
            return False
        return head is not None and head.status == 404

    async def _again(self, job: DeriveDependencies, missing: list[DocumentName]) -> None:
        for name in missing:
            await self._queue.enqueue(
                FetchArtifact(
                    protocol=job.protocol,
                    project=name.project,
                    file_id=name.file_id,
                    filename=name.filename,
                    request_id=job.request_id,
                )
            )
        pause = min(FIRST_PAUSE_SECONDS * 2**job.turn, LONGEST_PAUSE_SECONDS)
        next_turn = msgspec.structs.replace(job, turn=job.turn + 1)
        await self._queue.enqueue(next_turn, defer_seconds=pause)

    async def _store(self, job: DeriveDependencies, derived: Derived) -> None:
        await self._derivations.store(job.sha256, derived)
        log.info(
            "dependencies_derived",
            protocol=job.protocol,
            filename=job.filename,
            sha256=job.sha256,
            dependencies=len(derived.dependencies),
            problems=list(derived.problems[:3]),
            turns=job.turn + 1,
        )
