"""The table of what standalone runs: which services, how many of each, and how each is reached.

It is data, so that tests can put other programs in the services' places.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from services.standalone.child import ChildSpec
from services.standalone.kept_files import Keys
from services.standalone.processes import Launch
from services.standalone.servers import LOOPBACK, EmbeddedServer, free_port
from shared.settings import Settings

# Shorter than the supervisor waits (supervisor.py): a service that still drained then would be killed.
GATEWAY_DRAIN_SECONDS = 4.0
WORKER_DRAIN_SECONDS = 2.0

ROOT = Path(__file__).parents[2]  # where `services` and `shared` are imported from


@dataclass(frozen=True, slots=True)
class Modules:
    """What is executed by `python -m` for each part."""

    gateway: str = "services.gateway"
    fetcher: str = "services.fetcher"
    extractor: str = "services.extractor"
    migrations: str = "shared.migrations"


@dataclass(frozen=True, slots=True)
class Counts:
    """How many processes of each service."""

    gateways: int = 1
    fetchers: int = 1
    extractors: int = 1

    @property
    def total(self) -> int:
        return self.gateways + self.fetchers + self.extractors


_NO_LOG_KEY = {"ORCHARD_LOG_KEY": "", "ORCHARD_LOG_KEY_FILE": ""}
"""For who does not sign: the environment that all are started in may have it."""


def gateway_specs(
    modules: Modules, counts: Counts, settings: Settings, environment: Mapping[str, str], keys: Keys
) -> list[ChildSpec]:
    """The gateways: the first on ORCHARD_PORT, each further one a port higher. Only they get the admin
    token."""
    specs = []
    for index in range(counts.gateways):
        port = settings.port + index
        own = {**environment, "ORCHARD_PORT": str(port), **_drain(settings, GATEWAY_DRAIN_SECONDS)}
        own |= {"ORCHARD_ADMIN_TOKEN": keys.admin_token, **_NO_LOG_KEY}
        service = _Service(modules.gateway, own, reachable(settings.host), port)
        specs.append(
            ChildSpec(_numbered("gateway", index), service.launch, service.ready, alive=service.alive)
        )
    return specs


def worker_specs(
    modules: Modules,
    counts: Counts,
    settings: Settings,
    environment: Mapping[str, str],
    keys: Keys,
    reserved: set[int],
) -> list[ChildSpec]:
    """Fetchers, then extractors. Each start takes a free port for the worker's own HTTP, none of `reserved`,
    where it is noted. Only fetchers get the key that opens sources' credentials, only
    extractors that of the log."""
    specs = []
    wanted = (
        ("fetcher", modules.fetcher, counts.fetchers),
        ("extractor", modules.extractor, counts.extractors),
    )
    own = {**environment, **_drain(settings, WORKER_DRAIN_SECONDS)}
    for name, module, count in wanted:
        for index in range(count):
            secret = {"ORCHARD_LOG_KEY_FILE": keys.log_key_file} if keys.log_key_file else {}
            if name == "fetcher":
                secret = {"ORCHARD_SECRET_KEY": keys.secret_key, **_NO_LOG_KEY}
            service = _Worker(module, {**own, **secret}, reachable(settings.worker_host), 0)
            service.reserved = reserved
            specs.append(
                ChildSpec(_numbered(name, index), service.launch, service.ready, alive=service.alive)
            )
    return specs


def store_spec(server: EmbeddedServer) -> ChildSpec:
    """An embedded store as a row of the table; `prepare()` must have been called."""

    async def ready(pid: int) -> bool:
        return server.ready(pid)

    async def alive() -> bool:
        return await asyncio.to_thread(server.alive)

    return ChildSpec(
        server.name, server.launch, ready, server.stop_signal, alive=alive, recover=server.recover
    )


def migrations_spec(modules: Modules, environment: Mapping[str, str]) -> ChildSpec:
    """The job that brings the database to the newest schema."""

    async def ready(_: int) -> bool:
        return True

    launch = Launch(_python(modules.migrations), {**_importable(), **environment})
    return ChildSpec("migrations", lambda: launch, ready)


class _Service:
    def __init__(self, module: str, environment: Mapping[str, str], host: str, port: int) -> None:
        self.module = module
        self.environment = environment
        self.host = host
        self.port = port

    def spec(self, name: str) -> ChildSpec:
        return ChildSpec(name, self.launch, self.ready, alive=self.alive)

    def launch(self) -> Launch:
        return Launch(_python(self.module), {**_importable(), **self.environment})

    async def ready(self, _: int) -> bool:
        return await answers_ok(self.host, self.port, "/health/ready")

    async def alive(self) -> bool:
        return await status_of(self.host, self.port, "/health/live") != b""


class _Worker(_Service):
    reserved: set[int]

    def launch(self) -> Launch:
        self.reserved.discard(self.port)
        self.port = free_port(reserved=self.reserved)
        self.reserved.add(self.port)
        launch = super().launch()
        return Launch(launch.command, {**launch.environment, "ORCHARD_WORKER_PORT": str(self.port)})


def _python(module: str) -> list[str]:
    return [sys.executable, "-m", module]


def _importable() -> dict[str, str]:
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {"PYTHONPATH": os.pathsep.join(paths), "PYTHONUNBUFFERED": "1"}


def _drain(settings: Settings, longest: float) -> dict[str, str]:
    return {"ORCHARD_DRAIN_TIMEOUT": str(min(settings.drain_timeout, longest))}


def _numbered(name: str, index: int) -> str:
    return name if index == 0 else f"{name}-{index + 1}"


def reachable(host: str) -> str:
    """The address on which this machine reaches a server that listens on `host`."""
    return {"0.0.0.0": LOOPBACK, "::": "::1", "": LOOPBACK}.get(host, host)


async def answers_ok(host: str, port: int, path: str) -> bool:
    """Whether GET `path` answers 200 on a connection of its own."""
    return await status_of(host, port, path) == b"200"


async def status_of(host: str, port: int, path: str, *, timeout_seconds: float = 2.0) -> bytes:
    """What GET `path` answers on a connection of its own, such as b"200"; b"" for no answer in time."""
    try:
        async with asyncio.timeout(timeout_seconds):
            reader, writer = await asyncio.open_connection(host, port)
            try:
                request = f"GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\nConnection: close\r\n\r\n"
                writer.write(request.encode())
                status = await reader.readline()
            finally:
                writer.close()
    except (OSError, TimeoutError):
        return b""
    return b"".join(status.split(b" ")[1:2])
