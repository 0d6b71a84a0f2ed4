"""What large indexes and request bodies take of memory, by the peak of the processes that handle them."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import hashlib
import http.server
import json
import random
import socketserver
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from bench.harness import processes
from bench.harness.download import JSON, Download, download
from bench.harness.orchard import Orchard, orchard
from bench.harness.table import Figure, print_figures

Answer = tuple[bytes, str, str]
"""Body, type and content-coding."""
REFRESH_SECONDS = 4
AUDITS, AUDIT_PACKAGES = 80, 24_000  # 7.5 MB each


def run(work: Path, root: Path) -> list[Figure]:
    """Each row with an Orchard of its own, so that a peak is of nothing else."""
    del root
    rows: list[tuple[str, Mapping[str, Answer], int]] = [
        ("the list of all projects, 39 MB", {"/simple/": (_projects(), JSON, "")}, 150),
        ("a packument of 37 MB, cold and refreshed", {"/big": _packument("big", 16_500)}, 150),
        ("ten packuments of 19 MB at once", {f"/big{n}": _packument(f"big{n}", 8_200) for n in range(10)}, 0),
        ("eight pages that unpack to 190 MB", {f"/simple/bomb{n}/": _bomb(n) for n in range(8)}, 0),
    ]
    figures = []
    for number, (what, answers, most) in enumerate(rows):
        with _upstream(answers) as url, _orchard(work / str(number), url) as ours:
            grown, answered, took = asyncio.run(_asked(ours, [_path_of(each) for each in answers]))
            if answers.keys() == {"/simple/"}:
                figures += _times(took, asyncio.run(download(f"{url}/simple/", accept=JSON)))
        bar, note = f"≤ {most} MiB" if most else "", f"{answered} of {len(answers)} answered"
        figures.append(
            Figure(
                f"{what}: fetcher's memory", f"+{grown:.0f} MiB", bar, grown <= most if most else None, note
            )
        )
    with _upstream({}) as url, _orchard(work / "audits", url) as ours:
        grown = asyncio.run(_audited(ours))
    figures.append(Figure(f"{AUDITS} audits of 7.5 MB at once: gateway's memory", f"+{grown:.0f} MiB"))
    print_figures("Memory of large bodies", figures)
    return figures


def _path_of(upstream_path: str) -> str:
    return f"/pypi{upstream_path}" if upstream_path.startswith("/simple/") else f"/npm{upstream_path}"


def _orchard(data: Path, url: str) -> contextlib.AbstractContextManager[Orchard]:
    return orchard(
        data,
        upstream=f"{url}/simple/",
        npm_upstream=f"{url}/",
        pin=False,
        cache_ttl_index=REFRESH_SECONDS,
        pypi_request_timeout=60,
        npm_request_timeout=60,
    )


def _times(cold: Download, directly: Download) -> list[Figure]:
    """Of the list of all projects."""
    first, whole = cold.first_byte_seconds, cold.total_seconds
    note = f"{cold.x_cache}; whole after {whole:.2f} s, directly after {directly.total_seconds:.2f} s"
    return [Figure("the list of all projects, cold: first byte", f"{first:.2f} s", "≤ 1 s", first <= 1, note)]


async def _asked(ours: Orchard, paths: list[str]) -> tuple[float, int, Download]:
    """MiB that the fetcher's peak grew by while all were asked for at once, a single one twice; how many
    were answered; and the first answer."""
    await download(ours.url("/pypi/simple/nothing/"), accept=JSON)
    [fetcher] = ours.pids("fetcher")
    before, answered = processes.rss_mib(fetcher), 0
    cold: Download | None = None
    accept = JSON if paths[0].startswith("/pypi/") else "*/*"
    for turn in range(2 if len(paths) == 1 else 1):
        await asyncio.sleep(turn * (REFRESH_SECONDS + 1))
        asked = (download(ours.url(path), accept=accept, coding="gzip") for path in paths)
        replies = await asyncio.gather(*asked)
        answered = sum(reply.status == 200 for reply in replies)
        cold = cold or replies[0]
    await asyncio.sleep(REFRESH_SECONDS)  # the refresh goes on behind a STALE
    assert cold is not None
    return processes.peak_rss_mib(fetcher) - before, answered, cold


async def _audited(ours: Orchard) -> float:
    """MiB that the largest growth of a gateway's process came to."""
    before = {pid: processes.rss_mib(pid) for pid in ours.pids("gateway")}
    versions = [f"1.0.{number}" for number in range(30)]
    body = json.dumps({f"package-name-{n}": versions for n in range(AUDIT_PACKAGES)}).encode()

    async def post() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", ours.ports[0])
        writer.write(
            b"POST /npm/-/npm/v1/security/advisories/bulk HTTP/1.1\r\nHost: localhost\r\n"
            b"Content-Type: application/json\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(body)
        )
        with contextlib.suppress(ConnectionError):  # most are refused before they are whole
            for start in range(0, len(body), 1 << 18):
                writer.write(body[start : start + (1 << 18)])
                await writer.drain()
            await reader.read()
        writer.close()

    await asyncio.gather(*(post() for _ in range(AUDITS)))
    return max(processes.peak_rss_mib(pid) - grown for pid, grown in before.items())


@contextlib.contextmanager
def _upstream(answers: Mapping[str, Answer]) -> Iterator[str]:
    """The address of a registry that answers these paths, and any POST with an empty object."""

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._send(200 if self.path in answers else 404, answers.get(self.path, (b"", "text/plain", "")))

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            self._send(200, (b"{}", "application/json", ""))

        def _send(self, status: int, answer: Answer) -> None:
            body, kind, coding = answer
            self.send_response(status)
            self.send_header("content-type", kind)
            self.send_header("content-length", str(len(body)))
            if coding:
                self.send_header("content-encoding", coding)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
        daemon_threads = True
        request_queue_size = 128

    with Server(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def _projects() -> bytes:
    chance = random.Random(1)
    letters = "abcdefghijklmnopqrstuvwxyz"
    entries = []
    for number in range(700_000):
        words = (
            "".join(chance.choices(letters, k=chance.randint(3, 9))) for _ in range(chance.randint(1, 4))
        )
        entries.append({"_last-serial": 1_000_000 + number, "name": "-".join(words)})
    return json.dumps({"meta": {"api-version": "1.1"}, "projects": entries}).encode()


def _packument(name: str, count: int) -> Answer:
    chance = random.Random(1)
    versions = {}
    for number in range(count):
        version = f"{number // 100}.{number % 100}.0"
        versions[version] = {
            "name": name,
            "version": version,
            "description": "x" * 300,
            "dependencies": {f"dep{chance.randint(0, 9999)}": "^1.0.0" for _ in range(30)},
            "scripts": {f"s{each}": f"node build {each}" for each in range(20)},
            "dist": {
                "tarball": f"http://127.0.0.1/{name}/-/{name}-{version}.tgz",
                "shasum": hashlib.sha1(version.encode(), usedforsecurity=False).hexdigest(),
            },
            "readme": "r" * 500,
        }
    body = {"name": name, "dist-tags": {"latest": version}, "versions": versions}
    return json.dumps(body).encode(), "application/json", ""


def _bomb(number: int) -> Answer:
    text = b"ab c%d" % number * 37_000_000
    page = b'{"meta":{"api-version":"1.0"},"name":"bomb%d","files":[],"x":"%b"}' % (number, text)
    return gzip.compress(page, 1), JSON, "gzip"
