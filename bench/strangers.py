"""`python -m bench.strangers`: what strangers without a token can take from the others.

Attacks a whole Orchard on loopback and measures what a well-behaved client sees meanwhile, from another
address, or what memory the attack costs. Files that it needs are made on the spot; nothing else is needed.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import gzip
import hashlib
import io
import random
import resource
import shutil
import socket
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from bench.harness import processes
from bench.harness.orchard import Orchard, orchard
from bench.harness.table import Figure, print_figures
from tests.support.builders import JSON_TYPE, build_wheel
from tests.support.gateway import read_response
from tests.support.upstream import Reply, Upstream

ATTACKERS = 2100  # more than a gateway has connections
ATTACKER, NEIGHBOUR = "127.0.0.1", "127.0.0.2"
HITS = 10
HIT_BAR_MS = 5000.0  # while connections run out: it is answered
BODIES, BODY_BYTES = 80, 8 << 20
BODIES_BAR_MIB = 200.0
BOMBS, BOMB_BYTES = 8, 190 << 20  # just below what an index may have
BOMBS_BAR_MIB = 400.0
BOMBS_OF = {"of spaces": 0, "below the ratio that is refused": 16 << 10}  # noise in each MiB
POSTERS, POST_SECONDS = 32, 8.0
POSTED_HIT_BAR_MS = 5.0
HEAD = b" HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: application/vnd.pypi.simple.v1+json\r\n"
PAGE = b"GET /pypi/simple/small/" + HEAD + b"\r\n"
WAYS = {
    "stalled bodies": b"POST /npm/-/npm/v1/security/audits/quick"
    + HEAD
    + b"Content-Type: application/json\r\nContent-Length: 100000\r\n\r\n{",
    "unfinished heads": b"GET /pypi/simple/small/ HTT",
    "unread pages": (b"GET /pypi/simple/large/" + HEAD + b"\r\n") * 40,
    "unread files": b"GET %s" + HEAD + b"\r\n",
}


def run(work: Path, root: Path) -> list[Figure]:
    """All attacks, one after the other; `root` is not needed."""
    with (
        Upstream() as upstream,
        orchard(
            work / "orchard",
            upstream=f"{upstream.url}/simple/",
            npm_upstream=f"{upstream.url}/npm/",
            maven_upstream=f"{upstream.url}/maven/",
            pin=False,
        ) as ours,
    ):
        unread = _fill(upstream, ours)
        figures = [_bodies(ours)]
        figures += [_bombs(upstream, ours, what, noise) for what, noise in BOMBS_OF.items()]
        figures.append(_ensures(ours))
        figures += [_crowd(ours, way, request.replace(b"%s", unread)) for way, request in WAYS.items()]
        memory = ours.rss_mib("gateway")
        figures.append(Figure("after all of that: a gateway's memory", f"{memory:.0f} MiB"))
    print_figures("Strangers", figures)
    return figures


def _fill(upstream: Upstream, ours: Orchard) -> bytes:
    """A small page, a large page and a large file, all warm; the path of the file."""
    wheel = build_wheel("big", "1.0", size_bytes=24 << 20)
    name = "big-1.0-py3-none-any.whl"
    upstream.add_project("big", {name: wheel})
    upstream.add_project("small", {"small-1.0-py3-none-any.whl": build_wheel("small", "1.0")})
    tiny = build_wheel("large", "1.0")
    upstream.add_project("large", {f"large-{n}.0-py3-none-any.whl": tiny for n in range(1000)})
    path = f"/pypi/files/big/{hashlib.sha256(wheel).hexdigest()}/{name}".encode()
    for each in (b"/pypi/simple/small/", b"/pypi/simple/large/", b"/pypi/simple/big/", path):
        for _ in range(3):
            with _connect(ours, NEIGHBOUR) as connection:
                connection.sendall(b"GET " + each + HEAD + b"\r\n")
                answer = read_response(connection)
                if answer.status != 200 or not answer.complete:
                    raise RuntimeError(f"{each.decode()}: {answer.status}")
    return path


def _connect(ours: Orchard, source: str) -> socket.socket:
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096 if source == ATTACKER else 1 << 20)
    connection.settimeout(20)
    connection.bind((source, 0))
    connection.connect(("127.0.0.1", ours.ports[0]))
    return connection


def _hit(ours: Orchard) -> float:
    """Milliseconds of a hit over a new connection from another address; infinite if it failed."""
    started = time.perf_counter()
    try:
        with _connect(ours, NEIGHBOUR) as connection:
            connection.sendall(PAGE)
            answer = read_response(connection)
    except OSError:
        return float("inf")
    return (time.perf_counter() - started) * 1000 if answer.status == 200 else float("inf")


def _hits(ours: Orchard, number: int) -> tuple[float, float]:
    """p50 and the most, in ms."""
    took = [_hit(ours) for _ in range(number)]
    return statistics.median(took), max(took)


@contextlib.contextmanager
def _held(ours: Orchard, request: bytes, number: int) -> Iterator[None]:
    """Connections that send this and never read."""
    with contextlib.ExitStack() as stack:
        for _ in range(number):
            with contextlib.suppress(OSError):
                connection = stack.enter_context(_connect(ours, ATTACKER))
                connection.sendall(request)
        yield


def _crowd(ours: Orchard, way: str, request: bytes) -> Figure:
    with _held(ours, request, ATTACKERS):
        p50, most = _hits(ours, HITS)
    return Figure(
        f"{ATTACKERS:,} {way} from one address: a hit from another",
        f"p50 {p50:.1f} ms, at most {most:.0f} ms",
        f"each < {HIT_BAR_MS / 1000:.0f} s",
        most < HIT_BAR_MS,
    )


def _bodies(ours: Orchard) -> Figure:
    """Audit bodies of 8 MiB that stop before their last byte."""
    before = ours.rss_mib("gateway")
    head = WAYS["stalled bodies"].replace(b"100000", str(BODY_BYTES).encode())
    peak, stop = [before], threading.Event()
    watching = threading.Thread(target=_watch, args=(ours, peak, stop))
    watching.start()
    with contextlib.ExitStack() as stack:

        def send(_: int) -> None:
            with contextlib.suppress(OSError):
                connection = stack.enter_context(_connect(ours, ATTACKER))
                connection.sendall(head + b" " * (BODY_BYTES - 2))

        with concurrent.futures.ThreadPoolExecutor(BODIES) as pool:
            list(pool.map(send, range(BODIES)))
        time.sleep(1.0)
    stop.set()
    watching.join()
    added = peak[0] - before
    return Figure(
        f"{BODIES} stalled bodies of 8 MiB: a gateway's memory",
        f"{before:.0f} → {peak[0]:.0f} MiB",
        f"≤ {BODIES_BAR_MIB:.0f} MiB more",
        added <= BODIES_BAR_MIB,
    )


def _watch(ours: Orchard, peak: list[float], stop: threading.Event) -> None:
    pids = ours.pids("gateway")
    while not stop.wait(0.05):
        peak[0] = max(peak[0], *(processes.rss_mib(pid) for pid in pids))


def _ensures(ours: Orchard) -> Figure:
    """The largest ensure file that is read, posted by many at once."""
    names = "\n".join(f'p{n:05d} = "*"' for n in range(17_500))
    body = f"[npm.dependencies]\n{names}\n".encode()[:229_000]
    request = (
        b"POST /api/v1/ensure" + HEAD + b"Content-Type: application/toml\r\n"
        b"Content-Length: %d\r\n\r\n" % len(body)
    ) + body
    until = time.monotonic() + POST_SECONDS
    answers: dict[int, int] = {}

    def post() -> None:
        while time.monotonic() < until:
            try:
                with _connect(ours, ATTACKER) as connection:
                    connection.sendall(request)
                    status = read_response(connection).status
            except OSError:
                status = 0
            answers[status] = answers.get(status, 0) + 1

    posters = [threading.Thread(target=post) for _ in range(POSTERS)]
    for each in posters:
        each.start()
    time.sleep(1.0)
    took = []
    while time.monotonic() < until:
        took.append(_hit(ours))
        time.sleep(0.01)
    for each in posters:
        each.join()
    p50 = statistics.median(took)
    told = ", ".join(f"{count} × {status or 'cut'}" for status, count in sorted(answers.items()))
    return Figure(
        f"{POSTERS} connections posting an ensure file of {len(body) // 1000} kB: a hit",
        f"p50 {p50:.1f} ms, at most {max(took):.0f} ms",
        f"p50 < {POSTED_HIT_BAR_MS:.0f} ms",
        p50 < POSTED_HIT_BAR_MS,
        told,
    )


def _bombs(upstream: Upstream, ours: Orchard, what: str, noise: int) -> Figure:
    """Pages that unpack to almost what an index may have, asked for at once."""
    packed = io.BytesIO()
    with gzip.GzipFile(fileobj=packed, mode="wb", compresslevel=6) as file:
        file.write(b'{"meta": {"api-version": "1.0"}, "name": "x", "files": [], "pad": "')
        for _ in range(BOMB_BYTES >> 20):
            file.write(random.randbytes(noise // 2).hex().encode() + b" " * ((1 << 20) - noise))
        file.write(b'"}')
    ratio = BOMB_BYTES // len(packed.getvalue())
    for number in range(BOMBS):
        upstream.put(
            f"/simple/bomb{noise}x{number}/",
            Reply(packed.getvalue(), JSON_TYPE, headers={"content-encoding": "gzip"}),
        )
    pids = ours.pids("fetcher")
    before = max(processes.rss_mib(pid) for pid in pids)

    def ask(number: int) -> int:
        try:
            with _connect(ours, ATTACKER) as connection:
                connection.sendall(b"GET /pypi/simple/bomb%dx%d/" % (noise, number) + HEAD + b"\r\n")
                return read_response(connection).status
        except OSError:
            return 0

    with concurrent.futures.ThreadPoolExecutor(BOMBS) as pool:
        statuses = sorted(pool.map(ask, range(BOMBS)))
    peak = max(processes.peak_rss_mib(pid) for pid in pids)
    return Figure(
        f"{BOMBS} gzip bombs of {BOMB_BYTES >> 20} MiB at once, {what}: a fetcher's memory",
        f"{before:.0f} → {peak:.0f} MiB",
        f"≤ {BOMBS_BAR_MIB:.0f} MiB more",
        peak - before <= BOMBS_BAR_MIB,
        f"{ratio} times their size; answered {statuses}",
    )


def main() -> int:
    """Exit 1 when a bar is missed."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    work = Path(tempfile.mkdtemp(prefix="orchard-strangers-"))
    try:
        figures = run(work, work)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        shutil.rmtree(work, ignore_errors=True)
    return 0 if all(figure.met is not False for figure in figures) else 1


if __name__ == "__main__":
    sys.exit(main())
