"""One client four times: direct over the link; cold, warm and with the link down through an Orchard.

The Orchard's way to its upstreams is the link; the client's way to the Orchard is loopback.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import msgspec

from bench.harness.orchard import Orchard, orchard
from bench.harness.requests import cpu_seconds
from bench.wan import clients
from bench.wan.clients import Client, Place
from bench.wan.link import Quality, Traffic
from bench.wan.proxy import RunningProxy

KINDS = ("direct", "cold", "warm", "offline")
MOUNTS = {"pypi": "/pypi/", "npm": "/npm/", "maven": "/maven/"}  # of an Orchard
INDEXES = MOUNTS | {"pypi": "/pypi/simple/"}  # what clients are given
QUIET_SECONDS = 0.7  # without a byte: what went on after the client's end is over
MOST_QUIET_SECONDS = 20.0
FLUSH_SECONDS = 0.3  # until the access log is written


class Upstream(msgspec.Struct, frozen=True):
    """Registries: their addresses by protocol, and who signed their certificates."""

    indexes: Mapping[str, str]
    authority: str = ""
    truststore: str = ""

    def settings(self) -> dict[str, str]:
        """Orchard's settings for it."""
        made = {f"{protocol}_upstream": url for protocol, url in self.indexes.items()}
        if self.authority:
            made["ca_file"] = self.authority
        return made


class Round(msgspec.Struct):
    """What one run took. `late` are bytes that came from servers after the client's end."""

    seconds: float
    traffic: Traffic
    late: int = 0
    slowest: float = 0.0  # seconds of the client's slowest request, by Orchard's access log
    slowest_path: str = ""
    requests: int = 0  # of the client to Orchard
    cpu: dict[str, float] = {}  # seconds of Orchard's services


class Asked(msgspec.Struct, frozen=True):
    """A request in the access log."""

    seconds: float
    path: str
    status: int


class Failure(Exception):
    """A client did not come to its end; says which round, and what the client said."""


def run(
    client: Client, packages: Any, upstream: Upstream, proxy: RunningProxy, quality: Quality, work: Path
) -> dict[str, Round]:
    """The rounds of one run, by kind. Raises `Failure`."""
    proxy.up(quality)
    done: dict[str, Round] = {}
    direct = Place(upstream.indexes[client.protocol], proxy.url, upstream.authority, upstream.truststore)
    done["direct"] = _round(client, "direct", packages, direct, proxy, work, None)
    with empty_orchard(upstream, proxy, work) as ours:
        place = Place(ours.url(INDEXES[client.protocol]))
        done["cold"] = _round(client, "cold", packages, place, proxy, work, ours)
        done["warm"] = _round(client, "warm", packages, place, proxy, work, ours)
        proxy.down()
        done["offline"] = _round(client, "offline", packages, place, proxy, work, ours)
        proxy.up(quality)
    return done


def cold(
    client: Client,
    packages: Any,
    upstream: Upstream,
    proxy: RunningProxy,
    quality: Quality,
    work: Path,
    **settings: object,
) -> tuple[Round, dict[str, float]]:
    """One cold round with more settings of the Orchard, and its fetcher's metrics afterwards. Raises
    `Failure`."""
    proxy.up(quality)
    with empty_orchard(upstream, proxy, work, **settings) as ours:
        place = Place(ours.url(INDEXES[client.protocol]))
        made = _round(client, "cold", packages, place, proxy, work, ours)
        return made, fetcher_metrics(ours)


@contextmanager
def empty_orchard(
    upstream: Upstream, proxy: RunningProxy, work: Path, **settings: object
) -> Iterator[Orchard]:
    """An Orchard without any data, whose way to its upstreams is the link."""
    data = work / "orchard"
    shutil.rmtree(data, ignore_errors=True)
    theirs: dict[str, object] = {**upstream.settings(), **settings}
    address = str(theirs.pop("pypi_upstream"))
    with orchard(data, upstream=address, pin=False, http_proxy=proxy.url, **theirs) as ours:
        yield ours
    shutil.rmtree(data, ignore_errors=True)


def fetcher_metrics(ours: Orchard) -> dict[str, float]:
    """Sums over all labels, by the metric's name, of the fetcher."""
    environ = Path(f"/proc/{ours.pids('fetcher')[0]}/environ").read_bytes().split(b"\0")
    port = next(each.partition(b"=")[2] for each in environ if each.startswith(b"ORCHARD_WORKER_PORT="))
    found: dict[str, float] = {}
    with urlopen(f"http://127.0.0.1:{port.decode()}/metrics", timeout=10) as lines:
        for line in lines:
            name, _, value = line.decode().rpartition(" ")
            if not name.startswith("#"):
                name = name.partition("{")[0]
                found[name] = found.get(name, 0.0) + float(value)
    return found


def _round(
    client: Client,
    kind: str,
    packages: Any,
    place: Place,
    proxy: RunningProxy,
    work: Path,
    ours: Orchard | None,
) -> Round:
    before = proxy.traffic()
    seen = access_log(ours.data).stat().st_size if ours else 0
    spent = _cpu(ours)
    try:
        seconds = clients.run(client, packages, place, work / "client")
    except (RuntimeError, OSError, TimeoutError) as error:
        raise Failure(f"{kind}: {error}") from error
    used = proxy.traffic()
    _until(_quiet(proxy))
    made = Round(seconds, proxy.traffic().since(before))
    made.late = made.traffic.received - used.since(before).received
    made.cpu = {name: round(now - spent[name], 2) for name, now in _cpu(ours).items()}
    if ours:
        time.sleep(FLUSH_SECONDS)
        asked = requests_of(ours.data, seen)
        slowest = max(asked, key=lambda each: each.seconds, default=Asked(0.0, "", 0))
        made.requests, made.slowest, made.slowest_path = len(asked), slowest.seconds, slowest.path
    return made


def _cpu(ours: Orchard | None) -> dict[str, float]:
    return {name: cpu_seconds(ours, name) for name in ("gateway", "fetcher", "extractor")} if ours else {}


def requests_of(data: Path, start: int) -> list[Asked]:
    """Requests for packages since a position in the access log of an Orchard's data folder."""
    found = []
    with access_log(data).open("rb") as lines:
        lines.seek(start)
        for line in lines:
            with suppress(ValueError):
                event = json.loads(line)
                if event.get("event") == "request" and event["path"].startswith(tuple(MOUNTS.values())):
                    found.append(Asked(event["seconds"], event["path"], event["status"]))
    return found


def access_log(data: Path) -> Path:
    """Where a standalone Orchard's gateway writes."""
    return data / "logs" / "gateway.log"


def _quiet(proxy: RunningProxy) -> Callable[[], bool]:
    last, since = -1, time.monotonic()

    def quiet() -> bool:
        nonlocal last, since
        now = proxy.traffic().received
        if now != last:
            last, since = now, time.monotonic()
        return time.monotonic() - since >= QUIET_SECONDS

    return quiet


def _until(done: Callable[[], bool]) -> None:
    deadline = time.monotonic() + MOST_QUIET_SECONDS
    while not done() and time.monotonic() < deadline:
        time.sleep(0.1)
