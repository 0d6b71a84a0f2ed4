"""`serve_artifact`: how a file is answered from its facts, or relayed while it is being fetched.

ARCHITECTURE.md "a cold file" walks through it. Pure policy: all I/O goes through `ports`.
"""

from __future__ import annotations

import asyncio

import msgspec

from services.gateway.serving.artifact_reply import (
    PLAIN_NAME,
    SENT_DIRECTLY_BYTES,
    artifact_reply,
    common_headers,
    entity_headers,
    passed_on,
    sidecar_reply,
)
from services.gateway.serving.index_flow import serve_index
from services.gateway.serving.index_reply import judge, remaining_life
from services.gateway.serving.pieces import unsatisfiable
from services.gateway.serving.ports import CacheWord, Known, Objects, Ports, Reply, known_of
from shared.errors import DigestMismatch, ErrorValue, FileNotFound
from shared.errors.catalogue import from_value
from shared.errors.passing import CacheUnavailable, DeadlineExceeded, StoreUnavailable
from shared.http.conditions import Conditions, Unsatisfiable, asked_range, asks_little
from shared.models import StoredFile, decode_stored
from shared.protocols.resource import Resource
from shared.queue.events import Event
from shared.queue.jobs import DescribeArtifact, FetchArtifact

PART_BYTES = 1024 * 1024  # the most that is a small part of a file


async def serve_artifact(resource: Resource, conditions: Conditions, ports: Ports) -> Reply:
    """The reply for a file.

    Raises `FileNotFound` when the project's index came and lacks it, `DigestMismatch` when what
    is stored is not what the address promises, `DeadlineExceeded` after `Settings.request_seconds`
    whatever it was that took so long (a fetcher's connection, a database), and passing errors.
    """
    if resource.pointer:
        return await _serve_moving(resource, conditions, ports)
    seconds = ports.settings.request_seconds(resource.protocol)
    try:
        async with asyncio.timeout(seconds):
            return await _ArtifactRequest(resource, conditions, ports).answer()
    except TimeoutError:
        raise DeadlineExceeded(f"{resource.filename} was not ready within {seconds:.3g} s") from None


async def _serve_moving(resource: Resource, conditions: Conditions, ports: Ports) -> Reply:
    """The reply for a file that may be another one tomorrow at the same address (Maven's non-unique
    snapshots).

    A small index, made from the upstream's headers, says which file it is now (`resource.pointer`); the file
    itself is then an artifact under that name, relayed, verified and stored like every other, however large
    it is.
    """
    pointer = Resource(
        resource.protocol,
        "index",
        resource.pointer,
        resource.project,
        representation="id",
        honours_no_cache=False,
        vary="",
        content_codings=("identity",),
    )
    named = await serve_index(
        pointer, Conditions(request_id=conditions.request_id, via=conditions.via), ports
    )
    if named.status != 200 or not isinstance(named.body, bytes | memoryview):
        return named
    file_id = f"{resource.file_id}:{bytes(named.body).decode('ascii')}"
    now = msgspec.structs.replace(resource, pointer="", file_id=file_id)
    now = msgspec.structs.replace(now, identity=now.file.identity)
    # No cache in front may keep it: nothing that is purged names the pointer that led here.
    reply = await serve_artifact(now, msgspec.structs.replace(conditions, edge=False), ports)
    reply.meant = now.file
    for name, value in named.headers:
        if name == b"cache-control":  # it may be cached as long as the pointer, not as a sealed file
            reply.headers = [(n, value if n == name and v != b"no-store" else v) for n, v in reply.headers]
    if named.cache == "STALE":
        reply.cache = "STALE"
    return reply


async def serve_sealed(
    resource: Resource,
    conditions: Conditions,
    facts: StoredFile,
    objects: Objects,
    word: CacheWord = "HIT",
) -> Reply | None:
    """The reply for a stored file, without waiting for any job; None when its object is missing.

    Raises `DigestMismatch`, `StoreUnavailable`.
    """
    if resource.sidecar:
        return sidecar_reply(resource, conditions, facts, word)
    reply, piece = artifact_reply(resource, conditions, facts, word)
    if objects.redirects and reply.status in (200, 206) and facts.size_bytes > SENT_DIRECTLY_BYTES:
        return await _redirected(resource, conditions, facts, objects, word)
    if piece is None:
        if reply.status == 200 and not await objects.is_intact(facts.object_key, facts.size_bytes):
            return None  # a HEAD promises what a GET would get
        return reply
    start, length = piece
    if length == 0:
        reply.body = b""
        return reply
    reply.body = await objects.open(facts.object_key, start, length, size_bytes=facts.size_bytes)
    return None if reply.body is None else reply


async def _redirected(
    resource: Resource, conditions: Conditions, facts: StoredFile, objects: Objects, word: CacheWord
) -> Reply | None:
    """A redirect to the store itself. 307 keeps method and Range (RFC 9110 §15.4.8); the address expires, so
    nobody may keep it."""
    location = await objects.locate(
        facts.object_key,
        size_bytes=facts.size_bytes,
        filename=resource.filename if PLAIN_NAME.fullmatch(resource.filename) else "",
        content_type=facts.content_type,
        head=conditions.head,
    )
    if location is None:
        return None
    headers = [
        (b"location", location.encode("latin-1")),
        (b"cache-control", b"no-store"),
        (b"content-length", b"0"),
        *passed_on(0.0, facts.headers),
    ]
    return Reply(307, word, headers, file=known_of(facts))


class _ArtifactRequest:
    """One request on its way through the policy."""

    def __init__(self, resource: Resource, conditions: Conditions, ports: Ports) -> None:
        self.resource = resource
        self.conditions = conditions
        self.ports = ports
        self.seconds = ports.settings.request_seconds(resource.protocol)
        self.deadline = ports.clock.monotonic() + self.seconds
        self.facts: StoredFile | None = None  # of the file as it is stored, once that is known
        self.looked = False  # whether the database was asked

    async def answer(self) -> Reply:
        """At most three round trips, one after the other, before a job is queued: the cache, the row, the
        queue. The row is looked at after the subscription to the job, so that no end of it is missed."""
        self.facts, absent = await self._known()
        if self.facts is None:
            reply = absent or await self._from_upstream()
            if reply is not None:
                return reply
        if self.facts is not None:
            reply = await self._sealed(self.facts, "HIT")
            if reply is not None:
                return reply
            # The object is missing behind its row: fetching it again repairs it, to the same digest. Or its
            # age is not known: the fetcher finds that out.
            self.looked = True
            reply = await self._fetch(expected=self.facts.sha256)
            if reply is not None:
                return reply
        raise StoreUnavailable(f"{self.resource.filename} was fetched but is not in the object store")

    async def _known(self) -> tuple[StoredFile | None, Reply | None]:
        """What the cache has of the file, or of its absence."""
        if not self.resource.direct:
            return await self.ports.facts.cached(self.resource.file), None
        return await asyncio.gather(self.ports.facts.cached(self.resource.file), self._absent("NEGATIVE"))

    async def _from_upstream(self) -> Reply | None:
        """Of a file that no cache knows. None: it is stored, as `facts` say now."""
        if self.conditions.head and not self.resource.sidecar:
            return await self._describe()
        return await self._fetch(expected=self.resource.sha256)

    async def _failed(self, error: ErrorValue) -> Reply:
        """Raises the error, except for a stored absence: that is a reply, marked as STALE."""
        if error.code == FileNotFound.code:
            absent = None
            if await self.ports.facts.cached(self.resource.file) is None:  # else it was stored meanwhile
                absent = await self._absent("MISS", direct=True)
            if absent is not None and absent.cache == "STALE":
                return absent
        raise from_value(error)

    async def _absent(self, word: CacheWord, *, direct: bool = False) -> Reply | None:
        """The remembered answer that every source lacks the file."""
        resource = self.resource
        try:
            entry = await self.ports.index.read_index(
                resource.protocol, resource.absence_identity, direct=direct
            )
        except CacheUnavailable:
            return None
        now = self.ports.clock.now()
        if entry.head is None or judge(entry, now, stale_limit=0) != "negative":
            return None
        life = remaining_life(entry.head.fetched_at, entry.head.fresh_until, now)
        headers = [(b"cache-control", b"max-age=%d" % life)]
        error = FileNotFound(entry.head.reason or f"no upstream has {resource.filename}")
        return Reply(404, "STALE" if entry.head.failing else word, headers, error=error)

    async def _sealed(self, facts: StoredFile, word: CacheWord) -> Reply | None:
        """None: its object is missing, or its age counts and is not known."""
        if not self.ports.judge.admits(self.resource, facts):
            return None
        return await serve_sealed(self.resource, self.conditions, facts, self.ports.objects, word)

    async def _fetch(self, *, expected: str) -> Reply | None:
        """None: it is stored already, as `facts` say now, or nowhere to be found after all."""
        resource = self.resource
        relayed = not (self.conditions.needs_length or self.conditions.head or self.resource.sidecar)
        # Twice: a live download may end between its event and our connecting to it.
        for _ in range(2):
            job = FetchArtifact.of(
                resource.file,
                via=self.conditions.via,
                request_id=self.conditions.request_id,
                abandonable=relayed,
                unstored=not self.looked,  # or else it is not queued
                part=relayed and self._wants_little(expected),
            )
            event = await self._wait(job, live=relayed)
            if event is None:
                return None
            if event.kind == "failed" and event.error is not None:
                return await self._failed(event.error)
            live = event.kind == "live" or (relayed and event.passed)
            reply = await self._relay(job, event, expected) if live else None
            if reply is None and event.passed and event.kind == "done" and event.size_bytes:
                raise StoreUnavailable(f"{resource.filename} cannot be stored now: the disk is nearly full")
            if reply is None:
                reply = await self._stored(event, expected)
            if reply is not None:
                return reply
        return None

    def _wants_little(self, expected: str) -> bool:
        """Whether a small part is all that is asked for, of a file whose digest the address promises."""
        etag = f'"{expected}"'
        return bool(expected) and not self.looked and asks_little(self.conditions, etag, PART_BYTES)

    async def _wait(self, job: FetchArtifact | DescribeArtifact, *, live: bool = False) -> Event | None:
        """How the job ended. None: it never began, for the file was stored already."""
        first = not self.looked
        event = await self.ports.misses.wait(job, until=self._is_there, timeout=self._remaining(), live=live)
        return None if first and self.facts is not None else event

    async def _relay(self, job: FetchArtifact, event: Event, expected: str) -> Reply | None:
        """The bytes as they arrive, or None when the download ended before we had connected."""
        if event.size_bytes == 0:
            return None  # an empty reply cannot be broken off: it waits for the end
        etag = f'"{expected}"' if expected else ""
        size = event.size_bytes
        wanted = None if size is None else asked_range(self.conditions, etag, size)
        if isinstance(wanted, Unsatisfiable):
            return unsatisfiable("LIVE", self.resource.filename, size or 0)
        body = await self.ports.live.open(job, event, wanted=wanted, promised=expected)
        if body is None:
            return None
        headers = common_headers(self.resource, etag)
        headers += passed_on(body.source_headers.modified, body.source_headers.headers)
        headers += entity_headers(self.resource, body.content_type or event.content_type)
        if body.size_bytes is not None:
            headers.append((b"content-length", b"%d" % body.size_bytes))
        if body.status == 206:
            # Perhaps of an upstream's own 206, which nobody has hashed: nobody may keep any of them.
            headers = [(name, b"no-store" if name == b"cache-control" else value) for name, value in headers]
            headers.append((b"content-range", body.content_range.encode("latin-1")))
        word: CacheWord = "PASS" if event.passed else "LIVE"
        standing = body.standing
        sha256 = expected or standing.sha256
        known = Known(sha256, standing.published, standing.stored_at, standing.judged)
        return Reply(body.status, word, headers, body=body, file=known)

    async def _stored(self, event: Event, expected: str) -> Reply | None:
        facts = decode_stored(event.value) or await self.ports.facts.cached(self.resource.file)
        facts = facts or await self.ports.facts.stored(self.resource.file)
        if facts is None:
            return None
        if expected and facts.sha256 != expected:
            raise DigestMismatch(f"{self.resource.filename} came back with another digest")
        return await self._sealed(facts, "MISS")

    async def _describe(self) -> Reply | None:
        """A HEAD for a file that is not stored: its size, without downloading it. None: it is stored."""
        resource = self.resource
        job = DescribeArtifact.of(
            resource.file,
            via=self.conditions.via,
            request_id=self.conditions.request_id,
            unstored=True,
        )
        event = await self._wait(job)
        if event is None:
            return None
        if event.kind == "failed":
            if event.error is None:
                raise FileNotFound(f"no {resource.filename}")
            return await self._failed(event.error)
        if event.size_bytes is None:
            self.facts = await self.ports.facts.cached(resource.file)
            if self.facts is not None:
                return None
        headers = common_headers(resource, f'"{resource.sha256}"' if resource.sha256 else "")
        headers += passed_on(event.source_headers.modified, event.source_headers.headers)
        headers += entity_headers(resource, event.content_type)
        if event.size_bytes is not None:
            headers.append((b"content-length", b"%d" % event.size_bytes))
        return Reply(200, "MISS", headers, file=Known(event.sha256, event.published, judged=event.judged))

    async def _is_there(self) -> bool:
        """Whether there is a file to serve: at the first look by its row, whose object is still to be opened;
        later by the cache, and it must be intact, of a known age where that counts."""
        if not self.looked:
            self.looked = True
            self.facts = await self.ports.facts.stored(self.resource.file)
            return self.facts is not None
        facts = await self.ports.facts.cached(self.resource.file)
        if facts is None or not self.ports.judge.admits(self.resource, facts):
            return False
        if facts.size_bytes == 0:
            return True
        return await self.ports.objects.is_intact(facts.object_key, facts.size_bytes)

    def _remaining(self) -> float:
        left = self.deadline - self.ports.clock.monotonic()
        if left <= 0:
            raise DeadlineExceeded(f"{self.resource.filename} was not ready within {self.seconds:.3g} s")
        return left
