"""The flows' ports: small interfaces over all I/O, so that policy is tested in memory."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Literal, Protocol

import msgspec

from shared.errors import OrchardError
from shared.http.conditions import ByteRange
from shared.models import FileName, IndexHead, SourceHeaders, Standing, StoredFile
from shared.protocols.resource import Resource
from shared.queue.events import Event
from shared.queue.jobs import AnyJob, FetchArtifact, FetchIndex
from shared.settings import Settings

CacheWord = Literal["HIT", "LIVE", "PASS", "MISS", "STALE", "NEGATIVE", "REVALIDATED", "NONE"]
"""What X-Cache and the metrics call the way a reply was found; NONE: nobody was asked for it."""


class IndexEntry(Protocol):
    """What a read of an index gives: its head, the body of one variant, the sources' revision."""

    @property
    def head(self) -> IndexHead | None: ...

    @property
    def body(self) -> bytes | memoryview | None: ...

    @property
    def revision(self) -> int: ...  # 0: unknown, nothing is concluded from it

    @property
    def variant(self) -> str: ...  # which of those that were asked for

    @property
    def verified(self) -> bool: ...  # False: it cannot be known whether it is current; serve as STALE


class IndexCache(Protocol):
    """Cached index pages, and the state of the upstream behind them."""

    async def read_index(
        self, protocol: str, identity: str, *variants: str, view: str = "", direct: bool = False
    ) -> IndexEntry:
        """The head, and of `variants` the first that the page has, as a view shows it ("": as it is).
        `direct` passes by any in-process copy, for a re-check after an event.

        Raises `CacheUnavailable`.
        """
        ...

    async def allow_revalidation(self, protocol: str, identity: str, seconds: int) -> bool:
        """True at most once per page in `seconds`, over all gateways; False when that is unknown."""
        ...

    async def upstream_is_down(self, protocol: str, source_id: int) -> bool:
        """Whether the breaker of a source is open, so that no request would be sent."""
        ...


class Facts(Protocol):
    """Facts of sealed artifacts."""

    async def cached(self, file: FileName) -> StoredFile | None:
        """In-process, then cache; None also when the cache does not answer. Raises `Blocked`."""
        ...

    async def stored(self, file: FileName) -> StoredFile | None:
        """By the row: one query, whose result fills the cache. Raises `DatabaseUnavailable`, `Blocked`."""
        ...


class Misses(Protocol):
    """Turns what is missing into jobs, and waits for them."""

    async def wait(
        self,
        job: AnyJob,
        *,
        until: Callable[[], Awaitable[bool]],
        timeout: float,
        live: bool = False,
    ) -> Event:
        """Enqueue (coalesced) and wait for the job's end: an event `done` or `failed`.

        `live`: an event `live` ends the wait too. `until` is the re-check that finds a result whose
        notification was lost: True ends the wait as `done`. Raises `TimeoutError` after
        `timeout` seconds, `QueueFull`, `QueueUnavailable`.
        """
        ...

    async def start(self, job: AnyJob) -> None:
        """Enqueue without waiting; a queue that is full or away is not an error here."""
        ...


class Body(Protocol):
    """Bytes that are not in memory."""

    @property
    def path(self) -> str:
        """The local file that is exactly this body, or "" when it must be read through `chunks`."""
        ...

    def chunks(self) -> AsyncIterator[bytes]:
        """All bytes, once. Its normal end means complete and correct; an exception means neither."""
        ...

    async def aclose(self) -> None: ...


class LiveBody(Body, Protocol):
    """A download in progress, as relayed from the fetcher that owns it."""

    @property
    def status(self) -> int:
        """200: the whole file; 206: the range that was asked for."""
        ...

    @property
    def size_bytes(self) -> int | None:
        """Length of this body, if known."""
        ...

    @property
    def content_range(self) -> str:
        """The Content-Range of a 206."""
        ...

    @property
    def content_type(self) -> str: ...

    @property
    def source_headers(self) -> SourceHeaders: ...

    @property
    def standing(self) -> Standing:
        """As its fetcher says it: an event may have been missed."""
        ...

    @property
    def sha256(self) -> str:
        """Of the whole file, once this body has ended well; "" before, and for what nobody has hashed."""
        ...


class LiveIndex(Body, Protocol):
    """An index that is read just now, as relayed from its fetcher."""

    @property
    def variant(self) -> str:
        """Which of its bodies this is."""
        ...

    @property
    def content_type(self) -> str: ...


class Objects(Protocol):
    """The object store, as the gateway reads it."""

    @property
    def redirects(self) -> bool:
        """Whether clients are sent to the store itself (ORCHARD_ARTIFACT_DELIVERY=redirect)."""
        ...

    async def is_intact(self, key: str, size_bytes: int) -> bool:
        """Whether `open` would give the object: there, of this size, and not known to have other bytes.

        Raises `StoreUnavailable`.
        """
        ...

    async def locate(
        self, key: str, *, size_bytes: int, filename: str, content_type: str, head: bool
    ) -> str | None:
        """The address where a client gets the object itself, for some minutes; None when it is missing.

        Raises `StoreUnavailable`.
        """
        ...

    async def open(self, key: str, start: int, length: int, *, size_bytes: int) -> Body | bytes | None:
        """A slice of an object of `size_bytes`; None when the object is missing.

        Raises `StoreUnavailable`.
        """
        ...


class Live(Protocol):
    """The relay of downloads in progress."""

    async def open(
        self, job: FetchArtifact, event: Event, *, wanted: ByteRange | None = None, promised: str = ""
    ) -> LiveBody | None:
        """Connect to the fetcher named by a `live` event. `wanted`: a range of the size that the event
        says; whether it may go out before the whole is verified is decided here. `promised`: the SHA-256
        that the file must have.

        None: it ended meanwhile; ask the queue again how.
        """
        ...

    async def open_index(self, job: FetchIndex, event: Event, variants: Sequence[str]) -> LiveIndex | None:
        """The same of an index; None too if what is relayed is none of these bodies."""
        ...


class ForwardRequest(msgspec.Struct, frozen=True, omit_defaults=True):
    """A client's request that is passed on. `path` is relative to the upstream's root, with its query."""

    method: str
    path: str
    accept: str = ""
    content_type: str = ""
    content_encoding: str = ""
    body: bytes = b""  # as the client sent it, coded or not
    via: str = ""  # installations that the request came through (shared/http/via.py)


class ForwardAnswer(msgspec.Struct, frozen=True):
    """What an upstream said to it."""

    status: int
    content_type: str
    body: bytes


class Forward(Protocol):
    """Requests to an upstream whose answers are never cached."""

    async def send(self, protocol: str, request: ForwardRequest) -> ForwardAnswer:
        """The answer of the protocol's first source. Raises a `PassingError` if it gives none."""
        ...


class Clock(Protocol):
    def now(self) -> float:
        """Unix seconds, comparable with the heads' times."""
        ...

    def monotonic(self) -> float:
        """Seconds that never jump, for deadlines."""
        ...


class Judge(Protocol):
    """What may be served."""

    def admits(self, resource: Resource, facts: StoredFile) -> bool:
        """Whether a stored file may go out. False: its age counts and is not known, a fetcher must tell it.
        Raises `Blocked`, `TooYoung`."""
        ...


class Ports(msgspec.Struct, frozen=True):
    """All of them, with the settings that the flows read."""

    index: IndexCache
    facts: Facts
    misses: Misses
    objects: Objects
    live: Live
    judge: Judge
    clock: Clock
    settings: Settings
    forward: Forward | None = None


class Known(msgspec.Struct, frozen=True):
    """What is known of the file that an answer is about: its digest, when it counts as published and when it
    was stored (unix seconds, 0: unknown, and not), and what the policy file came to."""

    sha256: str = ""
    published: float = 0.0
    stored_at: float = 0.0
    judged: str = ""


def known_of(facts: StoredFile) -> Known:
    """Of a stored file."""
    return Known(facts.sha256, facts.published, facts.created_at, facts.judged)


class Reply(msgspec.Struct):
    """A finished answer. `headers` holds all but those that every response has alike."""

    status: int
    cache: CacheWord
    headers: list[tuple[bytes, bytes]]
    body: bytes | memoryview | Body | None = None  # None: headers only
    error: OrchardError | None = None  # the sender writes the problem document
    file: Known = Known()  # that the body is of, or a slice of
    page: IndexEntry | None = None  # the same, of an index
    meant: FileName | None = None  # the file that an address meant which means another one at other times
