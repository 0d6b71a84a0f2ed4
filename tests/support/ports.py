"""All ports of the flows, whole, in memory: policy is tested without a store and without time."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from services.gateway.serving.ports import Body, Ports
from shared.http.conditions import ByteRange
from shared.models import (
    FORMAT,
    NO_SOURCE_HEADERS,
    NO_STANDING,
    FileName,
    IndexHead,
    SourceHeaders,
    Standing,
    StoredFile,
    VariantInfo,
)
from shared.protocols.resource import Resource
from shared.queue.events import Event
from shared.queue.jobs import AnyJob, FetchArtifact, FetchIndex
from shared.settings import Settings


@dataclass
class MemoryEntry:
    head: IndexHead | None = None
    body: bytes | memoryview | None = None
    revision: int = 0
    verified: bool = True
    variant: str = ""


@dataclass
class MemoryIndex:
    """Pages by identity; bodies by (identity, variant)."""

    heads: dict[str, IndexHead] = field(default_factory=dict)
    bodies: dict[tuple[str, str], bytes] = field(default_factory=dict)
    revision: int = 0
    verified: bool = True
    down_sources: set[int] = field(default_factory=set)
    revalidated: set[str] = field(default_factory=set)

    async def read_index(
        self, protocol: str, identity: str, *variants: str, view: str = "", direct: bool = False
    ) -> MemoryEntry:
        head = self.heads.get(identity)
        named = head.variants if head is not None else {}
        variant = next((name for name in variants if name in named), variants[0] if variants else "")
        body = self.bodies.get((identity, variant))
        return MemoryEntry(head, body, self.revision, self.verified, variant)

    async def allow_revalidation(self, protocol: str, identity: str, seconds: int) -> bool:
        if identity in self.revalidated:
            return False
        self.revalidated.add(identity)
        return True

    async def upstream_is_down(self, protocol: str, source_id: int) -> bool:
        return source_id in self.down_sources

    def put(
        self,
        identity: str,
        bodies: dict[str, bytes],
        *,
        fresh_until: float,
        status: int = 200,
        generation: int = 1,
        revision: int = 0,
        failing: bool = False,
        retry_at: float = 0.0,
        object_keys: dict[str, str] | None = None,
    ) -> IndexHead:
        """A page as a fetcher writes it."""
        head = IndexHead(
            format=FORMAT,
            status=status,
            generation=generation,
            source_revision=revision,
            source_id=1,
            fetched_at=fresh_until - 300,
            fresh_until=fresh_until,
            failing=failing,
            retry_at=retry_at,
            variants={
                name: VariantInfo(
                    f'"{hashlib.sha256(body).hexdigest()[:16]}"',
                    len(body),
                    "text/x-page",
                    (object_keys or {}).get(name, ""),
                )
                for name, body in bodies.items()
            },
        )
        self.heads[identity] = head
        for name, body in bodies.items():
            if not (object_keys or {}).get(name):
                self.bodies[(identity, name)] = body
        return head


@dataclass
class MemoryFacts:
    facts: dict[FileName, StoredFile] = field(default_factory=dict)
    rows: dict[FileName, StoredFile] = field(default_factory=dict)  # that no cache knows

    async def cached(self, file: FileName) -> StoredFile | None:
        return self.facts.get(file)

    async def stored(self, file: FileName) -> StoredFile | None:
        return self.rows.get(file) or await self.cached(file)


Run = Callable[[AnyJob], Awaitable[Event]]


@dataclass
class MemoryMisses:
    """Runs jobs with `run`; None: nobody ever does, and waiting ends at the deadline."""

    clock: MemoryClock
    run: Run | None = None
    waited: list[AnyJob] = field(default_factory=list)
    started: list[AnyJob] = field(default_factory=list)

    async def wait(
        self, job: AnyJob, *, until: Callable[[], Awaitable[bool]], timeout: float, live: bool = False
    ) -> Event:
        self.waited.append(job)
        if await until():
            return Event(job.id, "done", 0)
        if self.run is None:
            self.clock.seconds += timeout
            raise TimeoutError
        return await self.run(job)

    async def start(self, job: AnyJob) -> None:
        self.started.append(job)


@dataclass
class MemoryBody:
    data: bytes
    path: str = ""
    closed: bool = False
    status: int = 200
    size_bytes: int | None = None
    content_range: str = ""
    content_type: str = ""
    variant: str = ""
    sha256: str = ""
    source_headers: SourceHeaders = NO_SOURCE_HEADERS
    standing: Standing = NO_STANDING

    async def chunks(self) -> AsyncIterator[bytes]:
        for start in range(0, len(self.data), 7):
            yield self.data[start : start + 7]

    async def aclose(self) -> None:
        self.closed = True


@dataclass
class MemoryObjects:
    objects: dict[str, bytes] = field(default_factory=dict)
    opened: list[tuple[str, int, int]] = field(default_factory=list)
    redirects: bool = False

    async def locate(
        self, key: str, *, size_bytes: int, filename: str, content_type: str, head: bool
    ) -> str | None:
        """An address for what is there."""
        return f"https://objects.example.com/{key}" if key in self.objects else None

    async def is_intact(self, key: str, size_bytes: int) -> bool:
        return key in self.objects

    async def open(self, key: str, start: int, length: int, *, size_bytes: int) -> Body | bytes | None:
        self.opened.append((key, start, length))
        data = self.objects.get(key)
        return None if data is None else MemoryBody(data[start : start + length])


@dataclass
class MemoryLive:
    body: MemoryBody | None = None
    ranges: list[ByteRange | None] = field(default_factory=list)

    async def open(
        self, job: FetchArtifact, event: Event, *, wanted: ByteRange | None = None, promised: str = ""
    ) -> MemoryBody | None:
        self.ranges.append(wanted)
        return self.body

    async def open_index(self, job: FetchIndex, event: Event, variants: Sequence[str]) -> MemoryBody | None:
        return self.body if self.body is not None and self.body.variant in variants else None


@dataclass
class MemoryClock:
    seconds: float = 1_000_000.0

    def now(self) -> float:
        return self.seconds

    def monotonic(self) -> float:
        return self.seconds


class MemoryJudge:
    """Lets everything out."""

    def admits(self, resource: Resource, facts: StoredFile) -> bool:
        return True


class MemoryWorld:
    """All of them together, with the `Ports` that the flows take."""

    def __init__(self, settings: Settings | None = None) -> None:
        self.clock = MemoryClock()
        self.index = MemoryIndex()
        self.facts = MemoryFacts()
        self.misses = MemoryMisses(self.clock)
        self.objects = MemoryObjects()
        self.live = MemoryLive()
        self.ports = Ports(
            index=self.index,
            facts=self.facts,
            misses=self.misses,
            objects=self.objects,
            live=self.live,
            judge=MemoryJudge(),
            clock=self.clock,
            settings=settings or Settings(),
        )

    def store(self, resource: Resource, data: bytes) -> StoredFile:
        """A sealed file with its object."""
        digest = hashlib.sha256(data).hexdigest()
        facts = StoredFile(
            digest, len(data), "application/zip", f"artifacts/{digest}", resource.filename, 1.7e9
        )
        self.facts.facts[resource.file] = facts
        self.objects.objects[facts.object_key] = data
        return facts
