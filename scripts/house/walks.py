"""Which of Orchard's own files requests enter, in all three services; and what they ask of the stores."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import httpx

from tests.support.builders import build_wheel
from tests.support.orchard import JSON, Cluster, cluster
from tests.support.upstream import Upstream

PROBE = Path(__file__).parent / "probe"
TOKEN = "t" * 43
IDLE_SECONDS = 12.0  # longer than whatever goes on in the background takes to come round
SETTLE_SECONDS = 1.0  # for what goes on after the answer: extraction, pages rendered again
FLUSH_SECONDS = 2.5  # each process sees within a heartbeat that the probe is off
_NO_PART = ("info", "auth", "hello", "ping", "client", "select", "command", "config")


class Walk:
    """What one request entered: files per service, all of them, and how many without an idle Orchard's."""

    def __init__(self, files: Mapping[str, set[str]], idle: set[str]) -> None:
        self.files = files
        self.all = set().union(*files.values()) if files else set()
        self.without_idle = self.all - idle


def walks(folder: Path) -> dict[str, Walk]:
    """One walk per kind of request, by a whole Orchard that is watched from inside."""
    out = folder / "calls"
    os.environ |= {"PYTHONPATH": str(PROBE), "HOUSE_PROBE": str(out)}
    try:
        with Upstream() as upstream:
            _fill(upstream)
            with cluster(folder, upstream, ORCHARD_ADMIN_TOKEN=TOKEN) as running, _client(running) as client:
                time.sleep(1.5)
                idle = _trace(running, out, lambda: time.sleep(IDLE_SECONDS)).get("", set())
                return {
                    name: Walk({service: files for service, files in found.items() if service}, idle)
                    for name, act in _requests(client)
                    for found in [_trace(running, out, act)]
                }
    finally:
        del os.environ["PYTHONPATH"], os.environ["HOUSE_PROBE"]


def costs(folder: Path) -> dict[str, dict[str, int]]:
    """SQL statements and Redis commands of a cold index and of a cold file with a cold index."""
    with Upstream() as upstream:
        _fill(upstream)
        with cluster(folder, upstream, ORCHARD_ADMIN_TOKEN=TOKEN) as running, _client(running) as client:
            time.sleep(1.5)
            acts = dict(_requests(client))
            return {name: _cost(running, acts[name]) for name in ("cold index", "cold file")}


def _fill(upstream: Upstream) -> None:
    def add(name: str, *versions: str, requires: tuple[str, ...] = (), size: int = 0) -> None:
        wheels = {
            f"{name}-{version}-py3-none-any.whl": build_wheel(
                name, version, requires=requires, size_bytes=size
            )
            for version in versions
        }
        upstream.add_project(name, wheels)

    add("page", "1.0")
    add("cold", "1.0", size=1_000_000)
    add("blk", "1.0", "2.0")
    add("root", "1.0", requires=("dep",))
    add("dep", "1.0")


@contextmanager
def _client(running: Cluster) -> Iterator[httpx.Client]:
    with httpx.Client(trust_env=False, timeout=30, base_url=running.gateway.base) as client:
        yield client


def _requests(client: httpx.Client) -> list[tuple[str, Callable[[], object]]]:
    headers = {"Accept": JSON, "Accept-Encoding": "gzip"}

    def page(name: str) -> Callable[[], object]:
        return lambda: client.get(f"/pypi/simple/{name}/", headers=headers).raise_for_status()

    def file() -> None:
        # The address that a page would give: a wheel is made the same each time, so its digest is known.
        digest = hashlib.sha256(build_wheel("cold", "1.0", size_bytes=1_000_000)).hexdigest()
        client.get(f"/pypi/files/cold/{digest}/cold-1.0-py3-none-any.whl").raise_for_status()

    def block() -> None:
        page("blk")()
        answer = client.post(
            "/api/v1/admin/blocks",
            headers={"Authorization": f"Bearer {TOKEN}"},
            json={"protocol": "pypi", "name": "blk", "version": "2.0", "reason": "measured"},
        )
        answer.raise_for_status()
        time.sleep(1.0)

    def resolve() -> None:
        answer = client.post("/api/v1/resolve", json={"requirements": ["root"]}).raise_for_status()
        assert len(answer.json()["nodes"]) == 2

    return [
        ("cold index", page("page")),
        ("index hit, Redis", page("page")),
        ("index hit, memory", page("page")),
        ("hot hit", page("page")),
        ("cold file", file),
        ("block set", block),
        ("blocked page", page("blk")),
        ("cold resolution", resolve),
        ("kept resolution", resolve),
    ]


def _trace(running: Cluster, out: Path, act: Callable[[], object]) -> dict[str, set[str]]:
    """Files per service ("" is the sum)."""
    for old in out.parent.glob("calls.*.json"):
        old.unlink()
    switch = out.with_name(out.name + ".on")
    switch.touch()
    time.sleep(0.15)
    act()
    time.sleep(SETTLE_SECONDS)
    switch.unlink()
    time.sleep(FLUSH_SECONDS)
    pids = {service.process.pid: service.name for service in running.services}
    found: dict[str, set[str]] = {"": set()}
    for path in out.parent.glob("calls.*.json"):
        pid = int(path.name.split(".")[1])
        service = pids.get(pid) or pids.get(_parent(pid), "sandbox")
        files = {file for file, _, _ in json.loads(path.read_text())}
        found.setdefault(service, set()).update(files)
        found[""] |= files
    return found


def _parent(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1])
    except OSError:
        return 0


def _cost(running: Cluster, act: Callable[[], object]) -> dict[str, int]:
    def counts() -> dict[str, float]:
        found = {
            f"sql {each.name}": running.metric(each, "orchard_database_statements_total")
            for each in running.services
        }
        for name, server in (("cache", running.cache), ("queue", running.queue)):
            with running.client(server) as redis:
                for command, stats in redis.info("commandstats").items():
                    if not any(part in command for part in _NO_PART):
                        found[f"{name} {command[8:]}"] = stats["calls"]
        return found

    time.sleep(0.5)
    started, before = time.monotonic(), counts()
    act()
    time.sleep(2.5)
    after = counts()
    time.sleep(time.monotonic() - started)  # as long without a request: what an idle Orchard does meanwhile
    idle = counts()
    own = {name: round(value - before.get(name, 0) - (idle[name] - value)) for name, value in after.items()}
    return {name: count for name, count in sorted(own.items()) if count > 0}
