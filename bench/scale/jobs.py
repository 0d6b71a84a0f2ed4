"""What periodic work costs in the large installation: CPU of the process and of all stores, for each turn."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Awaitable, Callable

import msgspec

from bench.harness import processes
from bench.scale.rows import digest
from bench.scale.stores import Installation, head_of
from services.extractor.extraction.pending import PAUSE_SECONDS, PendingSweep
from services.extractor.housekeeping.evictor import Evictor, UsesKept
from services.extractor.housekeeping.scrubber import CURSOR, Scrubber
from services.extractor.housekeeping.sweeper import ROUND, Sweeper
from services.extractor.housekeeping.timer import REST
from services.gateway.hits.tracking import InvalidationStream
from shared.artifacts.uses import report_uses
from shared.cache.keys import PREFIX, head_key
from shared.objects.port import VARIANTS
from shared.objects.verify import Verifier
from shared.settings import Settings
from shared.stores import Stores

INTERVAL = Settings().sweep_interval
GATEWAYS = 50
USES = 10_000
ORPHANS = 1_000
WRITES = 2_000

BOUNDED = {
    "advisories": "a process reads one hash; a snapshot once it has changed",
    "webhooks": "what is not delivered yet: 10,000 events of each of 20 webhooks at most, none as a rule",
    "osv feeds": "one look at each feed; rows of what has changed (samples.py), none if nothing has",
    "artifact uses": "a gateway tells once a minute what was asked for since: one command",
    "blocks of upstreams": "one question to each Orchard that is an upstream; 10,000 blocks of it at most",
    "disk pressure": "one look at the file system, unless the disk is full",
    "transparency log": "what waits in the outbox, 256 rows at a time",
    "build statements": "sealed builds that have none, some at a time",
    "ledger": "what gateways left in a stream; hourly, days and names that are too old (samples.py)",
    "heartbeat": "one command a worker",
    "queue samples": "one script a gateway while somebody looks at /queues",
    "read-ahead figures": "one look at a fetcher's own memory of what it read ahead",
    "shared clock": "one TIME a process",
    "slow clients": "one look at the kernel's table of this process's connections",
    "source sync": "until it has worked once",
    "token use": "one statement, of tokens that were used",
    "traffic": "a gateway tells each 5 s what it has counted: two commands",
}
"""Periodic work whose cost does not depend on how much is stored, by the name that `Every` has, and what it
is. The rest is measured."""
MEASURED = ("sweep", "pending sweep")
NAMED_BY_VARIABLE = ("beat-{self.queue}", "{channel} watcher", "name")
"""Workers' beats, watchers of sources and access, leases: each of a few keys or of a bounded table."""


class Cost(msgspec.Struct, frozen=True):
    """Of one turn of a piece of work. `share`: of a core, at the interval at which it runs."""

    name: str
    seconds: float
    cpu_seconds: float
    share: float
    objects: int
    statements: int
    commands: int

    def each_thousand(self, count: int) -> float:
        """Of `count` how many for 1,000 objects."""
        return 1000 * count / self.objects if self.objects else float(count)


async def measure(ours: Installation) -> list[Cost]:
    """All that is measured."""
    async with ours.stores() as stores:
        found = [await _cost(ours, stores, *each) for each in await _turns(ours, stores)]
        return [*found, *await _tracking(ours, stores)]


class _Trusting(Verifier):
    """Names of these objects follow from numbers, not from their bytes."""

    async def is_intact(self, key: str, size_bytes: int, *, anew: bool = False) -> bool:
        await super().is_intact(key, size_bytes, anew=anew)
        return True


Turn = tuple[str, float, Callable[[], Awaitable[int]]]


async def _turns(ours: Installation, stores: Stores) -> list[Turn]:
    """Name, seconds between two turns, and the turn, which says how many objects it looked at."""
    await stores.queue_redis.raw.delete(ROUND, CURSOR)
    settings = stores.settings
    verifier = _Trusting(stores.bare_objects, stores.threads, seconds=1)

    async def uses() -> int:
        now = time.time()
        await report_uses(stores.queue_redis, {digest("a", n * 2): now for n in range(USES)})
        return await UsesKept(stores).run()

    async def sweep() -> int:
        return (await Sweeper(stores, delete=False).run()).objects

    async def orphans() -> int:
        root = ours.folder / "objects" / VARIANTS
        for number in range(ORPHANS):
            name = hashlib.sha256(b"orphan %d" % number).hexdigest()
            (root / name[:2] / name).touch()
        report = await Sweeper(stores, delete=True, young_seconds=-1).run()
        return report.deleted

    async def scrub() -> int:
        days = settings.scrub_days or 30
        scrubber = Scrubber(stores, verifier, days=days, interval_seconds=INTERVAL)
        return (await scrubber.run()).looked

    async def evict() -> int:
        return (await Evictor(stores, days=7, max_bytes=1, dry_run=True).run()).files

    async def pending() -> int:
        return await PendingSweep(stores.database, stores.queue, limit=10_000).sweep()

    return [
        ("uses are kept", INTERVAL, uses),
        ("sweep", INTERVAL, sweep),
        (f"sweep, {ORPHANS} orphans deleted", INTERVAL, orphans),
        ("scrub", INTERVAL, scrub),
        ("eviction", INTERVAL, evict),
        ("lost extractions", PAUSE_SECONDS, pending),
    ]


async def _cost(
    ours: Installation, stores: Stores, name: str, interval: float, turn: Callable[[], Awaitable[int]]
) -> Cost:
    statements, commands = stores.database.statements, await _commands(stores)
    began, cpu = time.perf_counter(), _cpu(ours)
    objects = await turn()
    seconds, spent = time.perf_counter() - began, _cpu(ours) - cpu
    rests = max(interval, REST * seconds) if name == "eviction" else interval
    return Cost(
        name, seconds, spent, spent / rests, objects, stores.database.statements - statements,
        await _commands(stores) - commands,
    )  # fmt: skip


def _cpu(ours: Installation) -> float:
    pids = [server.pid for server in (ours.postgres, ours.cache, ours.queue)]
    children = [child for pid in pids for child in processes.descendants(pid)]
    return time.process_time() + processes.cpu_seconds([*pids, *children])


async def _commands(stores: Stores) -> int:
    both = [await each.raw.info("stats") for each in (stores.cache_redis, stores.queue_redis)]
    return sum(int(each["total_commands_processed"]) for each in both)


async def _tracking(ours: Installation, stores: Stores) -> list[Cost]:
    """The cache's CPU for page heads that change, with one gateway that follows and with many; the readers'
    own is not in it. `share` is of a core at 100 changes a second."""
    found = []
    for gateways in (1, GATEWAYS):
        told = 0

        def on_change(keys: list[str]) -> None:
            nonlocal told
            told += len(keys)

        streams = [
            InvalidationStream(
                stores.cache_redis, prefix=PREFIX, on_change=on_change, on_flush=lambda: None,
                on_connected=lambda _: None,
            )
            for _ in range(gateways)
        ]  # fmt: skip
        for stream in streams:
            await stream.open()
        cpu, began = processes.cpu_seconds([ours.cache.pid]), time.perf_counter()
        for number in range(WRITES):
            await stores.cache_redis.raw.set(head_key("pypi", f"simple/written-{number}"), head_of(number))
        async with asyncio.timeout(60):
            while told < WRITES * gateways:
                await asyncio.sleep(0.01)
        spent = processes.cpu_seconds([ours.cache.pid]) - cpu
        seconds = time.perf_counter() - began
        for stream in streams:
            await stream.aclose()
        name = f"{WRITES} pages change, {gateways} gateways follow"
        found.append(Cost(name, seconds, spent, spent / WRITES * 100, WRITES, 0, WRITES))
    await stores.cache_redis.raw.delete(*(head_key("pypi", f"simple/written-{n}") for n in range(WRITES)))
    return found
