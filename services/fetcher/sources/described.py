"""Source documents, by which a source describes itself (Cargo's config.json): fetched, stored and cached.

Kept as an index's document is: the object, then its row, of this source at this address alone. A process
looks once per lifetime. When the source says nothing usable, what it said last stands, for as long as it
takes; nobody waits longer than `ORCHARD_STALE_WAIT` for a new one while there is an old one
(docs/decisions/0028).
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable

import msgspec

from services.fetcher.http.response import FetchedBody, decode_body
from shared.errors import InvalidData, LastingError, UpstreamInvalid
from shared.errors.passing import ObjectMissing, PassingError, UpstreamUnavailable
from shared.models import AHEAD_SECONDS, StoredDocument, UpstreamSource
from shared.objects.port import document_key
from shared.objects.verify import read_whole
from shared.protocols.base import PackageProxyBase
from shared.protocols.roles.upstream import SOURCE_DOCUMENT, UpstreamRequest
from shared.redis import clock
from shared.stores import Stores
from shared.telemetry.logs import get_logger

log = get_logger()

MAX_BYTES = 1024 * 1024
CURRENT_SECONDS = 3.0  # a client waits meanwhile for the first byte of a file, and may wait for two looks
AGAIN_SECONDS = 5.0  # seconds between looks: after a failure, and because a file is missing


class Validators(msgspec.Struct, frozen=True):
    """What makes a request conditional: the source they came from, and its ETag and date."""

    source_id: int
    etag: str = ""
    last_modified: str = ""

    def headers(self) -> dict[str, str]:
        """The request headers (RFC 9110 §13.1); none if there are no validators."""
        found = {"if-none-match": self.etag, "if-modified-since": self.last_modified}
        return {name: value for name, value in found.items() if value}


Ask = Callable[[UpstreamSource, UpstreamRequest, Validators | None, int], Awaitable[FetchedBody | None]]
"""One question to a source (the last: most bytes of the answer): 200 or 304; None: it truly lacks that."""


class _Known(msgspec.Struct, frozen=True):
    document: object
    row: StoredDocument
    since: float  # unix seconds: when it was asked for last
    until: float  # unix seconds: not asked for again before
    failing: bool = False  # the last time, nothing usable came, or nothing yet

    @property
    def is_fresh(self) -> bool:
        return clock.is_fresh(clock.now(), self.since, self.until)

    @property
    def was_just_asked(self) -> bool:
        return abs(clock.now() - self.since) < AGAIN_SECONDS

    def put_off(self) -> _Known:
        """The same, served for a while although its source has not said it again."""
        now = clock.now()
        return msgspec.structs.replace(self, since=now, until=now + AGAIN_SECONDS, failing=True)


class _Wanted(msgspec.Struct, frozen=True):
    """One source's document: where it is asked for, and the name that its row has."""

    name: str
    protocol: PackageProxyBase
    source: UpstreamSource
    asked: UpstreamRequest
    ask: Ask


class _Look(msgspec.Struct, frozen=True):
    """One that runs. `held` is done once a good document is in memory, which may be before the look is."""

    task: asyncio.Task[_Known]
    held: asyncio.Future[None]


class SourceDocuments:
    """Reads, keeps and remembers them."""

    def __init__(self, stores: Stores) -> None:
        self._artifacts = stores.artifacts
        self._objects = stores.objects
        self._threads = stores.threads
        self._ttl_seconds = stores.settings.cache_ttl_index
        self._wait_seconds = stores.settings.stale_wait
        self._known: dict[int, _Known] = {}  # by source; of one address each
        self._looks: dict[str, _Look] = {}  # those that run

    async def aclose(self) -> None:
        """Give up all looks."""
        running = [look.task for look in self._looks.values()]
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    async def described(self, protocol: PackageProxyBase, source: UpstreamSource, ask: Ask) -> UpstreamSource:
        """The source with its `document`, where its protocol has such a thing. An old one waits for a new
        one as long as an expired page does.

        Raises why it cannot be had if it never was: an error of an upstream, never that something is absent.
        """
        wanted = _wanted(protocol, source, ask)
        if wanted is None:
            return source
        known = self._remembered(wanted)
        if known is None or not known.is_fresh:
            known = await self._in_time(wanted, self._look_once(wanted))
        return msgspec.structs.replace(source, document=known.document)

    async def is_current(self, protocol: PackageProxyBase, source: UpstreamSource, ask: Ask) -> bool:
        """Whether the source says now what `described` tells, or says nothing of itself. It is asked anew
        unless it was just asked; one that takes longer than `CURRENT_SECONDS` does not say so. Never raises
        for its failure, nor for a store's."""
        wanted = _wanted(protocol, source, ask)
        if wanted is None:
            return True
        try:
            async with asyncio.timeout(CURRENT_SECONDS):
                running = self._looks.get(wanted.name)
                known = self._remembered(wanted) if running is None else await asyncio.shield(running.task)
                if known is None or not known.was_just_asked:
                    known = await asyncio.shield(self._look_once(wanted, anew=True).task)
        except (PassingError, LastingError, TimeoutError):
            return False
        return not known.failing

    def _remembered(self, wanted: _Wanted) -> _Known | None:
        known = self._known.get(wanted.source.id)
        return known if known is not None and known.row.identity == wanted.name else None  # else: moved

    async def _in_time(self, wanted: _Wanted, look: _Look) -> _Known:
        if self._remembered(wanted) is None:
            await asyncio.wait((look.task, look.held), return_when=asyncio.FIRST_COMPLETED)
        if self._remembered(wanted) is not None:
            await asyncio.wait((look.task,), timeout=self._wait_seconds)
        known = self._remembered(wanted)
        if known is None or look.task.done():
            return await asyncio.shield(look.task)
        known = self._known[wanted.source.id] = known.put_off()  # the next ones do not wait as well
        return known

    def _look_once(self, wanted: _Wanted, *, anew: bool = False) -> _Look:
        look = self._looks.get(wanted.name)
        if look is None:
            held = asyncio.get_running_loop().create_future()
            look = _Look(asyncio.create_task(self._look(wanted, held, anew=anew)), held)
            self._looks[wanted.name] = look
            look.task.add_done_callback(lambda done: self._looked(wanted.name, done))
        return look

    def _looked(self, name: str, done: asyncio.Task[_Known]) -> None:
        self._looks.pop(name, None)
        if not done.cancelled():
            done.exception()  # seen, even when everyone who waited has gone

    async def _look(self, wanted: _Wanted, held: asyncio.Future[None], *, anew: bool) -> _Known:
        source = wanted.source
        good = self._remembered(wanted)
        try:
            row = await self._artifacts.stored_document(wanted.protocol.name, wanted.name)
            stored = await self._read(wanted, row) if row is not None else None
            good = stored or good
            if stored is None or not stored.is_fresh or (anew and not stored.was_just_asked):
                if good is not None:
                    self._known[source.id] = good
                    held.set_result(None)
                good = await self._asked(wanted, row, stored)
        except (PassingError, LastingError) as error:
            if good is None:
                raise
            log.warning("source_document_stale", source=source.name, because=error.code, error=error.message)
            good = good.put_off()
        assert good is not None
        self._known[source.id] = good
        return good

    async def _read(self, wanted: _Wanted, row: StoredDocument) -> _Known | None:
        """The last good one; None if its object is lost, its row damaged, or this version cannot read it."""
        try:
            body = await read_whole(self._objects, row.document_key, self._threads)
            return self._of(wanted.protocol, row, body)
        except (ObjectMissing, InvalidData, UpstreamInvalid):
            return None

    async def _asked(self, wanted: _Wanted, seen: StoredDocument | None, stored: _Known | None) -> _Known:
        source = wanted.source
        validators = None
        if stored is not None:
            validators = Validators(source.id, stored.row.upstream_etag, stored.row.upstream_last_modified)
        answer = await wanted.ask(source, wanted.asked, validators, MAX_BYTES)
        if answer is None:
            raise UpstreamUnavailable(f"upstream {source.name} has nothing at the address that describes it")
        now = clock.now()
        generation = _generation(now, seen)
        if answer.status == 304 and stored is not None:
            row = msgspec.structs.replace(stored.row, fetched_at=now, generation=generation)
            known = self._known_by(wanted.protocol, row, stored.document)
        else:
            body = decode_body(answer.body, answer.content_encoding, max_bytes=MAX_BYTES)
            row = StoredDocument(
                protocol=wanted.protocol.name,
                identity=wanted.name,
                source_id=source.id,
                generation=generation,
                document_key=document_key(hashlib.sha256(body).hexdigest()),
                fetched_at=now,
                upstream_etag=answer.headers.get("etag", ""),
                upstream_last_modified=answer.headers.get("last-modified", ""),
            )
            known = self._of(wanted.protocol, row, body)
            await self._objects.put_bytes(row.document_key, body)
            log.info("source_document_stored", source=source.name, size_bytes=len(body))
        await self._artifacts.store_document(row, project="", pin=False)
        return known

    def _of(self, protocol: PackageProxyBase, row: StoredDocument, body: bytes) -> _Known:
        return self._known_by(protocol, row, protocol.upstream.read_source_document(body))

    def _known_by(self, protocol: PackageProxyBase, row: StoredDocument, document: object) -> _Known:
        own = protocol.upstream.lifetime(SOURCE_DOCUMENT).fresh
        life = self._ttl_seconds if own is None else own
        return _Known(document, row, row.fetched_at, row.fetched_at + life)


def _wanted(protocol: PackageProxyBase, source: UpstreamSource, ask: Ask) -> _Wanted | None:
    asked = protocol.upstream.source_document(source.url)
    if asked is None:
        return None
    name = f"#{source.id}/{hashlib.sha256(asked.url.encode()).hexdigest()[:32]}"
    return _Wanted(name, protocol, source, asked, ask)


def _generation(now: float, seen: StoredDocument | None) -> int:
    """The time, as every claim's: of several processes' documents the last one stands. Newer than the row
    that was seen, where a clock that has gone back since gave that; one that no clock has reached keeps
    nobody out."""
    generation = int(now * 1_000_000)
    if seen is not None and seen.generation <= generation + AHEAD_SECONDS * 1_000_000:
        return max(generation, seen.generation + 1)
    return generation
