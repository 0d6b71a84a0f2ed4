"""HTTP/1.1 and HTTP/2 of `HttpClientManager` alone, from nginx with TLS on loopback, near and far.

`python -m bench.http_versions [--rtt 0 5 50] [--loads burst ...] [--others FOLDER]`: a client process for
each figure, three turns, the median. Far is an emulated link (bench/wan/link.py) of 200 Mbit/s behind a
CONNECT proxy. `--others`: a folder with other clients to measure too
(pip install --target FOLDER h2 httpx pyreqwest).

The clients: `http/1.1 N`, N idle connections kept; `http/2 N`, of large bodies N go by HTTP/1.1.
The loads: `burst`, 200 pages of 30 kB at once on no connection yet; `again`, the same once more at once;
`later`, the same 5 s after that; `small`, 200 files of 30 kB; `files`, 64 of 1 MB; `large`, one of 256 MB;
`beside`, 20 pages one after another while four large files come (its seconds: the median page's).
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import multiprocessing
import os
import resource
import ssl
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import uvloop

from bench.harness.processes import free_port
from bench.wan.link import Quality
from bench.wan.proxy import running_proxy
from services.fetcher.http import pool
from services.fetcher.http.manager import HttpClientManager
from shared.models import UpstreamSource

SIZES = {"page": 30_000, "small": 30_000, "file": 1 << 20, "large": 256_000_000}
LOADS = {"burst": ("page", 200), "again": ("page", 200), "later": ("page", 200), "small": ("small", 200),
         "files": ("file", 64), "large": ("large", 1), "beside": ("page", 20)}  # fmt: skip
BYTES_PER_SECOND = 200e6 / 8
PAUSE_SECONDS = 5.0
TURNS = 3

_NGINX = """
daemon off; worker_processes 1; pid {work}/nginx.pid; error_log {work}/error.log warn; {user}
events {{ worker_connections 4096; }}
http {{
  sendfile on; tcp_nodelay on; access_log off; keepalive_requests 1000000; default_type application/json;
  client_body_temp_path {work}/1; proxy_temp_path {work}/2; fastcgi_temp_path {work}/3;
  uwsgi_temp_path {work}/4; scgi_temp_path {work}/5;
  server {{
    listen 127.0.0.1:{port} ssl http2 backlog=4096;
    ssl_certificate {work}/server.pem; ssl_certificate_key {work}/server.key;
    ssl_session_cache shared:s:1m;
    root {work}/files;
    rewrite ^/([a-z]+)/[0-9]+$ /$1 break;
  }}
}}
"""


@contextlib.contextmanager
def _upstream() -> Iterator[tuple[int, Path]]:
    """The port of an nginx, and who signed its certificate."""
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        work.chmod(0o755)
        (work / "files").mkdir()
        for name, size in SIZES.items():
            with (work / "files" / name).open(
                "wb"
            ) as file:  # in pieces: a child's peak begins at its parent's
                for start in range(0, size, 1_000_000):
                    file.write(os.urandom(min(1_000_000, size - start)))
        authority = _certificates(work)
        port = free_port()
        user = "user root;" if os.getuid() == 0 else ""
        (work / "nginx.conf").write_text(_NGINX.format(work=work, port=port, user=user))
        process = subprocess.Popen(["nginx", "-e", "stderr", "-p", folder, "-c", str(work / "nginx.conf")])
        try:
            time.sleep(0.5)
            yield port, authority
        finally:
            process.terminate()
            process.wait()


def _certificates(work: Path) -> Path:
    key = [
        "-newkey",
        "rsa:2048",
        "-nodes",
    ]  # as most upstreams have: the client checks more than it would of EC
    (work / "extensions").write_text("subjectAltName=IP:127.0.0.1\nbasicConstraints=CA:FALSE\n")
    for command in (
        ["req", "-x509", *key, "-keyout", "ca.key", "-out", "ca.pem", "-days", "2",
         "-subj", "/CN=bench authority", "-addext", "keyUsage=critical,keyCertSign"],
        ["req", "-new", *key, "-keyout", "server.key", "-out", "server.csr", "-subj", "/CN=loopback"],
        ["x509", "-req", "-in", "server.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial",
         "-out", "server.pem", "-days", "2", "-extfile", "extensions"],
    ):  # fmt: skip
        subprocess.run(["openssl", *command], cwd=work, check=True, capture_output=True)
    return work / "ca.pem"


class _Ours:
    def __init__(self, base: str, authority: str, proxy: str, **options: Any) -> None:
        self._base = base
        self._source = UpstreamSource(1, "pypi", "bench", base + "/")
        self._manager = HttpClientManager(ca_file=authority, proxy=proxy, **options)

    async def __aenter__(self) -> _Ours:
        await self._manager.open()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._manager.aclose()

    async def get(self, name: str, number: int) -> int:
        url = f"{self._base}/{name}/{number}"
        if name == "page":
            fetched = await self._manager.fetch(self._source, url, max_bytes=10**9, deadline_seconds=100)
            return len(fetched.body)
        expected = SIZES[name]
        async with self._manager.stream(self._source, url, expected_bytes=expected) as response:
            return sum([len(chunk) async for chunk in response.chunks()])

    @property
    def connects(self) -> int:
        return self._manager.stats().connects


class _Httpx:
    """httpx with its own HTTP/2."""

    def __init__(self, base: str, authority: str, proxy: str) -> None:
        import httpx

        tls = ssl.create_default_context(cafile=authority)
        limits = httpx.Limits(max_connections=100, max_keepalive_connections=100)
        self._base = base
        self._client = httpx.AsyncClient(
            http2=True, verify=tls, proxy=proxy or None, limits=limits, timeout=100
        )
        self.connects = 0

    async def __aenter__(self) -> _Httpx:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._client.aclose()

    async def get(self, name: str, number: int) -> int:
        async with self._client.stream("GET", f"{self._base}/{name}/{number}") as response:
            return sum([len(chunk) async for chunk in response.aiter_raw()])


class _Pyreqwest:
    def __init__(self, base: str, authority: str, proxy: str) -> None:
        import datetime

        from pyreqwest.client import ClientBuilder
        from pyreqwest.proxy import ProxyBuilder

        builder = ClientBuilder().add_root_certificate_pem(Path(authority).read_bytes())
        builder = builder.timeout(datetime.timedelta(seconds=100)).gzip(False)
        if proxy:
            builder = builder.proxy(ProxyBuilder.all(proxy))
        self._base = base
        self._client = builder.build()
        self.connects = 0

    async def __aenter__(self) -> _Pyreqwest:
        await self._client.__aenter__()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._client.close()

    async def get(self, name: str, number: int) -> int:
        size = 0
        async with self._client.get(f"{self._base}/{name}/{number}").build_streamed() as response:
            while chunk := await response.body_reader.read_chunk():
                size += len(chunk)
        return size


def _client(arm: str, base: str, authority: str, proxy: str) -> Any:
    match arm:
        case "httpx":
            return _Httpx(base, authority, proxy)
        case "pyreqwest":
            return _Pyreqwest(base, authority, proxy)
    version, _, number = arm.partition(" ")
    if version == "http/1.1":
        return _Ours(base, authority, proxy, http1_hosts=("*",), keepalive_connections=int(number))
    pool.LARGE_BY_HTTP1 = int(number)
    return _Ours(base, authority, proxy)


async def _measure(arm: str, loads: list[str], base: str, authority: str, proxy: str) -> dict[str, Any]:
    figures: dict[str, Any] = {}
    async with _client(arm, base, authority, proxy) as client:
        for load in loads:
            name, count = LOADS[load]
            if load == "later":
                await asyncio.sleep(PAUSE_SECONDS)
            connects = client.connects
            cpu, began = time.process_time(), time.perf_counter()
            if load == "beside":
                sizes, seconds = await _beside(client, count)
            else:
                sizes = await asyncio.gather(*(client.get(name, number) for number in range(count)))
                seconds = time.perf_counter() - began
            cpu = time.process_time() - cpu
            assert set(sizes) == {SIZES[name]}
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            figures[load] = (seconds, cpu, client.connects - connects, peak)
    return figures


async def _beside(client: Any, count: int) -> tuple[list[int], float]:
    """The sizes of pages fetched one after another while four large files come, and a page's median time."""
    large = [asyncio.create_task(client.get("large", number)) for number in range(4)]
    await asyncio.sleep(1)
    sizes, took = [], []
    for number in range(count):
        began = time.perf_counter()
        sizes.append(await client.get("page", number))
        took.append(time.perf_counter() - began)
    for task in large:
        task.cancel()
    await asyncio.gather(*large, return_exceptions=True)
    return sizes, statistics.median(took)


def _process(sender: Any, others: str, *arguments: Any) -> None:
    sys.path.append(others)
    sender.send(uvloop.run(_measure(*arguments)))


def measure(
    arm: str, loads: list[str], port: int, authority: Path, proxy: str, others: str
) -> dict[str, Any]:
    """For each load: seconds, CPU seconds, connections, and the process's peak in MB by then."""
    receiver, sender = multiprocessing.Pipe()
    base = f"https://127.0.0.1:{port}"
    process = multiprocessing.get_context("spawn").Process(
        target=_process, args=(sender, others, arm, loads, base, str(authority), proxy)
    )
    process.start()
    sender.close()
    figures: dict[str, Any] = receiver.recv()
    process.join()
    return figures


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rtt", type=float, nargs="+", default=[0, 5, 50], help="ms; 0: loopback as it is")
    parser.add_argument("--loads", nargs="+", choices=LOADS, default=["burst", "again", "later"])
    parser.add_argument("--arms", nargs="+", default=["http/1.1 20", "http/1.1 100", "http/2 0", "http/2 16"])
    parser.add_argument("--others", default="")
    parser.add_argument("--turns", type=int, default=TURNS)
    arguments = parser.parse_args()
    arms = arguments.arms + (["httpx", "pyreqwest"] if arguments.others else [])
    os.environ["NO_PROXY"] = os.environ["no_proxy"] = ""
    heads = f"{'seconds':>8} {'CPU ms':>7} {'connects':>8} {'peak MB':>8}"
    print(f"{'rtt ms':>6} {'load':>6} {'client':>13} {heads}")
    with _upstream() as (port, authority):
        for rtt in arguments.rtt:
            with contextlib.ExitStack() as held:
                quality = Quality(rtt / 1000, BYTES_PER_SECOND)
                proxy = held.enter_context(running_proxy(quality)).url if rtt else ""
                done = [
                    (arm, measure(arm, arguments.loads, port, authority, proxy, arguments.others))
                    for _ in range(arguments.turns)
                    for arm in arms
                ]
            for load in arguments.loads:
                for arm in arms:
                    turns = [figures[load] for name, figures in done if name == arm]
                    seconds, cpu, connects, peak = (
                        statistics.median(each) for each in zip(*turns, strict=True)
                    )
                    print(
                        f"{rtt:>6g} {load:>6} {arm:>13} {seconds:>8.3f} {cpu * 1000:>7.0f}"
                        f" {connects:>8.0f} {peak:>8.0f}",
                        flush=True,
                    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
