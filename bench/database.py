"""`python -m bench.database`: what the statements of the hot write paths cost, on an embedded server.

Durable settings (fsync on), one process, loopback. Bars: 50 dependencies in about 10 ms and one
statement; the rest as ratios within the run, since a commit's time is the disk's.
"""

from __future__ import annotations

import asyncio
import hashlib
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import uvloop

from bench.harness.table import Figure, print_figures
from services.standalone.postgres import EmbeddedPostgres
from shared.artifacts.repository import ArtifactRepository
from shared.migrations.runner import migrate, read_migrations
from shared.models import CachedUrl, Dependency, Extraction, FileName, StoredFile
from shared.postgres.batches import BatchWriter
from shared.postgres.database import Database


def url(number: int, series: str) -> CachedUrl:
    sha256 = hashlib.sha256(f"{series} {number}".encode()).hexdigest()
    name = f"{series}-{number % 200}"
    filename = f"{name}-{number}-py3-none-any.whl"
    return CachedUrl(
        FileName("pypi", name, sha256, filename),
        StoredFile(sha256, 1000, "application/zip", f"artifacts/{sha256}", filename),
        generation=1,
        source_id=1,
        upstream_url=f"https://files.example.com/{number}",
    )


def extraction(stored: StoredFile, count: int) -> Extraction:
    return Extraction(
        stored.sha256,
        "extracted",
        name=stored.filename.partition("-")[0],
        version="1.0",
        dependencies=tuple(
            Dependency(position, f"dep-{position}>=1.0; python_version > '3.8'", f"dep-{position}", ">=1.0",
                       "python_version > '3.8'", ("extra",))
            for position in range(count)
        ),
    )  # fmt: skip


async def times(calls: int, call: Callable[[int], Awaitable[object]]) -> tuple[float, float]:
    """p50 and p99 in milliseconds, one call after the other."""
    taken = []
    for number in range(calls):
        started = time.perf_counter()
        await call(number)
        taken.append((time.perf_counter() - started) * 1000)
    return statistics.median(taken), statistics.quantiles(taken, n=100)[98]


async def rate(count: int, call: Callable[[int], Awaitable[object]], callers: int) -> float:
    """Calls per second with `callers` at work at the same time."""
    numbers = iter(range(count))

    async def caller() -> None:
        for number in numbers:
            await call(number)

    started = time.perf_counter()
    await asyncio.gather(*(caller() for _ in range(callers)))
    return count / (time.perf_counter() - started)


async def measure(address: str) -> list[Figure]:
    await migrate(address, read_migrations(), wait_seconds=5, say=lambda _: None)
    database = Database(address, max_size=10)
    await database.open()
    repository = ArtifactRepository(database)
    figures: list[Figure] = []

    def show(
        name: str, value: float, unit: str, *, at_most: float | None = None, at_least: float | None = None
    ) -> None:
        bar, met = "", None
        if at_most is not None:
            bar, met = f"≤ {at_most:g} {unit}", value <= at_most
        elif at_least is not None:
            bar, met = f"≥ {at_least:g} {unit}", value >= at_least
        figures.append(
            Figure(name, f"{value:,.2f} {unit}" if value < 100 else f"{value:,.0f} {unit}", bar, met)
        )

    known = await repository.batch_create_artifacts([url(number, "known") for number in range(400)])
    before = database.statements
    p50, p99 = await times(300, lambda n: repository.batch_upsert_dependencies([extraction(known[n], 50)]))
    show("50 dependencies, p50", p50, "ms", at_most=10.0)
    show("50 dependencies, p99", p99, "ms")
    show("50 dependencies, statements each", (database.statements - before) / 300, "", at_most=1)

    async def one_by_one(number: int) -> None:
        for dependency in extraction(known[300 + number], 50).dependencies:
            await database.execute(
                "INSERT INTO artifact_dependencies (sha256, position, requirement, name)"
                " VALUES ($1, $2, $3, $4)",
                bytes.fromhex(known[300 + number].sha256),
                dependency.position,
                dependency.requirement,
                dependency.name,
            )

    slow, _ = await times(20, one_by_one)
    show("the same by 50 inserts, p50", slow, "ms")
    show("50 inserts against one statement", slow / p50, "×", at_least=8.0)

    def look(number: int) -> Awaitable[object]:
        one = known[number % len(known)]
        return repository.get_cached_url_with_artifact(one.file)

    p50, p99 = await times(1000, look)
    show("lookup of a cached URL, p50", p50, "ms", at_most=1.0)
    show("lookup of a cached URL, p99", p99, "ms")
    show("lookups, 32 callers", await rate(4000, look, 32), "/s")
    p50, p99 = await times(300, lambda n: repository.get_or_create_artifact(url(n, "new")))
    show("store a new artifact, p50", p50, "ms")
    show("store a new artifact, p99", p99, "ms")
    p50, _ = await times(300, lambda n: repository.get_or_create_artifact(known[n]))
    show("store a known artifact, p50", p50, "ms")

    single = await rate(1000, lambda n: repository.get_or_create_artifact(url(n, "single")), 1)
    show("artifacts one by one", single, "/s")
    writer = BatchWriter(repository.batch_create_artifacts)
    batched = await rate(10_000, lambda n: writer.add(url(n, "batched")), 200)
    await writer.aclose()
    show("artifacts through the batch writer, 200 callers", batched, "/s")
    show("batched against one by one", batched / single, "×", at_least=4.0)

    stored = await repository.batch_create_artifacts([url(number, "full") for number in range(4000)])
    extractions = BatchWriter(repository.batch_upsert_dependencies)
    show("extractions with 10 dependencies, 200 callers",
         await rate(4000, lambda n: extractions.add(extraction(stored[n], 10)), 200), "/s")  # fmt: skip
    await extractions.aclose()
    p50, p99 = await times(
        200, lambda n: repository.index_state("pypi", f"simple/full-{n}", f"full-{n}", [f"full-{n}"])
    )
    show("what is known of an index of 20 files, p50", p50, "ms")
    await database.aclose()
    return figures


def main() -> int:
    with tempfile.TemporaryDirectory() as folder, EmbeddedPostgres(Path(folder, "postgres")) as server:
        figures = uvloop.run(measure(server.url()))
    print_figures("Database", figures)
    return 1 if any(figure.met is False for figure in figures) else 0


if __name__ == "__main__":
    sys.exit(main())
