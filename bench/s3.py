"""Warm 1 MB wheels out of S3: Orchard's gateway beside nginx proxy_pass to the very same server.

The stand-in is plain nginx with PUT allowed, so that what is measured is the way through the gateway, not
somebody's object store. SeaweedFS and MinIO follow where their programs are installed. Two gateways are
measured: as it comes, with local copies of hot files, and with those turned off, so that every byte is
streamed from the store. nginx proxy_cache is shown beside them; the bars are against proxy_pass.
"""

from __future__ import annotations

import contextlib
import hashlib
import time
import urllib.parse
import urllib.request
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from bench.harness import load, peers, processes, s3_servers
from bench.harness.load import Measurement
from bench.harness.orchard import Orchard, orchard
from bench.harness.s3_servers import ACCESS_KEY, BUCKET, SECRET_KEY
from bench.harness.table import Figure, print_figures, print_rows
from bench.warm import _file_url
from shared.objects.port import artifact_key
from shared.objects.s3.config import S3Config
from shared.objects.s3.http import S3Http

REPEATS = 3
SECONDS = 3.0
CONNECTIONS = 16
STORES = {
    "nginx stand-in": s3_servers.stand_in,
    "SeaweedFS": s3_servers.seaweedfs,
    "MinIO": s3_servers.minio,
}
PASS, CACHE = "nginx proxy_pass", "nginx proxy_cache"
HOT, STREAMED = "Orchard", "Orchard, no local copies"


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
    for name, store in STORES.items():
        folder = work / name.split()[0].lower()
        with contextlib.ExitStack() as stack:
            endpoint = stack.enter_context(store(folder))
            if not endpoint:
                print(f"\n  {name} is left out: its program is not installed")
                continue
            results, costs = _measure(folder, root, endpoint)
        _print(name, results, costs)
        figures += _figures(name, results, costs, barred=store is s3_servers.stand_in)
    print_figures("Files from S3: bars", figures)
    return figures


def _measure(work: Path, root: Path, endpoint: str) -> tuple[dict[str, Measurement], dict[str, Cost]]:
    settings: dict[str, Any] = {
        "s3_endpoint": endpoint,
        "s3_bucket": BUCKET,
        "s3_access_key": ACCESS_KEY,
        "s3_secret_key": SECRET_KEY,
        "s3_create_bucket": "true",
    }
    with (
        peers.upstream(work / "upstream", root) as upstream,
        orchard(work / "orchard", upstream=f"{upstream.base}/simple/", **settings) as hot,
        orchard(
            work / "streamed", upstream=f"{upstream.base}/simple/", hot_objects_bytes=0, **settings
        ) as streamed,
        s3_servers.proxy(work / "proxy", endpoint) as (passing, pass_pid),
        s3_servers.proxy(work / "cache", endpoint, cached=True) as (caching, cache_pid),
    ):
        wheel, body = _warm(hot)
        config = S3Config(endpoint=endpoint, bucket=BUCKET, access_key=ACCESS_KEY, secret_key=SECRET_KEY)
        key = artifact_key(hashlib.sha256(body).hexdigest())
        signed = urllib.parse.urlsplit(S3Http(config).presign("GET", key, expires_seconds=3600))
        urls = {
            PASS: f"{passing}{signed.path}?{signed.query}",
            CACHE: f"{caching}{signed.path}?{signed.query}",
            HOT: wheel,
            STREAMED: _warm(streamed)[0],
        }
        for name in (PASS, CACHE):
            if _get(urls[name]) != body:
                raise RuntimeError(f"{name} serves something else")
        pids = {
            PASS: processes.descendants(pass_pid),
            CACHE: processes.descendants(cache_pid),
            HOT: hot.pids("gateway"),
            STREAMED: streamed.pids("gateway"),
        }
        costs = {name: Cost() for name in urls}
        runs = {name: partial(_counted, url, pids[name], costs[name]) for name, url in urls.items()}
        return load.interleaved(runs, repeats=REPEATS), costs


def _warm(ours: Orchard) -> tuple[str, bytes]:
    """The wheel's address and bytes, once it is stored and, where that is done, copied."""
    page = ours.url("/pypi/simple/w1m/")
    wheel = urllib.parse.urljoin(page, _file_url(page, "w1m-1.0-py3-none-any.whl"))
    body = b""
    for _ in range(4):
        body = _get(wheel)
        time.sleep(0.2)
    return wheel, body


def _get(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=30) as answer:
        return bytes(answer.read())


def _counted(url: str, pids: Sequence[int], cost: Cost) -> Measurement:
    """One run of wrk, with the CPU time that the server's processes took for it."""
    before, began = processes.cpu_seconds(pids), time.monotonic()
    result = load.wrk(url, connections=CONNECTIONS, seconds=SECONDS, headers={"Accept-Encoding": "identity"})
    cost.seconds += processes.cpu_seconds(pids) - before
    cost.bytes += result.bytes_per_second * min(time.monotonic() - began, SECONDS)
    return result


def _figures(
    name: str, results: dict[str, Measurement], costs: dict[str, Cost], *, barred: bool
) -> list[Figure]:
    row = f"1 MB wheel from {name}, c={CONNECTIONS}"
    figures = []
    for ours, what in ((HOT, row), (STREAMED, f"{row}, streamed")):
        ratio = results[ours].bytes_per_second / results[PASS].bytes_per_second
        cpu = costs[ours].per_gb / costs[PASS].per_gb
        met = (ratio >= 0.8 if barred and ours is HOT else None, cpu <= 1.5 if barred else None)
        figures += [
            Figure(what, f"{ratio:.2f} × nginx", "≥ 0.8 × nginx", met[0]),
            Figure(f"{what}, CPU per GB", f"{cpu:.2f} × nginx", "≤ 1.5 × nginx", met[1]),
            Figure(f"{what}, errors", str(results[ours].errors), "0", results[ours].errors == 0),
        ]
    return figures


def _print(name: str, results: dict[str, Measurement], costs: dict[str, Cost]) -> None:
    print(f"\n## 1 MB wheel from {name}, c={CONNECTIONS}\n")
    rows: list[tuple[str, ...]] = [("", "MB/s", "requests/s", "p50 / p99 ms", "CPU s/GB")]
    for server, found in results.items():
        rows.append(
            (
                server,
                f"{found.bytes_per_second / 1e6:,.0f}",
                f"{found.requests_per_second:,.0f}",
                f"{found.p50_ms:.1f} / {found.p99_ms:.1f}",
                f"{costs[server].per_gb:.2f}",
            )
        )
    print_rows(rows)
