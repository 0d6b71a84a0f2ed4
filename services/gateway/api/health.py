"""Health and metrics: stores, pools and queues, from the workers' heartbeats and a few pings.

Workers publish their figures each two seconds; the gateway reads them, so it needs no connection to any
worker. Shown: database status, Redis ping, active and most of HTTP and thread pools, queue depth.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Iterable, Mapping, Sequence
from typing import Any, Literal, Protocol

import msgspec
from litestar import Response, get

from services.gateway.compose import Gateway
from shared.access.identity import PATH, is_nonce, proof
from shared.errors import InvalidParameter, OrchardError
from shared.errors.passing import QueueUnavailable
from shared.ledger.stream import read_waiting
from shared.objects.measured import read_measured
from shared.redis.client import RedisClient
from shared.settings import Settings, void_rules
from shared.telemetry import metrics
from shared.telemetry.queue_depths import HasDepth, set_queue_depths
from shared.version import VERSION
from shared.worker.heartbeat import Heartbeat, Pool, read_health

LATE_SECONDS = 60.0  # batches of servings are stored within seconds
PING_TIMEOUT_SECONDS = 1.0  # /health itself answers quickly whatever is frozen

Status = Literal["ok", "degraded", "down"]


class StoreHealth(msgspec.Struct, frozen=True, omit_defaults=True):
    """One store as this process sees it."""

    status: Status
    ping_seconds: float | None = None
    detail: str = ""
    pool: Pool | None = None


class QueueHealth(msgspec.Struct, frozen=True):
    """Depth of one queue."""

    ready: int
    running: int
    deferred: int
    oldest_age_seconds: float


class LedgerHealth(msgspec.Struct, frozen=True):
    """Servings on their way to the database."""

    waiting_batches: int
    lag_seconds: float  # how long the oldest of them waits
    dropped: int  # servings for which no gateway had room, since the queue Redis began


class HealthReport(msgspec.Struct, frozen=True):
    """The body of /health."""

    status: Status
    version: str
    checked_at: float  # unix seconds
    database: StoreHealth
    redis_cache: StoreHealth
    redis_queue: StoreHealth
    http_pool: Pool  # sum over the fetchers
    thread_pool: Pool  # sum over the fetchers
    queues: dict[str, QueueHealth]
    workers: dict[str, list[Heartbeat]]  # by service
    problems: list[str]  # one line each; empty when status is ok
    offline: bool  # no upstream is asked (ORCHARD_OFFLINE)
    ledger: LedgerHealth | None = None  # None: it is off, or the queue Redis does not answer


class Pings(Protocol):
    """A store client: `ping` returns or raises an `OrchardError`."""

    def ping(self) -> Awaitable[Any]:
        """Answers if the store does."""


class HasDepths(Protocol):
    """`JobQueue`."""

    def depths(self) -> Awaitable[Mapping[str, HasDepth]]:
        """Depth by queue."""


async def check_health(
    *,
    version: str,
    database: Pings | None,
    cache: Pings,
    queue_redis: RedisClient,
    queue: HasDepths,
    offline: bool = False,
    ledger: bool = False,
    policy: Sequence[str] = (),
) -> HealthReport:
    """The whole report, within about `PING_TIMEOUT_SECONDS`, never raising for a failing store.

    `database` None: this process was given none. `ledger`: whether servings are noted. `policy`: what is
    wrong with what may be served (`AccessWatcher.problems`).
    """
    database_health, cache_health, queue_health, heartbeats, depths, waiting = await asyncio.gather(
        check_store(database, "not configured"),
        check_store(cache),
        check_store(queue_redis),
        _or_empty(read_health(queue_redis)),
        _or_empty(queue.depths()),
        _or_empty(_waiting(queue_redis, ledger)),
    )
    return compose(
        version=version,
        database=database_health,
        redis_cache=cache_health,
        redis_queue=queue_health,
        heartbeats=heartbeats or [],
        depths=depths or {},
        offline=offline,
        ledger=waiting,
        policy=policy,
    )


async def check_store(store: Pings | None, absent: str = "absent") -> StoreHealth:
    """One ping, bounded; its pool figures if the client has any."""
    if store is None:
        return StoreHealth("down", detail=absent)
    pool = _pool_of(store)
    started = time.perf_counter()
    try:
        async with asyncio.timeout(PING_TIMEOUT_SECONDS):
            await store.ping()
    except TimeoutError:
        return StoreHealth("down", detail=f"no answer within {PING_TIMEOUT_SECONDS:g} s", pool=pool)
    except OrchardError as error:
        return StoreHealth("down", detail=error.message, pool=pool)
    return StoreHealth("ok", ping_seconds=round(time.perf_counter() - started, 6), pool=pool)


def compose(
    *,
    version: str,
    database: StoreHealth,
    redis_cache: StoreHealth,
    redis_queue: StoreHealth,
    heartbeats: Iterable[Heartbeat],
    depths: Mapping[str, HasDepth],
    offline: bool = False,
    ledger: LedgerHealth | None = None,
    policy: Sequence[str] = (),
) -> HealthReport:
    """The report from what was read. Its status is `down` when neither facts nor jobs can be read."""
    workers: dict[str, list[Heartbeat]] = {}
    for heartbeat in heartbeats:
        # Anybody may ask: addresses of workers are left out, and what upstreams say.
        shown = msgspec.structs.replace(heartbeat, address="", token="", nonce="", sources={})
        workers.setdefault(heartbeat.service, []).append(shown)
    problems = [
        f"{name}: {store.detail or store.status}"
        for name, store in (
            ("database", database),
            ("redis_cache", redis_cache),
            ("redis_queue", redis_queue),
        )
        if store.status != "ok"
    ]
    if redis_queue.status == "ok":  # else no heartbeats can be read
        for service, effect in (
            ("fetcher", "misses wait"),
            ("extractor", "dependencies and metadata wait"),
        ):
            if not any(not worker.draining for worker in workers.get(service, [])):
                problems.append(f"{service}: none is running; {effect}")
    disks = {worker.disk.problem() for each in workers.values() for worker in each if worker.disk is not None}
    problems += sorted(disks - {""})
    if ledger is not None and ledger.lag_seconds > LATE_SECONDS:
        problems.append(f"ledger: servings wait for {ledger.lag_seconds:.0f} s to be stored (docs/ledger.md)")
    webhooks = max((each.webhooks_failing for each in workers.get("fetcher", [])), default=0)
    if webhooks:  # anybody may ask: which ones is for operators
        problems.append(f"webhooks: {webhooks} get nothing (`orchard webhooks list`)")
    problems += policy
    facts_unreachable = redis_cache.status == "down" and database.status == "down"
    status: Status = "down" if facts_unreachable else "degraded" if problems else "ok"
    fetchers = workers.get("fetcher", [])
    return HealthReport(
        status=status,
        version=version,
        checked_at=time.time(),
        database=database,
        redis_cache=redis_cache,
        redis_queue=redis_queue,
        http_pool=_sum(worker.http_pool for worker in fetchers),
        thread_pool=_sum(worker.threads for worker in fetchers),
        queues={
            name: QueueHealth(depth.ready, depth.running, depth.deferred, round(depth.oldest_age_seconds, 3))
            for name, depth in depths.items()
        },
        workers=workers,
        problems=problems,
        offline=offline,
        ledger=ledger,
    )


def _sum(pools: Iterable[Pool | None]) -> Pool:
    known = [pool for pool in pools if pool is not None]
    return Pool(sum(pool.active for pool in known), sum(pool.max for pool in known))


def _pool_of(store: object) -> Pool | None:
    active, most = getattr(store, "active", None), getattr(store, "max", None)
    return Pool(active, most) if isinstance(active, int) and isinstance(most, int) else None


async def _waiting(queue_redis: RedisClient, ledger: bool) -> LedgerHealth | None:
    if not ledger:
        return None
    found = await read_waiting(queue_redis)
    return LedgerHealth(found.batches, round(found.lag_seconds, 3), found.dropped)


async def _or_empty(reading: Awaitable[Any]) -> Any:
    try:
        async with asyncio.timeout(PING_TIMEOUT_SECONDS):
            return await reading
    except (OrchardError, TimeoutError):
        return None


NO_STORE = {"cache-control": "no-store", "x-content-type-options": "nosniff"}


@get("/health", summary="The state of stores, pools, queues and workers")
async def health(gateway: Gateway, settings: Settings) -> Response[bytes]:
    """200 while anything can be served, 503 when neither cache nor database answers."""
    return await _answer(gateway, settings)


@get("/api/v1/admin/health", summary="The same as /health, which proxies in front of gateways shut")
async def health_for_operators(gateway: Gateway, settings: Settings) -> Response[bytes]:
    """For whoever administers an Orchard from outside (`orchard status`)."""
    return await _answer(gateway, settings)


async def _answer(gateway: Gateway, settings: Settings) -> Response[bytes]:
    report = await check_health(
        version=VERSION,
        database=gateway.database,
        cache=gateway.cache_redis,
        queue_redis=gateway.queue_redis,
        queue=gateway.queue,
        offline=settings.offline,
        ledger=settings.ledger_days > 0,
        policy=[*gateway.access_watcher.problems(), *void_rules(settings)],
    )
    return Response(
        msgspec.json.encode(report),
        status_code=503 if report.status == "down" else 200,
        media_type="application/json",
        headers=NO_STORE,
    )


@get("/health/live", media_type="text/plain", summary="The process runs")
async def live() -> Response[str]:
    """Always 200: it asks nothing of anyone."""
    return Response("ok\n", media_type="text/plain", headers=NO_STORE)


@get("/health/ready", media_type="text/plain", summary="Requests may be sent here")
async def ready(draining: bool) -> Response[str]:
    """503 while starting and stopping. Stores may be away: hits go on without them."""
    text = "draining\n" if draining else "ok\n"
    return Response(text, status_code=503 if draining else 200, media_type="text/plain", headers=NO_STORE)


@get(PATH, summary="A proof that this is the Orchard of a data folder")
async def identity(settings: Settings, nonce: str = "") -> Response[bytes]:
    """`proof` is "" where the operator's token is none that Orchard made (shared/access/identity.py)."""
    if not is_nonce(nonce):
        raise InvalidParameter("nonce: expected 32 hexadecimal digits in lower case")
    body = msgspec.json.encode({"proof": proof(settings.admin_token, settings.port, nonce)})
    return Response(body, media_type="application/json", headers=NO_STORE)


@get("/metrics", summary="Prometheus metrics")
async def metrics_page(gateway: Gateway, in_flight: int) -> Response[bytes]:
    """All metrics of this process."""
    metrics.HTTP_IN_FLIGHT.set(in_flight)
    gateway.l1.count()
    with contextlib.suppress(QueueUnavailable):  # the queue's figures stay as they were
        set_queue_depths(await gateway.queue.depths())
        for measured in await read_measured(gateway.queue_redis, 1):
            for folder, amount in measured.folders.items():
                metrics.STORED_BYTES.labels(folder).set(amount.bytes)
                metrics.STORED_OBJECTS.labels(folder).set(amount.objects)
            metrics.DATABASE_BYTES.set(measured.database_bytes)
        if gateway.ledger is not None:
            metrics.LEDGER_LAG.set((await read_waiting(gateway.queue_redis)).lag_seconds)
    body, content_type = metrics.render()
    return Response(body, headers={**NO_STORE, "content-type": content_type})
