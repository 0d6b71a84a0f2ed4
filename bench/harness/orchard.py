"""Starts a whole Orchard (standalone) on a folder of its own and finds its processes."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec

from bench.harness import processes

START_SECONDS = 240.0  # on a machine that others load as well


class Orchard(msgspec.Struct):
    """A running Orchard: `ports` of its gateways, `pid` of its supervisor."""

    ports: list[int]
    pid: int
    data: Path

    def url(self, path: str, gateway: int = 0) -> str:
        """The address of `path` at one of the gateways."""
        return f"http://127.0.0.1:{self.ports[gateway]}{path}"

    def pids(self, service: str) -> list[int]:
        """The processes of one service ("gateway": the supervisor's child and its workers)."""
        found = []
        for pid in processes.descendants(self.pid):
            if f"services.{service}" in processes.command_line(pid):
                found.append(pid)
                found.extend(child for child in processes.descendants(pid) if child not in found)
        return sorted(set(found))

    def rss_mib(self, service: str) -> float:
        """Resident memory of the largest process of a service."""
        return max((processes.rss_mib(pid) for pid in self.pids(service)), default=0.0)


def environment(**settings: object) -> dict[str, str]:
    """This process's environment with only the given `ORCHARD_*` settings."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("ORCHARD_")}
    env.update({f"ORCHARD_{name.upper()}": str(value) for name, value in settings.items()})
    return env


@contextlib.contextmanager
def orchard(
    data: Path, *, upstream: str, gateways: int = 1, fetchers: int = 1, pin: bool = True, **settings: object
) -> Iterator[Orchard]:
    """An Orchard in front of `upstream` (its simple root). With `pin` the whole of it is on one core."""
    port = processes.free_port(gateways)
    env: Mapping[str, str] = environment(
        port=port, host="127.0.0.1", data_dir=data, pypi_upstream=upstream, **settings
    )
    command = [
        sys.executable,
        "-m",
        "services.standalone",
        "--gateways",
        str(gateways),
        "--fetchers",
        str(fetchers),
    ]
    core = processes.SERVER_CORE if pin else None
    with processes.running(command, log=data.parent / f"{data.name}.log", core=core, env=env) as process:
        ports = [port + number for number in range(gateways)]
        for each in ports:
            processes.wait_http(f"http://127.0.0.1:{each}/health/ready", process, seconds=START_SECONDS)
        yield Orchard(ports=ports, pid=process.pid, data=data)
