"""`RedisClient` over a Redis Cluster, for the cache role."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from functools import partial
from typing import Any, Literal

from redis.asyncio.connection import Connection
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError

from shared.errors import OrchardError
from shared.redis.client import DEADLINE_SECONDS, Connector, RedisClient
from shared.redis.cluster import Address, Cluster
from shared.redis.lanes import Argument
from shared.redis.slots import tagged_pattern, untagged
from shared.redis.types import SCAN_COUNT, type_of
from shared.telemetry.logs import get_logger

log = get_logger()

TOPOLOGY_SECONDS = 1.0
"""How late a subscriber learns that a slot has another master: so long it may miss changes."""


class ClusterClient(RedisClient):
    """The same calls; keys are spelt for the cluster on the way (`slots.py`)."""

    one_slot = True

    def __init__(self, seeds: Sequence[Address], *, password: str, role: Literal["cache"] = "cache") -> None:
        host, port = seeds[0]
        super().__init__(host=host, port=port, password=password, role=role)
        self.cluster = Cluster(seeds, self._connect, deadline_seconds=DEADLINE_SECONDS)

    def _connect(self, address: Address) -> Connection:
        return self.new_connection(address)

    async def aclose(self) -> None:
        await super().aclose()
        await self.cluster.aclose()

    async def ping(self) -> float:
        """Seconds until every master has answered."""
        return await self._timed(self.cluster.on_each(("PING",)))

    async def get_many(self, keys: Sequence[str]) -> list[bytes | None]:
        with self.guard():
            return await self.cluster.get_many(keys)

    async def submit(self, *args: Argument) -> Any:
        return await self.cluster.submit(args)

    async def unlink(self, *keys: str) -> int:
        with self.guard():
            return await self.cluster.unlink(keys)

    async def scan(self, pattern: str, count: int) -> AsyncIterator[list[str]]:
        with self.guard():
            async for names in self.cluster.scan(tagged_pattern(pattern), count):
                yield [untagged(name.decode("utf-8", "replace")) for name in names]

    def plain_name(self, key: str) -> str:
        return untagged(key)

    async def masters(self) -> list[Connector]:
        return [partial(self.new_connection, address) for address in await self.cluster.masters()]

    async def moved(self) -> None:
        known = await self.cluster.masters()
        while await self.cluster.masters() == known:
            await asyncio.sleep(TOPOLOGY_SECONDS)
            await self.cluster.refresh()

    async def _probe(self) -> int:
        try:
            async with asyncio.timeout(DEADLINE_SECONDS):
                await self.cluster.refresh()
                await self.cluster.on_each(("PING",))
        except (RedisConnectionError, ConnectionRefusedError):
            return 0
        except (RedisError, OSError, TimeoutError):
            return 1
        return 0

    async def _mend(self) -> None:
        removed = 0
        try:
            with contextlib.suppress(OrchardError):
                async for names in self.scan("orchard:*", SCAN_COUNT):
                    for name in names:
                        kind = type_of(name)
                        if kind and await self.command("TYPE", name) not in (kind.encode(), b"none"):
                            removed += await self.unlink(name)
            log.warning("redis_keys_of_another_type_removed", role=self.role, keys=removed)
        finally:
            self._mending = None
