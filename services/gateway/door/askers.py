"""For whom jobs are started, as far as fetchers read ahead by it, and what of that was asked for.

Fetchers tell which jobs they are about to put in though nobody asked (docs/decisions/0037). Requests that
name one of them are told back, whether they are hits by then or wait for it: fetchers go by it.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import Callable
from typing import TypeVar

import msgspec

from services.gateway.door.access import Access, client_of
from services.gateway.door.budgets import asking
from shared.errors import OrchardError
from shared.process.bounded import Bounded
from shared.protocols import protocol_named
from shared.protocols.resource import Resource
from shared.queue.events import Event
from shared.queue.jobs import AnyJob, Asker, FetchArtifact, FetchIndex
from shared.queue.listener import EventListener
from shared.queue.producer import JobQueue
from shared.telemetry.logs import get_logger

log = get_logger()

MOST_KNOWN = 16_384  # guesses that this gateway knows of; the oldest is forgotten
TELL_SECONDS = 0.01  # what is asked for within so long is told at once
LONGEST_AGENT = 1024  # characters of a User-Agent

J = TypeVar("J", bound=AnyJob)


class Askers:
    """Of one gateway. `open` begins to listen."""

    def __init__(
        self,
        queue: JobQueue,
        listener: EventListener,
        access: Access,
        *,
        is_waited_for: Callable[[str], bool],
        is_on: bool,
    ) -> None:
        """`is_waited_for`: whether a request waits for a job just now. `is_on`: ORCHARD_READ_AHEAD."""
        self._queue, self._listener, self._access = queue, listener, access
        self._is_waited_for = is_waited_for
        self._is_on = is_on
        self._salt = os.urandom(16)  # addresses are few enough to be guessed from their digests
        self.known = Bounded[str, bool](MOST_KNOWN)
        """Ids of jobs that were put in though nobody asked, and nobody has here since."""
        self._asked: list[str] = []
        self._telling: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Begin."""
        if self._is_on:
            self._listener.register("", self._heard)

    async def aclose(self) -> None:
        """End; what was asked for in this moment is not told."""
        self._listener.unregister("", self._heard)
        if self._telling is not None:
            self._telling.cancel()

    def told(self, job: J) -> J:
        """The job with its asker, where something may be read ahead for the request of this context."""
        request = asking.get()
        if not self._is_on or request is None or not isinstance(job, FetchIndex | FetchArtifact):
            return job
        scope, headers = request
        agent = headers.get(b"user-agent", b"")[:LONGEST_AGENT].decode("latin-1")
        tool = protocol_named(job.protocol).ahead.tool(agent)
        if not tool:
            return job
        client = client_of(self._access, scope, headers)
        digest = hashlib.blake2s(client.encode(), key=self._salt, digest_size=8).hexdigest()
        return msgspec.structs.replace(job, asker=Asker(digest, tool))

    def note(self, resource: Resource) -> None:
        """A request asks for this."""
        if resource.kind in ("index", "artifact"):
            job_id = f"{resource.kind}:{resource.protocol}:{resource.identity}"
            if self.known.pop(job_id):
                self._tell(job_id)

    def _heard(self, event: Event) -> None:
        if event.kind != "ahead":
            return
        for job_id in event.ids:
            if self._is_waited_for(job_id):
                self._tell(job_id)
            else:
                self.known.put(job_id, True)

    def _tell(self, job_id: str) -> None:
        self._asked.append(job_id)
        if self._telling is None or self._telling.done():
            self._telling = asyncio.create_task(self._tell_soon(), name="asked for")

    async def _tell_soon(self) -> None:
        while self._asked:  # more may come while Redis is told
            await asyncio.sleep(TELL_SECONDS)
            asked, self._asked = self._asked, []
            try:
                await self._queue.announce("asked", asked)
            except OrchardError as error:  # they count as not asked for
                log.debug("asked_not_told", error=error.code)
