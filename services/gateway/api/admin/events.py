"""The admin API: events for operators, and accepting that an upstream changed a file.

Accepting takes the sealed row away, and nothing made of it comes back. Order: the cache's fences, then the
rows and the fence of the documents (one statement), then the cache again, then a fetch of the new bytes,
which puts the rows back where it fails, then of each page. A cache that does not answer is so found out
before anything is changed; and what is cut off after the statement is finished by accepting the event again.
A job that runs meanwhile has read the old row. The pages that it writes carry the generation of its claim,
which is older than the fence, so they are refused in both stores; facts carry the time of their row, and the
cache takes none of a row that is gone.
"""

from __future__ import annotations

import asyncio
from typing import Annotated

from litestar import get, post
from litestar.params import Parameter

from services.gateway.api.admin import checks
from services.gateway.api.admin.event_rows import (
    NEWEST,
    Acceptable,
    EventRepository,
    FencedPage,
    OperatorEvent,
    no_longer_so,
)
from services.gateway.api.admin.repository import Actor
from services.gateway.api.admin.still_told import StillTold
from services.gateway.api.parameters import DEFAULT_LIMIT, Cursor, Limit, check_limit, page_of, read_cursor
from services.gateway.api.types import Page
from shared.artifacts.event_kinds import EVENT_KINDS
from shared.cache.keys import Category
from shared.cache.service import CacheService
from shared.errors import InvalidParameter
from shared.models import FORMAT, FileName, IndexHead
from shared.protocols import PROTOCOLS
from shared.queue.jobs import IN_USE, FetchIndex
from shared.queue.producer import JobQueue
from shared.redis import clock
from shared.telemetry.logs import get_logger

log = get_logger()

# Gateways' memories have heard of it by then; and services of the version before, which write facts without a
# fence, have written what they read just before.
READERS_SECONDS = 0.3
ASKED_SECONDS = 5.0  # a page is asked for again for so long where an older job of its id still runs
_tasks: set[asyncio.Task[None]] = set()


class Acceptance:
    """Made for one request."""

    def __init__(
        self, events: EventRepository, cache: CacheService, queue: JobQueue, still_told: StillTold
    ) -> None:
        self._events = events
        self._still_told = still_told
        self._cache = cache
        self._queue = queue

    async def accept(self, actor: Actor, event_id: int) -> OperatorEvent:
        """Takes what the upstream has now, and fetches it; where it cannot be had, the first bytes are back.
        When this returns, no store has the old facts or takes them, and no gateway that is connected to the
        cache remembers them. Who waits for a job that had ended its work just before still gets what that
        found.

        Raises what `EventRepository.planned` and `StillTold.check` raise, why the new bytes cannot be had,
        `CacheUnavailable` and `QueueUnavailable`: then it can be accepted again, wherever it was cut off.
        """
        plan = await self._events.planned(event_id)
        if not plan.taken:
            await self._still_told.check(plan, actor.request_id)
            generation = await self._queue.new_generation()
            await self._fence(plan, generation)
            if not await self._events.accept(actor, event_id, generation):
                raise no_longer_so(event_id, "it was accepted by another just now, or there is a newer one")
        await self._fence(plan, await self._queue.new_generation())  # over jobs that were claimed meanwhile
        await asyncio.sleep(READERS_SECONDS)
        await self._forget(plan)
        event = plan.event
        await asyncio.gather(
            *(self._ask(event.protocol, each, actor.request_id) for each in self._still_told.told_by(plan))
        )  # the stored one may still hold the file to its first digest
        lacking = await self._still_told.fetch(plan, actor.request_id)
        if lacking is not None and await self._events.undo(actor, event_id):
            await self._fence(plan, await self._queue.new_generation())
            raise lacking
        for page in plan.pages:
            task = asyncio.create_task(self._ask(event.protocol, page.identity, actor.request_id))
            _tasks.add(task)
            task.add_done_callback(_tasks.discard)
        log.info("event_accepted", id=event.id, protocol=event.protocol, project=event.project)
        return await self._events.find(event_id)

    async def _fence(self, plan: Acceptable, generation: int) -> None:
        for page in plan.pages:
            await self._fence_page(plan.event, page, generation)
        await self._forget(plan)

    async def _fence_page(self, event: OperatorEvent, page: FencedPage, generation: int) -> None:
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

    async def _forget(self, plan: Acceptable) -> None:
        event = plan.event
        for file_id, filename, created_at in plan.files:
            file = FileName(event.protocol, event.project, file_id, filename)
            await self._cache.fence_facts(file, created_at)
        await self._cache.delete(Category.PACKAGE_VERSIONS, event.protocol, event.project)

    async def _ask(self, protocol: str, identity: str, request_id: str) -> None:
        """Have the page fetched by a job that begins now: one that runs already has read the old row."""
        job = FetchIndex(protocol=protocol, identity=identity, request_id=request_id, variant=IN_USE)
        try:
            async with asyncio.timeout(ASKED_SECONDS):
                while not await self._queue.enqueue(job):  # noqa: ASYNC110 - nobody tells of ends here
                    await asyncio.sleep(0.1)
        except Exception as error:  # the next request asks: the head is not fresh
            log.info("page_not_asked_for", protocol=protocol, error=type(error).__name__)


_LATEST = 1e11  # seconds; what no time stamp of PostgreSQL reaches is refused

Since = Annotated[float, Parameter(description="Unix seconds: only events that were seen since")]
Warnings = Annotated[
    bool, Parameter(description="`false`: without `rule_warned`, of which there may be many")
]


@get("/api/v1/events", summary="What operators should know")
async def events(
    event_repository: EventRepository,
    kind: str = "",
    protocol: str = "",
    project: str = "",
    since: Since = 0.0,
    warnings: Warnings = True,
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = "",
) -> Page[OperatorEvent]:
    """The most recently seen first; an event that repeats raises its count."""
    if kind and kind not in EVENT_KINDS:
        raise InvalidParameter(f"kind: expected one of {', '.join(EVENT_KINDS)}")
    protocols = [protocol] if protocol else [each.name for each in PROTOCOLS] if project else []
    projects = {  # each protocol spells a name its own way
        checks.protocol_of(each).name: checks.project_of(each, project, "project") if project else ""
        for each in protocols
    }
    if not 0 <= since < _LATEST:
        raise InvalidParameter("since: expected unix seconds")
    after = read_cursor(cursor, int, int)
    if after is not None and not (0 <= after[0] < NEWEST // 1000 and 0 <= after[1] < NEWEST):
        after = None
    rows = await event_repository.list(
        kind, projects, since, after, check_limit(limit) + 1, warnings=warnings
    )
    return page_of(rows, limit)


@post(
    "/api/v1/admin/events/{event_id:int}/accept",
    summary="Accept what an upstream made of a file",
    status_code=200,
)
async def accept(
    actor: Actor,
    event_repository: EventRepository,
    cache: CacheService,
    job_queue: JobQueue,
    still_told: StillTold,
    event_id: int,
) -> OperatorEvent:
    """Of an `upstream_mutated`: the next fetch takes what the upstream has now. The old bytes stay stored.
    May be repeated until it has succeeded."""
    if not 0 < event_id < NEWEST:
        raise InvalidParameter("event: expected the id of an event")
    return await Acceptance(event_repository, cache, job_queue, still_told).accept(actor, event_id)


HANDLERS = [events, accept]
