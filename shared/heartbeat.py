"""A worker's heartbeat: who it is, how busy its pools are, published each two seconds.

The gateway's /health reads heartbeats instead of asking the workers, so it needs no connection to
any of them, and a dead worker is simply one that is silent.
"""

from __future__ import annotations

import asyncio
import os
import socket
import time
import uuid
from collections.abc import Callable

import msgspec

from shared.clients.heartbeats import HeartbeatStore
from shared.clients.redis import RedisClient
from shared.disk import Disk
from shared.errors import OrchardError
from shared.logs import get_logger
from shared.models import FORMAT

log = get_logger()

HEARTBEAT_SECONDS = 2.0


class Pool(msgspec.Struct, frozen=True):
    """Something bounded: how much of it is in use."""

    active: int = 0
    max: int = 0


class Heartbeat(msgspec.Struct, frozen=True, omit_defaults=True):
    """What one worker says of itself."""

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
    token: str = ""  # opens a worker's routes (shared/worker_tokens.py); never shown by /health
    nonce: str = ""  # what opens all of them is worked out from it; then `token` opens /forward alone


class Figures(msgspec.Struct, frozen=True, omit_defaults=True):
    """What only the worker knows; the rest of a heartbeat is filled in here."""

    http_pool: Pool | None = None
    threads: Pool | None = None
    jobs: Pool | None = None
    database_pool: Pool | None = None
    draining: bool = False
    disk: Disk | None = None
    sandbox_lacks: tuple[str, ...] = ()


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
        self._task: asyncio.Task[None] | None = None
        self._failing = False

    async def open(self) -> None:
        """Publish now and then every `HEARTBEAT_SECONDS`."""
        await self.publish()
        self._task = asyncio.create_task(self._run(), name="heartbeat")

    async def publish(self) -> None:
        """Publish once, now (as when draining starts). Never raises for a failing Redis."""
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
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None
            try:
                await self._store.remove(self._member)
            except OrchardError:
                log.debug("heartbeat_not_removed")  # it expires by itself

    @property
    def _member(self) -> str:
        return f"{self._service}:{self.instance}"

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(HEARTBEAT_SECONDS)
            await self.publish()


async def read_health(client: RedisClient) -> list[Heartbeat]:
    """The heartbeats of all living workers, by service and age. Raises `QueueUnavailable`."""
    found = []
    for value in await HeartbeatStore(client).read_all():
        try:
            heartbeat = msgspec.msgpack.decode(value, type=Heartbeat)
        except msgspec.MsgspecError:
            continue  # another version's: unknown is as good as absent (ARCHITECTURE.md "State")
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
