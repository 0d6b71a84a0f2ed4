"""A worker's heartbeat: who it is, how busy its pools are, published each two seconds.

The gateway's /health reads heartbeats instead of asking the workers, so it needs no connection to
any of them, and a dead worker is simply one that is silent: each heartbeat is
`orchard:health:{service}:{instance}` with an expiry. The sorted set `orchard:health` names the instances, so
that nobody scans the queue's keys.
"""

from __future__ import annotations

import os
import socket
import time
import uuid
from collections.abc import Callable

import msgspec

from shared.errors import OrchardError
from shared.models import FORMAT
from shared.process.disk import Disk
from shared.process.periodic import Every
from shared.redis.client import RedisClient
from shared.sources.answered import Answered
from shared.telemetry.logs import get_logger

log = get_logger()

HEARTBEAT_SECONDS = 2.0
KEY_PREFIX = "orchard:health"
EXPIRY_SECONDS = 10
FORGET_SECONDS = 60.0  # names of instances are dropped later than their keys: clocks differ a little


class Pool(msgspec.Struct, frozen=True):
    """Something bounded: how much of it is in use."""

    active: int = 0
    max: int = 0


class Heartbeat(msgspec.Struct, frozen=True, omit_defaults=True):
    """The state that one worker publishes of itself."""

    format: int
    service: str
    instance: str
    version: str
    address: str
    started_at: float  # unix seconds
    sent_at: float  # unix seconds
    rss_bytes: int = 0
    http_pool: Pool | None = None  # upstream connections (fetchers)
    threads: Pool | None = None
    jobs: Pool | None = None  # jobs running / slots
    database_pool: Pool | None = None
    draining: bool = False
    disk: Disk | None = None  # of its data folder
    sandbox_lacks: tuple[str, ...] = ()  # what the kernel does not keep from parsers (docs/operations.md)
    webhooks_failing: int = 0  # of all, as it has read
    sources: dict[str, Answered] = {}  # by id: how upstreams answer it (fetchers); not shown by /health
    token: str = ""  # opens a worker's routes (shared/worker/tokens.py); never shown by /health
    nonce: str = ""  # what opens all of them is worked out from it; then `token` opens /forward alone


class Figures(msgspec.Struct, frozen=True, omit_defaults=True):
    """Figures from the worker; the rest of a heartbeat is filled in here."""

    http_pool: Pool | None = None
    threads: Pool | None = None
    jobs: Pool | None = None
    database_pool: Pool | None = None
    draining: bool = False
    disk: Disk | None = None
    sandbox_lacks: tuple[str, ...] = ()
    webhooks_failing: int = 0
    sources: dict[str, Answered] = {}


class HeartbeatStore:
    """Heartbeats as opaque values, in the queue Redis. Raises `QueueUnavailable` when it fails."""

    def __init__(self, client: RedisClient) -> None:
        self._client = client

    async def write(self, member: str, value: bytes) -> None:
        """Write the heartbeat of `member` ("fetcher:host-1-ab12"), with `EXPIRY_SECONDS`. One round trip."""
        now = time.time()
        with self._client.guard():
            async with self._client.raw.pipeline(transaction=False) as pipe:
                pipe.set(f"{KEY_PREFIX}:{member}", value, ex=EXPIRY_SECONDS)
                pipe.zadd(KEY_PREFIX, {member: now})
                pipe.zremrangebyscore(KEY_PREFIX, "-inf", now - FORGET_SECONDS)
                await pipe.execute()

    async def remove(self, member: str) -> None:
        """Delete the heartbeat of `member`."""
        with self._client.guard():
            async with self._client.raw.pipeline(transaction=False) as pipe:
                pipe.delete(f"{KEY_PREFIX}:{member}")
                pipe.zrem(KEY_PREFIX, member)
                await pipe.execute()

    async def read_all(self) -> list[bytes]:
        """All heartbeats that have not expired. Two round trips."""
        with self._client.guard():
            members = await self._client.raw.zrange(KEY_PREFIX, 0, -1)
            if not members:
                return []
            keys = [f"{KEY_PREFIX}:{member.decode()}" for member in members]
            async with self._client.raw.pipeline(transaction=False) as pipe:
                pipe.mget(keys)
                for key in keys:
                    pipe.pttl(key)
                values, *left = await pipe.execute()
        # One that lasts longer than any can was written before Redis's clock went back.
        longest = 1000 * EXPIRY_SECONDS + 1000
        return [value for value, ms in zip(values, left, strict=True) if value is not None and ms <= longest]


class HeartbeatPublisher:
    """Publishes a worker's heartbeat until closed. A failing Redis is logged once, then tried on."""

    def __init__(
        self,
        store: HeartbeatStore,
        *,
        service: str,
        version: str,
        address: str,
        token: str = "",
        nonce: str = "",
        read_figures: Callable[[], Figures],
    ) -> None:
        self._store = store
        self._service = service
        self._version = version
        self._address = address
        self._token = token
        self._nonce = nonce
        self._read_figures = read_figures
        self.instance = f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:6]}"
        self._started_at = time.time()
        self._turns = Every(HEARTBEAT_SECONDS, self.publish, name="heartbeat")
        self._published = False
        self._failing = False

    async def open(self) -> None:
        """Publish now and then every `HEARTBEAT_SECONDS`."""
        await self.publish()
        await self._turns.open()

    async def publish(self) -> None:
        """Publish once, now (as when draining starts). Never raises for a failing Redis."""
        self._published = True
        figures = self._read_figures()
        heartbeat = Heartbeat(
            format=FORMAT,
            service=self._service,
            instance=self.instance,
            version=self._version,
            address=self._address,
            started_at=self._started_at,
            sent_at=time.time(),
            rss_bytes=resident_bytes(),
            token=self._token,
            nonce=self._nonce,
            **msgspec.structs.asdict(figures),
        )
        try:
            await self._store.write(self._member, msgspec.msgpack.encode(heartbeat))
            self._failing = False
        except OrchardError as error:
            if not self._failing:
                log.warning("heartbeat_failed", error=error.message)
            self._failing = True

    async def aclose(self) -> None:
        """Stop and take the heartbeat away, so that /health shows the stop at once."""
        await self._turns.aclose()
        if self._published:
            self._published = False
            try:
                await self._store.remove(self._member)
            except OrchardError:
                log.debug("heartbeat_not_removed")  # it expires by itself

    @property
    def _member(self) -> str:
        return f"{self._service}:{self.instance}"


async def read_health(client: RedisClient) -> list[Heartbeat]:
    """The heartbeats of all living workers, by service and age. Raises `QueueUnavailable`."""
    found = []
    for value in await HeartbeatStore(client).read_all():
        try:
            heartbeat = msgspec.msgpack.decode(value, type=Heartbeat)
        except msgspec.MsgspecError:
            continue  # another version's: unknown counts as absent (ARCHITECTURE.md "State")
        if heartbeat.format == FORMAT:
            found.append(heartbeat)
    return sorted(found, key=lambda heartbeat: (heartbeat.service, heartbeat.started_at))


def resident_bytes() -> int:
    """Memory of this process, as the kernel counts it; 0 where it does not say."""
    try:
        with open("/proc/self/statm", "rb") as file:  # noqa: PTH123 - hot and tiny
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return 0
