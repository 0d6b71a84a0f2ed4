"""`serve_artifact`: how a file is answered from its facts, or relayed while it is being fetched.

ARCHITECTURE.md "a hit" and "a miss". Pure policy: all I/O goes through `ports`.
"""

from __future__ import annotations

import asyncio

import msgspec

from shared.error_catalogue import from_value
from shared.errors import (
    CacheUnavailable,
    DeadlineExceeded,
    DigestMismatch,
    ErrorValue,
    FileNotFound,
    RangeNotSatisfiable,
    StoreUnavailable,
)
from shared.events import Event
from shared.jobs import DescribeArtifact, FetchArtifact
from shared.models import FORMAT, ArtifactFacts
from shared.protocols.artifact_reply import (
    PLAIN_NAME,
    SENT_DIRECTLY_BYTES,
    artifact_reply,
    common_headers,
    entity_headers,
    sidecar_reply,
)
from shared.protocols.conditions import (
    Conditions,
    Unsatisfiable,
    parse_range,
    range_applies,
)
from shared.protocols.index_reply import judge, remaining_life
from shared.protocols.moving_flow import serve_moving
from shared.protocols.ports import CacheWord, Objects, Ports, Reply
from shared.protocols.resource import Resource

_decode_facts = msgspec.msgpack.Decoder(ArtifactFacts).decode


async def serve_artifact(resource: Resource, conditions: Conditions, ports: Ports) -> Reply:
    """The reply for a file.

    Raises `FileNotFound` when the project's index came and lacks it, `DigestMismatch` when what
    is stored is not what the address promises, `DeadlineExceeded` after `Settings.request_seconds`
    whatever it was that took so long (a fetcher's connection, a database), and passing errors.
    """
    if resource.pointer:
        return await serve_moving(resource, conditions, ports, serve_artifact)
    seconds = ports.settings.request_seconds(resource.protocol)
    try:
        async with asyncio.timeout(seconds):
            return await _ArtifactRequest(resource, conditions, ports).answer()
    except TimeoutError:
        raise DeadlineExceeded(f"{resource.filename} was not ready within {seconds:.3g} s") from None


async def serve_sealed(
    resource: Resource,
    conditions: Conditions,
    facts: ArtifactFacts,
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
    resource: Resource, conditions: Conditions, facts: ArtifactFacts, objects: Objects, word: CacheWord
) -> Reply | None:
    """To the store itself. 307 keeps method and Range (RFC 9110 §15.4.8); the address expires, so nobody
    may keep it."""
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
    ]
    return Reply(307, word, headers, sha256=facts.sha256)


class _ArtifactRequest:
    """One request on its way through the policy."""

    def __init__(self, resource: Resource, conditions: Conditions, ports: Ports) -> None:
        self.resource = resource
        self.conditions = conditions
        self.ports = ports
        self.seconds = ports.settings.request_seconds(resource.protocol)
        self.deadline = ports.clock.monotonic() + self.seconds

    async def answer(self) -> Reply:
        if self.resource.direct:
            absent = await self._absent("NEGATIVE")
            if absent is not None:
                return absent
        facts = await self.ports.facts.find(self.resource)
        if facts is not None:
            reply = await self._sealed(facts, "HIT")
            if reply is not None:
                return reply
            # The object is missing behind its row: the fetch below repairs it, to the same digest.
        elif self.conditions.head and not self.resource.sidecar:
            return await self._describe()
        return await self._fetch(expected=facts.sha256 if facts is not None else self.resource.sha256)

    async def _failed(self, error: ErrorValue) -> Reply:
        """Raises the error, but for an absence that was kept: that is a reply, marked as STALE."""
        if error.code == FileNotFound.code:
            absent = await self._absent("MISS", direct=True)
            if absent is not None and absent.cache == "STALE":
                return absent
        raise from_value(error)

    async def _absent(self, word: CacheWord, *, direct: bool = False) -> Reply | None:
        """The remembered answer that every source lacks the file, unless it is stored meanwhile."""
        resource = self.resource
        if await self.ports.facts.find(resource, cached=True) is not None:
            return None
        try:
            entry = await self.ports.index.read_index(
                resource.protocol, resource.absence_identity, "", direct=direct
            )
        except CacheUnavailable:
            return None
        now = self.ports.clock.now()
        if entry.head is None or judge(entry, now, stale_limit=0) != "negative":
            return None
        headers = [(b"cache-control", b"max-age=%d" % remaining_life(entry.head, now))]
        error = FileNotFound(entry.head.reason or f"no upstream has {resource.filename}")
        return Reply(404, "STALE" if entry.head.failing else word, headers, error=error)

    async def _sealed(self, facts: ArtifactFacts, word: CacheWord) -> Reply | None:
        return await serve_sealed(self.resource, self.conditions, facts, self.ports.objects, word)

    async def _fetch(self, *, expected: str) -> Reply:
        resource = self.resource
        relayed = not (self.conditions.needs_length or self.conditions.head or self.resource.sidecar)
        job = FetchArtifact(
            via=self.conditions.via,
            protocol=resource.protocol,
            project=resource.project,
            file_id=resource.file_id,
            filename=resource.filename,
            request_id=self.conditions.request_id,
            abandonable=relayed,
        )
        # Twice: a live download may end between its event and our connecting to it.
        for _ in range(2):
            event = await self.ports.misses.wait(
                job, until=self._is_stored, timeout=self._remaining(), live=relayed
            )
            if event.kind == "failed" and event.error is not None:
                return await self._failed(event.error)
            reply = await self._relay(job, event, expected) if event.kind == "live" else None
            if reply is None:
                reply = await self._stored(event, expected)
            if reply is not None:
                return reply
        raise StoreUnavailable(f"{resource.filename} was fetched but is not in the object store")

    async def _relay(self, job: FetchArtifact, event: Event, expected: str) -> Reply | None:
        """The bytes as they arrive, or None when the download ended before we had connected."""
        if event.size_bytes == 0:
            return None  # an empty reply cannot be broken off: it waits for the end
        etag = f'"{expected}"' if expected else ""
        wanted = None
        if event.size_bytes is not None and range_applies(self.conditions.if_range, etag):
            wanted = parse_range(self.conditions.range, event.size_bytes)
        if isinstance(wanted, Unsatisfiable):
            headers = [(b"content-range", b"bytes */%d" % (event.size_bytes or 0))]
            error = RangeNotSatisfiable(f"{self.resource.filename} has {event.size_bytes} bytes")
            return Reply(416, "LIVE", headers, error=error)
        body = await self.ports.live.open(job, event, wanted=wanted, promised=expected)
        if body is None:
            return None
        headers = common_headers(self.resource, etag)
        headers += entity_headers(self.resource, body.content_type or event.content_type)
        if body.size_bytes is not None:
            headers.append((b"content-length", b"%d" % body.size_bytes))
        if body.status == 206:
            # Perhaps of an upstream's own 206, which nobody has hashed: nobody may keep any of them.
            headers = [(name, b"no-store" if name == b"cache-control" else value) for name, value in headers]
            headers.append((b"content-range", body.content_range.encode("latin-1")))
        return Reply(body.status, "LIVE", headers, body=body, sha256=expected)

    async def _stored(self, event: Event, expected: str) -> Reply | None:
        facts = facts_of(event) or await self.ports.facts.find(self.resource)
        if facts is None:
            return None
        if expected and facts.sha256 != expected:
            raise DigestMismatch(f"{self.resource.filename} came back with another digest")
        return await self._sealed(facts, "MISS")

    async def _describe(self) -> Reply:
        """A HEAD for a file that is not stored: its size, without downloading it."""
        resource = self.resource
        job = DescribeArtifact(
            via=self.conditions.via,
            protocol=resource.protocol,
            project=resource.project,
            file_id=resource.file_id,
            filename=resource.filename,
            request_id=self.conditions.request_id,
        )
        event = await self.ports.misses.wait(job, until=self._is_stored, timeout=self._remaining())
        if event.kind == "failed":
            if event.error is None:
                raise FileNotFound(f"no {resource.filename}")
            return await self._failed(event.error)
        if event.size_bytes is None:
            facts = await self.ports.facts.find(resource)
            if facts is not None:
                return artifact_reply(resource, self.conditions, facts, "HIT")[0]
        headers = common_headers(resource, f'"{resource.sha256}"' if resource.sha256 else "")
        headers += entity_headers(resource, event.content_type)
        if event.size_bytes is not None:
            headers.append((b"content-length", b"%d" % event.size_bytes))
        return Reply(200, "MISS", headers)

    async def _is_stored(self) -> bool:
        facts = await self.ports.facts.find(self.resource, cached=True)
        if facts is None or facts.format != FORMAT:
            return False
        if facts.size_bytes == 0:
            return True
        return await self.ports.objects.is_intact(facts.object_key, facts.size_bytes)

    def _remaining(self) -> float:
        left = self.deadline - self.ports.clock.monotonic()
        if left <= 0:
            raise DeadlineExceeded(f"{self.resource.filename} was not ready within {self.seconds:.3g} s")
        return left


def facts_of(event: Event) -> ArtifactFacts | None:
    """The facts that a `done` event carries; None when it has none of a format that we know."""
    if not event.value:
        return None
    try:
        facts = _decode_facts(event.value)
    except msgspec.MsgspecError:
        return None
    return facts if facts.format == FORMAT else None
