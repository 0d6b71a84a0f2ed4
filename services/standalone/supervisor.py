"""Runs a whole Orchard on one machine: stores, migrations, workers, gateways, in that order.

Stopping goes the other way within `STOP_SECONDS`. No process outlives the supervisor after an orderly stop,
a start that fails half-way, or a SIGKILL (guard.py, processes.spawn).
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time
from collections.abc import Mapping, Sequence

from services.standalone.banner import Upstream, banner, own_url
from services.standalone.child import Child, ChildSpec, StartFailed
from services.standalone.data_folder import DataFolder
from services.standalone.guard import Guard
from services.standalone.kept_files import ADDRESS, Keys, write_private
from services.standalone.output import complain, say
from services.standalone.postgres import EmbeddedPostgres, needed_connections
from services.standalone.redis_server import EmbeddedRedis
from services.standalone.room import keep_room
from services.standalone.servers import EmbeddedServer, StoreFailed
from services.standalone.table import (
    Counts,
    Modules,
    gateway_specs,
    migrations_spec,
    store_spec,
    worker_specs,
)
from services.standalone.upstreams import check_upstreams
from shared.settings import Settings

# When each group must be gone, counted from the first signal. Killing comes after, so that all is
# over within 10 s.
GATEWAYS_GONE_SECONDS = 4.5
WORKERS_GONE_SECONDS = 7.0
STORES_GONE_SECONDS = 9.0
LOG_TRIM_SECONDS = 30.0


class Supervisor:
    """One run of Orchard on an opened (locked) data folder."""

    def __init__(
        self,
        settings: Settings,
        folder: DataFolder,
        *,
        counts: Counts,
        modules: Modules,
        upstreams: Sequence[Upstream],
        environment: Mapping[str, str],
        keys: Keys,
    ) -> None:
        self._settings = settings
        self._folder = folder
        self._counts = counts
        self._modules = modules
        self._upstreams = upstreams
        self._environment = dict(environment)
        self._keys = keys
        self._guard = Guard(folder.lock_fd)
        self._tiers: dict[str, list[Child]] = {"stores": [], "workers": [], "gateways": []}
        self._stop = asyncio.Event()
        self._hurry = asyncio.Event()

    async def run(self) -> int:
        """Start everything, wait for a signal, stop everything. Returns the exit code."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, self._on_signal)
        self._guard.open()
        keeper = asyncio.create_task(self._guard.keep())
        trimmer = asyncio.create_task(self._trim_logs())
        room = asyncio.create_task(keep_room(self._folder.path))
        starting = asyncio.create_task(self._start())
        stopped = asyncio.create_task(self._stop.wait())
        try:
            await asyncio.wait({starting, stopped}, return_when=asyncio.FIRST_COMPLETED)
            if starting.done():
                starting.result()
                await stopped
            return 0
        except (StartFailed, StoreFailed, OSError) as error:
            complain(f"Orchard cannot start: {error}")
            return 1
        finally:
            tasks = (starting, stopped, keeper, trimmer, room)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            with contextlib.suppress(OSError):
                (self._folder.path / ADDRESS).unlink()
            await self._stop_all()
            self._guard.close()

    def _on_signal(self) -> None:
        if self._stop.is_set():
            self._hurry.set()  # a second Ctrl-C: no more waiting
        self._stop.set()

    async def _trim_logs(self) -> None:
        while True:
            self._folder.trim_logs(self._settings.log_bytes, self._settings.log_files)
            await asyncio.sleep(LOG_TRIM_SECONDS)

    # --- start -----------------------------------------------------------------------------------

    async def _start(self) -> None:
        servers = self._servers()
        # Nobody listens yet, so ports look free that two of them would take.
        reserved = {self._settings.port + number for number in range(self._counts.gateways)}
        for server in servers:
            server.reserved = reserved
            server.prepare()
            reserved.add(server.port)
            self._environment |= server.settings()
        await self._start_tier("stores", [store_spec(server) for server in servers])
        environment = self._environment
        migrations = migrations_spec(self._modules, environment)
        await Child(migrations, self._folder.log("migrations"), self._guard).finish()
        _progress("migrations", "the database has all its tables")
        workers = worker_specs(self._modules, self._counts, self._settings, environment, self._keys, reserved)
        await self._start_tier("workers", workers)
        write_private(self._folder.path / ADDRESS, own_url(self._settings, self._settings.port) + "\n")
        gateways = gateway_specs(self._modules, self._counts, self._settings, environment, self._keys)
        await self._start_tier("gateways", gateways)
        where, folder, number = self._keys.admin_token_at, self._folder, self._counts.gateways
        say(banner(self._settings, self._upstreams, folder.path, folder.logs, where, number))
        await check_upstreams(self._settings, self._keys)

    async def _start_tier(self, tier: str, specs: Sequence[ChildSpec]) -> None:
        """Side by side; the first that fails ends the wait for the others."""
        children = [Child(spec, self._folder.log(spec.name), self._guard) for spec in specs]
        self._tiers[tier] = children
        try:
            async with asyncio.TaskGroup() as group:
                for child in children:
                    group.create_task(self._start_one(child))
        except ExceptionGroup as failures:
            raise failures.exceptions[0] from None

    async def _start_one(self, child: Child) -> None:
        began = time.monotonic()
        await child.start()
        _progress(child.spec.name, f"ready in {time.monotonic() - began:.1f} s")

    def _servers(self) -> list[EmbeddedServer]:
        """The stores to start: one of each kind that the settings do not name."""
        settings, path = self._settings, self._folder.path
        servers: list[EmbeddedServer] = []
        if not settings.database_url:
            needed = needed_connections(settings.database_max_connections, self._counts.total)
            servers.append(EmbeddedPostgres(path / "postgres", max_connections=needed))
        if not (settings.redis_host or settings.redis_sentinels or settings.redis_cluster):
            servers.append(EmbeddedRedis(path / "redis-cache", "cache"))
        if not settings.queue_redis_host and not settings.queue_redis_sentinels:
            servers.append(EmbeddedRedis(path / "redis-queue", "queue"))
        return servers

    # --- stop ------------------------------------------------------------------------------------

    async def _stop_all(self) -> None:
        if not any(self._tiers.values()):
            return
        say("Stopping ...")
        began = asyncio.get_running_loop().time()
        await self._stop_tier("gateways", began + GATEWAYS_GONE_SECONDS)
        await self._stop_tier("workers", began + WORKERS_GONE_SECONDS)
        await self._stop_tier("stores", began + STORES_GONE_SECONDS)
        say("Orchard has stopped.")

    async def _stop_tier(self, tier: str, deadline: float) -> None:
        children = self._tiers[tier]
        for child in children:
            child.ask_to_stop()
        hurried = asyncio.create_task(self._hurry.wait())
        stopping = [asyncio.create_task(child.stop(deadline)) for child in children]
        for task in stopping:
            await asyncio.wait({task, hurried}, return_when=asyncio.FIRST_COMPLETED)
        if hurried.done():
            for task in stopping:
                task.cancel()
            await asyncio.gather(*stopping, return_exceptions=True)
            # The stores are given a moment even now: they write down what they hold.
            moment = asyncio.get_running_loop().time() + (1.0 if tier == "stores" else 0.0)
            await asyncio.gather(*(child.stop(moment) for child in children))
        hurried.cancel()


def _progress(name: str, what: str) -> None:
    say(f"  {name:<12} {what}")
