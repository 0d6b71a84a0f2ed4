"""The read API: how much is stored, how much that saved, and which sources are asked, for people to look at.

None of it costs more where there are 10⁶ packages: tables are counted by samples of their blocks
(`TABLESAMPLE SYSTEM`), which for small ones are the whole.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated

import msgspec
from litestar import get
from litestar.params import Parameter

from services.gateway.api.admin.repository import AdminRepository
from services.gateway.api.admin.upstream_types import LeftAlone, Upstream
from services.gateway.api.left_alone import left_alone
from services.gateway.api.types import Page
from services.gateway.ledger.traffic import Traffic, TrafficLog
from shared.cache.service import CacheService
from shared.errors import InvalidParameter
from shared.errors.passing import QueueUnavailable
from shared.postgres.database import Database
from shared.redis.client import RedisClient
from shared.sources.answered import Answered, together
from shared.stores import Stores
from shared.worker.heartbeat import Heartbeat, read_health

MOST_DAYS = 31
_SAMPLED_BYTES = 2 * 1024**2  # of each table, at most
KEPT_SECONDS = 15.0

SIZES = """
SELECT pg_relation_size('packages')::bigint AS packages, pg_relation_size('cached_urls')::bigint AS files
"""
# $1 and $2: percents of the blocks that are looked at.
STOCK = """
SELECT p.protocol, p.packages, coalesce(f.files, 0) AS files, coalesce(f.size_bytes, 0)::bigint AS size_bytes
FROM (
    SELECT protocol, count(*) AS packages FROM packages TABLESAMPLE SYSTEM ($1) GROUP BY protocol
) p LEFT JOIN (
    SELECT u.protocol, count(*) AS files, sum(a.size_bytes) AS size_bytes
    FROM cached_urls u TABLESAMPLE SYSTEM ($2) JOIN artifacts a ON a.sha256 = u.sha256
    WHERE u.role = 'file' GROUP BY u.protocol
) f ON f.protocol = p.protocol
ORDER BY p.protocol
"""


class Stocked(msgspec.Struct, frozen=True):
    """What of one protocol is stored."""

    protocol: str
    packages: int
    files: int
    size_bytes: int  # of these files; one that lies under two names counts twice


class Stock(msgspec.Struct, frozen=True):
    """What is stored. `exact` false: large tables, estimated from a sample of their rows."""

    items: list[Stocked]
    exact: bool


class TrafficOf(msgspec.Struct, frozen=True):
    """Requests for packages and files of one protocol, and how many no upstream was asked for."""

    protocol: str
    requests: int
    saved_requests: int
    size_bytes: int
    saved_bytes: int


class TrafficDay(msgspec.Struct, frozen=True):
    """One day of UTC."""

    day: str
    items: list[TrafficOf]


class UpstreamState(msgspec.Struct, frozen=True):
    """A source and whether it can be asked; its address is for operators."""

    protocol: str
    name: str
    enabled: bool  # false: paused
    left_alone: list[LeftAlone] = []  # what of it is not asked just now, and why
    answered: Answered | None = None  # lately; null: no fetcher that runs has asked it


def percent(table_bytes: int) -> float:
    """Of a table's blocks that are looked at."""
    return min(100.0, 100.0 * _SAMPLED_BYTES / max(1, table_bytes))


class StockCounter:
    """Counts what is stored, once in a while for all who ask."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._counted: Stock | None = None
        self._counted_at = 0.0  # monotonic
        self._counting: asyncio.Task[Stock] | None = None

    async def read(self) -> Stock:
        """At most `KEPT_SECONDS` old. Raises `DatabaseUnavailable`."""
        if self._counted is not None and time.monotonic() - self._counted_at < KEPT_SECONDS:
            return self._counted
        if self._counting is None or self._counting.done():
            self._counting = asyncio.create_task(self._count())
        return await asyncio.shield(self._counting)  # one caller's leaving must not fail the others

    async def aclose(self) -> None:
        """Stop counting."""
        if self._counting is not None:
            self._counting.cancel()
            await asyncio.gather(self._counting, return_exceptions=True)

    async def _count(self) -> Stock:
        self._counted, self._counted_at = await read_stock(self._database), time.monotonic()
        return self._counted


async def read_stock(database: Database) -> Stock:
    """Raises `DatabaseUnavailable`."""
    sizes = await database.fetchrow(SIZES)
    assert sizes is not None
    packages, files = percent(sizes["packages"]), percent(sizes["files"])
    rows = await database.fetch(STOCK, packages, files)
    items = [
        Stocked(
            row["protocol"],
            round(row["packages"] * 100 / packages),
            round(row["files"] * 100 / files),
            round(row["size_bytes"] * 100 / files),
        )
        for row in rows
    ]
    return Stock(items, packages == files == 100.0)


@get("/api/v1/stock", summary="How much is stored", tags=["packages"])
async def stock(stock_counter: StockCounter) -> Stock:
    """By protocol, some seconds old. Of large tables a sample is counted, and `exact` is false."""
    return await stock_counter.read()


@get("/api/v1/traffic", summary="Requests and bytes by day, and what the cache saved", tags=["packages"])
async def traffic(
    traffic_log: TrafficLog, days: Annotated[int, Parameter(description="The last so many, 1 to 31")] = 7
) -> Page[TrafficDay]:
    """The newest day first, of all gateways; some seconds old. Saved is what no upstream was asked for."""
    if not 1 <= days <= MOST_DAYS:
        raise InvalidParameter(f"days: from 1 to {MOST_DAYS}, not {days}")
    today = datetime.now(UTC).date()
    names = [(today - timedelta(days=number)).isoformat() for number in range(days)]
    found = await traffic_log.read(names)
    return Page([TrafficDay(day, _shown(each)) for day, each in zip(names, found, strict=True)])


def _shown(found: Mapping[str, Traffic]) -> list[TrafficOf]:
    return [
        TrafficOf(protocol, each.requests, each.saved_requests, each.size_bytes, each.saved_bytes)
        for protocol, each in sorted(found.items())
    ]


@get("/api/v1/upstreams", summary="Sources, and whether they can be asked", tags=["packages"])
async def upstream_states(stores: Stores) -> Page[UpstreamState]:
    """In the order in which they are asked, protocol by protocol."""
    known, heartbeats = await asyncio.gather(
        AdminRepository(stores.database).upstreams(), _heartbeats(stores.queue_redis)
    )
    return Page(await asyncio.gather(*(_state(stores.cache, each, heartbeats) for each in known)))


async def _heartbeats(queue_redis: RedisClient) -> list[Heartbeat]:
    try:
        return await read_health(queue_redis)
    except QueueUnavailable:
        return []


async def _state(cache: CacheService, of: Upstream, heartbeats: Sequence[Heartbeat]) -> UpstreamState:
    told = (each.sources.get(str(of.id)) for each in heartbeats)
    return UpstreamState(
        protocol=of.protocol,
        name=of.name,
        enabled=of.enabled,
        left_alone=await left_alone(cache, of.protocol, of.id),
        answered=together([each for each in told if each is not None]),
    )


HANDLERS = [stock, traffic, upstream_states]
