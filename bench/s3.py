"""Warm 1 MB wheels out of S3: Orchard's gateway beside nginx proxy_pass to the very same server.

The stand-in is plain nginx with PUT allowed, so that what is measured is the way through the gateway, not
somebody's object store. SeaweedFS follows where its program is installed.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import msgspec

from bench.harness import load, nginx, peers, processes
from bench.harness.load import Measurement
from bench.harness.orchard import orchard
from bench.harness.table import Figure, print_figures, print_rows
from bench.warm import _file_url
from shared.clients.object_port import artifact_key
from shared.clients.s3_config import S3Config
from shared.clients.s3_http import S3Http

REPEATS = 3
SECONDS = 3.0
CONNECTIONS = 16
ACCESS_KEY, SECRET_KEY, BUCKET = "bench", "bench-secret", "orchard"


class Cost(msgspec.Struct):
    """CPU seconds and bytes of all runs of one server."""

    seconds: float = 0.0
    bytes: float = 0.0

    @property
    def per_gb(self) -> float:
        return self.seconds / (self.bytes / 1e9) if self.bytes else float("nan")


def run(work: Path, root: Path) -> list[Figure]:
    """Each store's rows; the figures with bars are those of the stand-in."""
    figures: list[Figure] = []
    for name, store in (("nginx stand-in", _stand_in), ("SeaweedFS", _seaweedfs)):
        folder = work / name.split()[0].lower()
        with contextlib.ExitStack() as stack:
            endpoint = stack.enter_context(store(folder))
            if not endpoint:
                print(f"\n  {name} is left out: its program is not installed")
                continue
            results, costs = _measure(folder, root, endpoint)
        _print(name, results, costs)
        figures += _figures(name, results, costs, barred=store is _stand_in)
    print_figures("Files from S3: bars", figures)
    return figures


def _measure(work: Path, root: Path, endpoint: str) -> tuple[dict[str, Measurement], dict[str, Cost]]:
    settings = {
        "s3_endpoint": endpoint,
        "s3_bucket": BUCKET,
        "s3_access_key": ACCESS_KEY,
        "s3_secret_key": SECRET_KEY,
        "s3_create_bucket": "true",
    }
    with (
        peers.upstream(work / "upstream", root) as upstream,
        orchard(work / "orchard", upstream=f"{upstream.base}/simple/", **settings) as ours,
        _proxy(work / "proxy", endpoint) as (proxy, proxy_pid),
    ):
        page = ours.url("/pypi/simple/w1m/")
        wheel = urllib.parse.urljoin(page, _file_url(page, "w1m-1.0-py3-none-any.whl"))
        _get(wheel)  # fetched
        body = _get(wheel)
        config = S3Config(endpoint=endpoint, bucket=BUCKET, access_key=ACCESS_KEY, secret_key=SECRET_KEY)
        key = artifact_key(hashlib.sha256(body).hexdigest())
        signed = urllib.parse.urlsplit(S3Http(config).presign("GET", key, expires_seconds=3600))
        proxied = f"{proxy}{signed.path}?{signed.query}"
        if _get(proxied) != body:
            raise RuntimeError("the proxy serves something else")
        costs = {"nginx": Cost(), "orchard": Cost()}
        pids = {"nginx": processes.descendants(proxy_pid), "orchard": ours.pids("gateway")}
        results = load.interleaved(
            {
                "nginx": partial(_counted, proxied, pids["nginx"], costs["nginx"]),
                "orchard": partial(_counted, wheel, pids["orchard"], costs["orchard"]),
            },
            repeats=REPEATS,
        )
        return results, costs


def _get(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=30) as answer:
        return bytes(answer.read())


def _counted(url: str, pids: Sequence[int], cost: Cost) -> Measurement:
    """One run of wrk, with the CPU time that the server's processes took for it."""
    before, began = _cpu_seconds(pids), time.monotonic()
    result = load.wrk(url, connections=CONNECTIONS, seconds=SECONDS, headers={"Accept-Encoding": "identity"})
    cost.seconds += _cpu_seconds(pids) - before
    cost.bytes += result.bytes_per_second * min(time.monotonic() - began, SECONDS)
    return result


def _cpu_seconds(pids: Sequence[int]) -> float:
    ticks = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        ticks += int(fields[11]) + int(fields[12])  # utime, stime (proc(5))
    return ticks / os.sysconf("SC_CLK_TCK")


def _figures(
    name: str, results: dict[str, Measurement], costs: dict[str, Cost], *, barred: bool
) -> list[Figure]:
    ratio = results["orchard"].bytes_per_second / results["nginx"].bytes_per_second
    cpu = costs["orchard"].per_gb / costs["nginx"].per_gb
    errors = results["orchard"].errors
    row = f"1 MB wheel from {name}, c={CONNECTIONS}"
    return [
        Figure(row, f"{ratio:.2f} × nginx", "≥ 0.8 × nginx", ratio >= 0.8 if barred else None),
        Figure(f"{row}, CPU per GB", f"{cpu:.2f} × nginx", "≤ 1.5 × nginx", cpu <= 1.5 if barred else None),
        Figure(f"{row}, errors", str(errors), "0", errors == 0),
    ]


def _print(name: str, results: dict[str, Measurement], costs: dict[str, Cost]) -> None:
    print(f"\n## 1 MB wheel from {name}, c={CONNECTIONS}\n")
    rows: list[tuple[str, ...]] = [("", "MB/s", "requests/s", "p50 / p99 ms", "CPU s/GB")]
    for server, found in results.items():
        rows.append(
            (
                "nginx proxy_pass" if server == "nginx" else "Orchard gateway",
                f"{found.bytes_per_second / 1e6:,.0f}",
                f"{found.requests_per_second:,.0f}",
                f"{found.p50_ms:.1f} / {found.p99_ms:.1f}",
                f"{costs[server].per_gb:.2f}",
            )
        )
    print_rows(rows)


# --- servers ------------------------------------------------------------------------------------------


@contextlib.contextmanager
def _stand_in(work: Path) -> Iterator[str]:
    port = processes.free_port()
    config = nginx.store_config(work, port=port)
    with processes.running(
        [peers._nginx(), "-c", str(config), "-p", str(work)],
        log=work / "out.log",
        core=processes.CLIENT_CORE,
    ) as process:
        processes.wait_http(f"http://127.0.0.1:{port}/", process)
        yield f"http://127.0.0.1:{port}"


@contextlib.contextmanager
def _proxy(work: Path, endpoint: str) -> Iterator[tuple[str, int]]:
    port = processes.free_port()
    config = nginx.proxy_config(work, port=port, target=urllib.parse.urlsplit(endpoint).netloc)
    with processes.running(
        [peers._nginx(), "-c", str(config), "-p", str(work)], log=work / "out.log"
    ) as process:
        processes.wait_http(f"http://127.0.0.1:{port}/", process)
        yield f"http://127.0.0.1:{port}", process.pid


@contextlib.contextmanager
def _seaweedfs(work: Path) -> Iterator[str]:
    weed = Path(sys.executable).parent / "weed"
    if not weed.exists():
        yield ""
        return
    (work / "data").mkdir(parents=True)
    names = (
        "master.port", "master.port.grpc", "volume.port", "volume.port.grpc", "filer.port",
        "filer.port.grpc", "s3.port.grpc", "admin.port", "admin.port.grpc",
    )  # fmt: skip
    port = processes.free_port()
    command = [
        str(weed), "-logtostderr", "mini", f"-dir={work / 'data'}", f"-s3.port={port}",
        "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-master.telemetry=false", "-webdav=false",
        "-admin.ui=false", "-s3.port.lance=0", "-s3.port.iceberg=0",
        *(f"-{name}={processes.free_port()}" for name in names),
    ]  # fmt: skip
    env = {**os.environ, "AWS_ACCESS_KEY_ID": ACCESS_KEY, "AWS_SECRET_ACCESS_KEY": SECRET_KEY}
    with processes.running(command, log=work / "out.log", core=processes.CLIENT_CORE, env=env) as process:
        processes.wait_http(f"http://127.0.0.1:{port}/healthz", process)
        yield f"http://127.0.0.1:{port}"
