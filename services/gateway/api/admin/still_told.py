"""Whether an upstream still tells of a file what an event says: asked before its first bytes are let go.

They may be the only copy. So the index that told it is fetched once more, and must say the same digest; and
the new bytes are fetched at once.
"""

from __future__ import annotations

from services.gateway.api.admin.event_rows import Acceptable, FencedPage, OperatorEvent, no_longer_so
from services.gateway.hits.stored_objects import StoredObjects
from services.gateway.misses.waiter import MissWaiter
from shared.artifacts.repository import ArtifactRepository
from shared.cache.service import CacheService
from shared.errors import OrchardError
from shared.errors.catalogue import from_value
from shared.errors.passing import DeadlineExceeded, PassingError, UpstreamUnavailable
from shared.models import FileName
from shared.process.threads import BoundedThreads
from shared.protocols import protocol_named
from shared.queue.jobs import FetchArtifact, FetchIndex

WAIT_SECONDS = 15.0
_TOLD_BY_AN_INDEX = {"sealed_sha256", "upstream_sha256", "source"}


class StillTold:
    """Asks, reads and compares."""

    def __init__(
        self,
        artifacts: ArtifactRepository,
        objects: StoredObjects,
        cache: CacheService,
        misses: MissWaiter,
        threads: BoundedThreads,
    ) -> None:
        self._artifacts = artifacts
        self._objects = objects
        self._cache = cache
        self._misses = misses
        self._threads = threads

    async def check(self, plan: Acceptable, request_id: str = "") -> None:
        """Raises `Conflict` where the upstream says so no more, and what keeps it from being asked. Nothing
        is asked about what a download told, which names other facts, too: no index may list that file."""
        event = plan.event
        if event.detail.keys() != _TOLD_BY_AN_INDEX:
            return
        named = self.told_by(plan)
        for page in plan.pages:
            if page.identity in named and await self._tells(event, page, request_id):
                return
        raise no_longer_so(
            event.id, "its upstream lists other bytes now, or no longer has the file; what is stored is kept"
        )

    def told_by(self, plan: Acceptable) -> list[str]:
        """The stored indexes that may list the event's file."""
        event = plan.event
        file = FileName(event.protocol, event.project, plan.files[0][0], event.filename)
        named = protocol_named(event.protocol).documents.entry_identities(file)
        return [page.identity for page in plan.pages if page.identity in named]

    async def fetch(self, plan: Acceptable, request_id: str = "") -> OrchardError | None:
        """Has the new bytes fetched, once the old row is gone. Why they cannot be had, None if they are here,
        or take longer: then the job goes on, and whoever asks waits for it."""
        event = plan.event
        file_id, filename, _ = next(each for each in plan.files if each[1] == event.filename)
        told, sealed = event.detail.get("upstream_sha256"), event.detail["sealed_sha256"]
        if file_id == sealed and told:
            file_id = told  # an address that holds the digest
        job = FetchArtifact(event.protocol, event.project, file_id, filename, request_id=request_id)
        try:
            for identity in self.told_by(plan):
                page = FetchIndex(protocol=event.protocol, identity=identity, request_id=request_id)
                await self._misses.wait(page, until=_never, timeout=WAIT_SECONDS)
            ended = await self._misses.wait(job, until=_never, timeout=WAIT_SECONDS)
        except TimeoutError:
            return None
        if ended.error is None:
            return None
        why = from_value(ended.error)
        if isinstance(why, PassingError):
            return UpstreamUnavailable(
                f"the new bytes cannot be had now, so what was stored stays: {why.message}"
            )
        return no_longer_so(event.id, f"its bytes cannot be had, so what was stored stays: {why.message}")

    async def _tells(self, event: OperatorEvent, page: FencedPage, request_id: str) -> bool:
        protocol = protocol_named(event.protocol)
        if not await self._asked_anew(event, page, request_id):
            return False
        state = await self._artifacts.index_state(event.protocol, page.identity, event.project, ())
        if state.document is None:
            return False
        body = await self._objects.read_whole(state.document.document_key)
        sealed = {(each.file_id, each.filename): each for each in state.sealed}

        def is_told() -> bool:
            document = protocol.documents.decode_document(body)
            told = protocol.pages.mutated_files(document, sealed)
            return any(
                (file.filename, digest) == (event.filename, event.detail["upstream_sha256"])
                for file, digest in told
            )

        return await self._threads.run(is_told)

    async def _asked_anew(self, event: OperatorEvent, page: FencedPage, request_id: str) -> bool:
        """False: no source that may be asked has the index. Raises why none could be asked."""
        job = FetchIndex(protocol=event.protocol, identity=page.identity, request_id=request_id)
        try:
            ended = await self._misses.wait(job, until=_never, timeout=WAIT_SECONDS)
        except TimeoutError:
            raise DeadlineExceeded(
                f"{event.project} was not asked for again within {WAIT_SECONDS:.0f} s; what is stored is kept"
            ) from None
        if ended.error is not None:
            raise from_value(ended.error)
        head = (await self._cache.read_index(event.protocol, page.identity, "", direct=True)).head
        if head is not None and head.failing:
            raise UpstreamUnavailable(
                "the upstream cannot be asked now whether it still has these bytes; what is stored is kept"
            )
        return head is not None and head.status == 200


async def _never() -> bool:
    return False
