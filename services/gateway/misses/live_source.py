"""Where a relay's bytes come from: the fetcher that holds the job's claim, or its successor, until the end.

The claim in the queue has the fetcher's address; an event, the claim's absence or the stored facts say how
the job ended.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from typing import Protocol

import msgspec

from services.gateway.hits.gate import Gate
from services.gateway.misses.fetchers import FetcherPool, LiveResponse
from shared.errors import InternalError, OrchardError
from shared.errors.catalogue import from_value
from shared.errors.passing import UpstreamUnavailable
from shared.models import NO_SOURCE_HEADERS, FileName, SourceHeaders, Standing, StoredFile, decode_stored
from shared.queue.events import Event
from shared.queue.jobs import FetchArtifact
from shared.queue.listener import EventListener
from shared.queue.producer import JobQueue
from shared.telemetry.logs import get_logger

log = get_logger()

_decode_headers = msgspec.json.Decoder(SourceHeaders).decode


class _Told(msgspec.Struct, array_like=True):
    """`Standing`, as the header has it."""

    published: float
    judged: str
    sha256: str = ""  # a fetcher of before tells neither
    stored_at: float = 0.0


_decode_standing = msgspec.json.Decoder(_Told).decode

TICK_SECONDS = 1.0  # a silent fetcher is looked after this often
LOST_SECONDS = 9.5  # without any fetcher that sends, for so long: broken off
SILENT_SECONDS = 60.0  # connected to a fetcher that waits for a silent upstream: it gives up itself
RETRY_SECONDS = 0.1
ASK_SECONDS = 0.5  # cache, database and queue are asked no oftener whether the file is there


class TransferBroken(Exception):
    """The rest of this body will not come, or must not be sent. `cause`: the error to send instead where
    nothing of it has been sent yet."""

    def __init__(self, message: str, cause: OrchardError | None = None) -> None:
        super().__init__(message)
        self.cause = cause or UpstreamUnavailable(f"the transfer broke off before its first byte: {message}")


def as_orchard_error(error: Exception) -> OrchardError:
    """The error that a client gets for a failure before the first byte of its answer."""
    if isinstance(error, OrchardError):
        return error
    return error.cause if isinstance(error, TransferBroken) else InternalError("an internal error")


class StoredFacts(Protocol):
    """Facts of a file, straight from the cache or the database."""

    async def find(self, file: FileName) -> StoredFile | None: ...


class ObjectReader(Protocol):
    """The part of `ObjectStore` that is used here."""

    def open_stream(self, key: str, start: int = 0, end: int | None = None) -> AsyncIterator[bytes]: ...


class Relay(Protocol):
    """What all transfers of a gateway share: `LiveRelay`."""

    fetchers: FetcherPool
    queue: JobQueue
    listener: EventListener
    facts: StoredFacts
    objects: ObjectReader
    gate: Gate


class LiveSource:
    """Where the bytes of one job come from."""

    def __init__(
        self, relay: Relay, job: FetchArtifact, event: Event, *, offset: int = 0, byte_range: bytes = b""
    ) -> None:
        """From `offset` on; or `byte_range` (a Range header), which the fetcher may get by an upstream
        request of its own."""
        self.status = 200
        self.total: int | None = event.size_bytes  # of the whole file
        self.content_range = ""
        self.content_type = event.content_type
        self.source_headers = NO_SOURCE_HEADERS
        self.standing = Standing(event.published, event.judged, event.sha256)
        self._relay = relay
        self._job = job
        self._range = byte_range
        self._address = event.address
        self._token = event.token
        self._generation = event.generation
        self._received = offset
        self._response: LiveResponse | None = None
        self._ended: Event | None = None
        self._passed = event if event.kind == "done" and event.passed else None
        """The end of the job, where only its fetcher has the bytes: they are read to their end first."""
        self._changed = asyncio.Event()
        self._closed = False
        self._asked_at = 0.0
        relay.listener.register(job.id, self._on_event)

    # --- connecting ---------------------------------------------------------------------------------

    async def connect(self) -> bool:
        """Get the first response head. False: the job ended successfully meanwhile. Raises the job's
        error."""
        self._response = await self._request()
        if self._response is None and not await self._find_source():
            ended = self._ended
            if ended is not None and ended.error is not None:
                raise from_value(ended.error)
            if ended is None:
                raise UpstreamUnavailable(f"nothing of {self._job.filename} came within {LOST_SECONDS:.0f} s")
            return False
        response = self._response
        assert response is not None
        headers = response.headers
        self.status = response.status
        self.content_type = self.content_type or headers.get("content-type", "")
        self.source_headers = _source_headers(headers.get("x-orchard-source-headers", ""))
        self.standing = _standing(headers.get("x-orchard-standing", "")) or self.standing
        self.content_range = headers.get("content-range", "")
        if self.status == 200:
            known = _number(headers.get("x-orchard-size"))
            self.total = known if known is not None else self.total
        if self.total == 0:
            # An empty response cannot be broken off; let the caller wait for the end instead.
            with contextlib.suppress(TransferBroken):  # asked again, it says why
                await self._wait_for_end()
            return False
        return True

    async def _request(self) -> LiveResponse | None:
        """Ask the fetcher of the present claim; None also when the job ends while it is asked."""
        asking = asyncio.ensure_future(
            self._relay.fetchers.request(
                self._address, self._token, self._job.id, self._received, self._range
            )
        )
        try:
            while not asking.done() and self._ended is None:
                self._changed.clear()
                changed = asyncio.ensure_future(self._changed.wait())
                await asyncio.wait((asking, changed), return_when=asyncio.FIRST_COMPLETED)
                changed.cancel()
            return asking.result() if asking.done() else None
        finally:
            asking.cancel()

    async def _find_source(self) -> bool:
        """Connect again at the byte reached, under whatever claim now stands.

        True: connected. False: the job ended (`_ended`), or nobody sends it for too long.
        """
        deadline = time.monotonic() + LOST_SECONDS
        while time.monotonic() < deadline:
            if self._ended is not None:
                return False
            try:
                if await self._look():
                    self._response = await self._request()
                    if self._response is not None:
                        return True
            except OrchardError as error:
                log.debug("relay_poll_failed", job_id=self._job.id, code=error.code)
            self._changed.clear()
            try:
                async with asyncio.timeout(RETRY_SECONDS):
                    await self._changed.wait()
            except TimeoutError:
                continue
        return False

    async def _look(self) -> bool:
        """Read the job's state from the queue. True: a claim says where to connect."""
        claim, outcome = await self._relay.queue.read_state(self._job.id)
        if outcome is not None and outcome.kind != "live" and outcome.generation >= self._generation:
            newer = outcome.generation > self._generation
            self._on_event(outcome)
            if newer or not outcome.passed:
                return outcome.passed
        if claim is not None:
            self._address, self._token, self._generation = claim.address, claim.token, claim.generation
            return bool(claim.address)
        if time.monotonic() - self._asked_at < ASK_SECONDS:
            return False
        self._asked_at = time.monotonic()
        facts = await self._relay.facts.find(self._job.file)
        if facts is not None:
            self._on_event(Event(self._job.id, "done", self._generation, value=msgspec.msgpack.encode(facts)))
            return False
        await self._relay.queue.enqueue(self._job)  # does nothing if it waits its turn
        return False

    def _on_event(self, event: Event) -> None:
        if event.kind == "live" or event.passed:
            self._passed = event if event.kind == "done" else None
            self._address, self._token, self._generation = event.address, event.token, event.generation
        else:
            self._ended = event
        self._changed.set()

    # --- the end ---

    async def _moved(self) -> bool:
        """While silent: whether another fetcher owns the job now, or nobody does."""
        if self._passed is not None:
            return False
        generation = self._generation
        try:
            claim, outcome = await self._relay.queue.read_state(self._job.id)
        except OrchardError:
            return False
        if outcome is not None and outcome.kind != "live" and outcome.generation >= generation:
            self._on_event(outcome)
        return self._ended is not None or claim is None or claim.generation != generation

    async def _wait_for_end(self) -> None:
        """All bytes are here; wait for the job's end, which must come soon."""
        deadline = time.monotonic() + LOST_SECONDS
        while self._ended is None:
            if self._passed is not None:
                self._ended = self._passed
                return
            if time.monotonic() > deadline:
                raise TransferBroken("the stored file was not confirmed in time")
            self._changed.clear()
            try:
                async with asyncio.timeout(0.25):
                    await self._changed.wait()
            except TimeoutError:
                try:
                    await self._look()
                except OrchardError as error:
                    log.debug("relay_poll_failed", job_id=self._job.id, code=error.code)

    async def _facts(self) -> StoredFile:
        """What is stored, according to the end of the job. Raises `TransferBroken` if it failed."""
        ended = self._ended
        if ended is None or ended.kind == "failed":
            error = from_value(ended.error) if ended is not None and ended.error is not None else None
            code = error.code if error is not None else "unknown"
            raise TransferBroken(f"the download failed: {code}", error)
        facts = decode_stored(ended.value)
        if facts is not None:
            return facts
        try:
            found = await self._relay.facts.find(self._job.file)
        except OrchardError as error:
            raise TransferBroken(error.message) from error
        if found is None:
            raise TransferBroken("the stored file has no facts")
        return found

    def _release(self) -> None:
        if self._response is not None:
            self._response.close()
            self._response = None

    async def aclose(self) -> None:
        """Close the connection to the fetcher. May be repeated."""
        if not self._closed:
            self._closed = True
            self._relay.listener.unregister(self._job.id, self._on_event)
            self._release()


def _source_headers(text: str) -> SourceHeaders:
    """What its fetcher says; nothing, for one that does not say so yet."""
    try:
        return _decode_headers(text) if text else NO_SOURCE_HEADERS
    except msgspec.MsgspecError:
        return NO_SOURCE_HEADERS


def _standing(text: str) -> Standing | None:
    """The same of what the policy has to know."""
    try:
        return Standing(*msgspec.structs.astuple(_decode_standing(text))) if text else None
    except msgspec.MsgspecError:
        return None


def _number(text: str | None) -> int | None:
    return int(text) if text is not None and text.isdigit() else None
