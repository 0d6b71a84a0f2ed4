"""The common part of worker processes: listen, work, publish heartbeats, and drain at the end.

So their command line is here, too: settings, signals, exit codes.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import msgspec
import uvloop
from aiohttp import web

from shared.errors import ConfigurationError, OrchardError
from shared.process import interpreter
from shared.process.resources import Resources
from shared.protocols import load, spoken
from shared.protocols.base import PackageProxyBase
from shared.queue.context import Handler
from shared.queue.jobs import Job
from shared.queue.worker import QueueWorker
from shared.settings import Settings, load_settings
from shared.stores import Stores
from shared.telemetry.logs import configure_logging, get_logger
from shared.telemetry.tracing import configure_tracing
from shared.version import VERSION
from shared.worker.heartbeat import Figures, HeartbeatPublisher, HeartbeatStore, Pool
from shared.worker.http import WorkerHttp

log = get_logger()


class WorkerProcess:
    """A worker process of `service`: `listen`, `add_worker` for each queue, then `run`."""

    def __init__(self, service: str, stores: Stores, resources: Resources) -> None:
        self._service = service
        self._stores = stores
        self._resources = resources
        self._workers: list[QueueWorker] = []
        self._draining = False
        settings = stores.settings
        self._http = WorkerHttp(
            host=settings.worker_host,
            port=settings.worker_port,
            advertise=settings.worker_advertise,
            ready=self._is_ready,
        )

    async def listen(self, routes: Sequence[web.RouteDef] = ()) -> None:
        """Serve health, metrics and `routes`. Raises `ConfigurationError` if the port is taken."""
        self._http.app.router.add_routes(routes)
        await self._resources.open("worker http", self._http)

    def add_worker(self, queue: str, slots: int, handlers: Mapping[type[Job], Handler]) -> None:
        """Take at most `slots` jobs of a queue at a time, once `run` is called."""
        stores = self._stores
        self._workers.append(
            QueueWorker(
                redis=stores.queue_redis,
                queue=queue,
                slots=slots,
                handlers=handlers,
                address=lambda: self._http.address,
                lease_seconds=stores.settings.lease_seconds,
                protocols=spoken(),
            )
        )

    async def run(
        self,
        stop: asyncio.Event,
        *,
        token: str = "",
        nonce: str = "",
        figures: Callable[[], Figures] = Figures,
        **logged: Any,
    ) -> None:
        """Work until `stop` is set, then drain for ORCHARD_DRAIN_TIMEOUT.

        `figures` gives what only the service knows of itself. Raises what ended a worker by a defect: the
        process must end, to be restarted.
        """

        def read_figures() -> Figures:
            threads, database = self._stores.threads, self._stores.database
            return msgspec.structs.replace(
                figures(),
                threads=Pool(threads.active, threads.max),
                jobs=Pool(self._active, sum(each.slots for each in self._workers)),
                database_pool=Pool(database.active, database.max),
                draining=self._draining,
            )

        heartbeat = await self._resources.open(
            "heartbeat",
            HeartbeatPublisher(
                HeartbeatStore(self._stores.queue_redis),
                service=self._service,
                version=VERSION,
                address=self._http.address,
                token=token,
                nonce=nonce,
                read_figures=read_figures,
            ),
        )
        working = [asyncio.create_task(each.run(), name=f"{each.queue} worker") for each in self._workers]
        stopping = asyncio.create_task(stop.wait(), name="stop")
        log.info(f"{self._service}_started", address=self._http.address, version=VERSION, **logged)
        try:
            await asyncio.wait({*working, stopping}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            stopping.cancel()
            self._draining = True
            self._http.start_draining()
            await heartbeat.publish()
            log.info(f"{self._service}_draining", active=self._active)
            drain_seconds = self._stores.settings.drain_timeout
            await asyncio.gather(*(each.drain(drain_seconds) for each in self._workers))
        await asyncio.gather(*working)

    @property
    def _active(self) -> int:
        return sum(each.active for each in self._workers)

    async def _is_ready(self) -> str:
        return "" if self._stores.queue_redis.available else "the queue Redis does not answer"


Run = Callable[[Settings, asyncio.Event], Awaitable[None]]
"""Serve until the event is set, then drain and return."""


def worker_main(service: str, description: str, run: Run, roles: Callable[[PackageProxyBase], object]) -> int:
    """Run a worker until SIGTERM or SIGINT. `roles`: those of a protocol that its jobs need, see `load`. The
    exit code: 0 after a stop, 1 when it cannot start, 2 for bad settings (one line each on stderr)."""
    argparse.ArgumentParser(
        prog=f"python -m services.{service}",
        description=description,
        epilog="All settings are ORCHARD_* environment variables: see docs/settings.md.",
    ).parse_args()
    try:
        settings = load_settings(protocols=spoken())
        configure_logging(service, settings)
        configure_tracing(service, settings)
        load(roles)
        interpreter.tune()
        uvloop.run(_serve(settings, run))
    except ConfigurationError as error:
        sys.stderr.write(error.message + "\n")
        return 2
    except OrchardError as error:
        sys.stderr.write(f"{service}: {error.message}. {error.hint}\n")
        return 1
    return 0


async def _serve(settings: Settings, run: Run) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await run(settings, stop)
