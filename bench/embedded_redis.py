"""The embedded Redis beside another server's program: start, memory, speed, and whether folders open.

    python -m bench.embedded_redis [--beside PATH/redis-server]

Starts servers of its own on loopback, in temporary folders. Of each program the same is asked, in turns.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import redis
import uvloop

from bench.queue_latency import start_latency, throughput
from services.standalone.redis_server import EmbeddedRedis, Role, server_binary
from shared.redis.client import RedisClient

ROUNDS = 3
JOBS = 100_000  # in the journal that is read at a start
PAGES, PAGE_BYTES = 2_000, 22_000
READS, QUEUED = 32_000, 2_000


@contextlib.contextmanager
def _server(binary: Path, role: Role) -> Iterator[EmbeddedRedis]:
    with (
        tempfile.TemporaryDirectory() as folder,
        EmbeddedRedis(Path(folder), role, binary=binary) as server,
    ):
        yield server


@contextlib.asynccontextmanager
async def _client(server: EmbeddedRedis) -> AsyncIterator[RedisClient]:
    client = RedisClient(host="127.0.0.1", port=server.port, password=server.password, role=server.role)
    await client.open()
    try:
        yield client
    finally:
        await client.aclose()


def _plain(server: EmbeddedRedis) -> redis.Redis:
    return redis.Redis(port=server.port, password=server.password)


def _resident_mb(server: EmbeddedRedis) -> float:
    pages = int(Path(f"/proc/{server.pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def _cpu_seconds(server: EmbeddedRedis) -> float:
    fields = Path(f"/proc/{server.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _memory(binary: Path) -> tuple[float, float, float]:
    """Resident MB: empty, full of pages, and after each page was replaced by others of other sizes."""
    with _server(binary, "cache") as server, _plain(server) as client:
        empty = _resident_mb(server)
        for page in range(PAGES):
            client.set(f"page:{page}", b"x" * PAGE_BYTES)
        full = _resident_mb(server)
        for turn in range(1, 6):
            for page in range(PAGES):
                client.set(f"page:{page}", b"x" * (PAGE_BYTES - 900 * ((page + turn) % 7)))
        return empty, full, _resident_mb(server)


def _starts(binary: Path) -> tuple[float, float]:
    """Milliseconds: with an empty folder, and with a journal of jobs."""
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        with EmbeddedRedis(Path(folder), "queue", binary=binary) as server, _plain(server) as client:
            empty = time.perf_counter() - began
            for first in range(0, JOBS, 1000):
                with client.pipeline(transaction=False) as batch:
                    for job in range(first, first + 1000):
                        batch.set(f"arq:job:{job}", b"x" * 200)
                        batch.zadd("arq:queue", {str(job): job})
                    batch.execute()
        began = time.perf_counter()
        with EmbeddedRedis(Path(folder), "queue", binary=binary) as server, _plain(server) as client:
            assert client.zcard("arq:queue") == JOBS
            return empty * 1000, (time.perf_counter() - began) * 1000


async def _queue(binary: Path) -> tuple[float, float, float]:
    """Milliseconds from enqueue to start (p50), a worker's jobs a second, and the server's CPU µs of each."""
    with _server(binary, "queue") as server:
        async with _client(server) as client:
            p50, _ = await start_latency(client, 200, 2)
            before = _cpu_seconds(server)
            _, done = await throughput(client, QUEUED, 1)
            return p50, done, (_cpu_seconds(server) - before) / QUEUED * 1e6


async def _reads(binary: Path) -> tuple[float, float]:
    """Microseconds of one batched read of a page, 32 at once: all of it, and the server's CPU."""
    with _server(binary, "cache") as server:
        async with _client(server) as client:
            await client.raw.set("page", b"x" * PAGE_BYTES)
            began, before = time.perf_counter(), _cpu_seconds(server)
            for _ in range(READS // 32):
                await asyncio.gather(*(client.get_many(["page"]) for _ in range(32)))
            wall, cpu = time.perf_counter() - began, _cpu_seconds(server) - before
            return wall / READS * 1e6, cpu / READS * 1e6


def _opens(writer: Path, reader: Path) -> bool:
    with tempfile.TemporaryDirectory() as folder:
        with EmbeddedRedis(Path(folder), "queue", binary=writer) as server:
            server.command("SET", "kept", "1")
        with EmbeddedRedis(Path(folder), "queue", binary=reader) as server:
            return server.command("INCR", "kept") == b":2"


def _version(binary: Path) -> str:
    with _server(binary, "cache") as server, _plain(server) as client:
        told, memory = client.info("server"), client.info("memory")["mem_allocator"]
        return f"{told.get('valkey_version') or told['redis_version']}, {memory}"


def _medians(measure: Callable[[Path], tuple[float, ...]], binaries: list[Path]) -> list[list[float]]:
    """Of each program, measured in turns so that a busy moment meets all."""
    took: list[list[tuple[float, ...]]] = [[] for _ in binaries]
    for _ in range(ROUNDS):
        for binary, own in zip(binaries, took, strict=True):
            own.append(measure(binary))
    return [[statistics.median(column) for column in zip(*own, strict=True)] for own in took]


def _print_row(name: str, cells: list[str]) -> None:
    print(f"{name:<42}", *(f"{cell:>16}" for cell in cells), flush=True)


def _print_figures(
    names: dict[str, str], measure: Callable[[Path], tuple[float, ...]], binaries: list[Path]
) -> None:
    medians = _medians(measure, binaries)
    for number, (name, form) in enumerate(names.items()):
        _print_row(name, [format(each[number], form) for each in medians])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--beside", type=Path, help="another server's program")
    beside = parser.parse_args().beside
    binaries = [server_binary(), *([beside] if beside else [])]
    _print_row("program", [binary.name for binary in binaries])
    _print_row("version, allocator", [_version(binary) for binary in binaries])
    _print_row("program, MB", [f"{binary.stat().st_size / 1e6:.1f}" for binary in binaries])
    _print_figures({"start, ms": ".0f", f"start with {JOBS:,} jobs, ms": ".0f"}, _starts, binaries)
    pages = f"with {PAGES:,} pages of 22 kB, MB"
    _print_figures(
        {"resident, MB": ".1f", pages: ".1f", "each replaced five times, MB": ".1f"}, _memory, binaries
    )
    reads = {"batched read of 22 kB, µs": ".1f", "… CPU of the server, µs": ".1f"}
    _print_figures(reads, lambda binary: uvloop.run(_reads(binary)), binaries)
    jobs = {"enqueue to start, p50 ms": ".2f", "jobs a second": ",.0f", "… CPU of the server each, µs": ".0f"}
    _print_figures(jobs, lambda binary: uvloop.run(_queue(binary)), binaries)
    for writer in binaries:
        _print_row(f"opens a folder of {writer.name}", [str(_opens(writer, reader)) for reader in binaries])


if __name__ == "__main__":
    main()
