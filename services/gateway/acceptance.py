"""Accepting that an upstream changed a file: the sealed row goes, and nothing made of it comes back.

Order: the rows and the fence of the documents (one statement), then the cache, then a fetch of each page. A
job that runs meanwhile has read the old row. What it writes carries the generation of its claim, which is
older than the fence, so it is refused in both stores.
"""

from __future__ import annotations

import asyncio

from shared import clock
from shared.administration import Actor
from shared.cache import CacheService, Category
from shared.clients.queue import JobQueue
from shared.jobs import FetchIndex
from shared.logs import get_logger
from shared.models import FORMAT, IndexHead
from shared.operator_events import Accepted, EventRepository, FencedPage, OperatorEvent

log = get_logger()

READERS_SECONDS = 0.3  # whoever read the row just before has written its facts to the cache by then
ASKED_SECONDS = 5.0  # a page is asked for again for so long where an older job of its id still runs
_tasks: set[asyncio.Task[None]] = set()


class Acceptance:
    """Made for one request."""

    def __init__(self, events: EventRepository, cache: CacheService, queue: JobQueue) -> None:
        self._events = events
        self._cache = cache
        self._queue = queue

    async def accept(self, actor: Actor, event_id: int) -> OperatorEvent:
        """Takes what the upstream has now at the next fetch. Effective everywhere when this returns.

        Raises what `EventRepository.accept` raises, `CacheUnavailable` and `QueueUnavailable`; nothing is
        changed before the queue has given a generation.
        """
        generation = await self._queue.new_generation()
        accepted = await self._events.accept(actor, event_id, generation)
        event = accepted.event
        for page in accepted.pages:
            await self._fence(event, page, generation)
        await self._forget(accepted)
        await asyncio.sleep(READERS_SECONDS)
        await self._forget(accepted)
        for page in accepted.pages:
            task = asyncio.create_task(self._ask(event.protocol, page.identity, actor.request_id))
            _tasks.add(task)
            task.add_done_callback(_tasks.discard)
        log.info("event_accepted", id=event.id, protocol=event.protocol, project=event.project)
        return await self._events.find(event_id)

    async def _fence(self, event: OperatorEvent, page: FencedPage, generation: int) -> None:
        """A head without bodies: gateways have it rendered or fetched, and older writers lose against it."""
        head = IndexHead(
            format=FORMAT,
            status=200,
            generation=generation,
            source_revision=await self._cache.read_revision(event.protocol),
            source_id=page.source_id,
            fetched_at=page.fetched_at,
            fresh_until=clock.now(),
            document_key=page.document_key,
        )
        await self._cache.write_index(event.protocol, page.identity, head, {})

    async def _forget(self, accepted: Accepted) -> None:
        event = accepted.event
        names = [f"{event.project}/{file_id}/{filename}" for file_id, filename in accepted.files]
        await self._cache.delete(Category.ARTIFACT_METADATA, event.protocol, *names)
        await self._cache.delete(Category.PACKAGE_VERSIONS, event.protocol, event.project)

    async def _ask(self, protocol: str, identity: str, request_id: str) -> None:
        """Have the page fetched by a job that begins now: one that runs already has read the old row."""
        job = FetchIndex(protocol=protocol, identity=identity, request_id=request_id)
        try:
            async with asyncio.timeout(ASKED_SECONDS):
                while not await self._queue.enqueue(job):  # noqa: ASYNC110 - nobody tells of ends here
                    await asyncio.sleep(0.1)
        except Exception as error:  # the next request asks: the head is not fresh
            log.info("page_not_asked_for", protocol=protocol, error=type(error).__name__)
