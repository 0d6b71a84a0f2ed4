"""What another fetcher brings: a burst of cold files from a slow upstream, with 1, 2 and 4 fetchers.

`python -m bench.scaling` runs it alone. The slots of a fetcher are few here, so that the upstream's latency
and not this machine's cores is the limit, as it is with real registries.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import aiohttp
import msgspec

from bench.harness.table import Figure, print_figures, print_rows
from tests.support.orchard import Cluster, cluster
from tests.support.upstream import Fault, Upstream

FILES = 240
BYTES = 20_000
SLOTS = 4
LATENCY_SECONDS = 0.2
FETCHERS = (1, 2, 4)
SAMPLE_SECONDS = 0.25
JOIN_AFTER_SECONDS = 3.0
LEAST_EFFICIENCY = 0.8  # of twice the fetchers: this machine also carries gateway, stores, clients, upstream


class Sample(msgspec.Struct, frozen=True):
    """The artifact queue at one moment."""

    seconds: float  # since the burst
    ready: int
    running: int
    oldest_age_seconds: float


class Burst(msgspec.Struct, frozen=True):
    """How one burst went."""

    seconds: float  # until the last file was complete
    completed: list[float]  # when each was
    samples: list[Sample]
    joined: float = 0.0  # when the second fetcher was ready

    def rate(self, start: float, end: float) -> float:
        """Files completed a second between two moments."""
        return sum(start <= each < end for each in self.completed) / (end - start)


def run(work: Path, root: Path) -> list[Figure]:
    """The figures of the suite; prints a table of its own besides. `root` is not needed."""
    bursts: dict[int, Burst] = {}
    for number in FETCHERS:
        with _orchard(work / f"fetchers-{number}", number) as (upstream, running):
            bursts[number] = asyncio.run(_burst(upstream, running))
    with _orchard(work / "joining", 1) as (upstream, running):
        joined = asyncio.run(_burst(upstream, running, join=True))
    rows: list[tuple[str, ...]] = [
        ("fetchers", "drained in s", "files/s", "limit files/s", "most ready", "oldest s")
    ]
    for number, burst in bursts.items():
        rows.append(_row(str(number), burst, number * SLOTS / LATENCY_SECONDS))
    rows.append(_row("1, then 2", joined, 2 * SLOTS / LATENCY_SECONDS))
    print(f"\n{FILES} cold files at once, upstream takes {LATENCY_SECONDS} s each, {SLOTS} slots a fetcher\n")
    print_rows(rows)
    figures = [
        Figure(
            f"drain with {many} fetchers instead of {few}",
            f"{bursts[few].seconds / bursts[many].seconds:.2f} × faster",
            f"≥ {LEAST_EFFICIENCY * many / few:g} ×",
            bursts[few].seconds / bursts[many].seconds >= LEAST_EFFICIENCY * many / few,
            f"{len(bursts[many].completed)} of {FILES} complete",
        )
        for few, many in ((1, 2), (2, 4))
    ]
    before = joined.rate(1.0, JOIN_AFTER_SECONDS)
    after = joined.rate(joined.joined, joined.joined + 3.0)
    figures.append(
        Figure(
            "a second fetcher joins under load", f"{before:.0f} → {after:.0f} files/s", "≥ 1.4 ×",
            after >= 1.4 * before, f"{len(joined.completed)} of {FILES} complete",
        )
    )  # fmt: skip
    print_figures("Scaling", figures)
    return figures


@contextmanager
def _orchard(folder: Path, fetchers: int) -> Iterator[tuple[Upstream, Cluster]]:
    folder.mkdir(parents=True)
    with (
        Upstream() as upstream,
        cluster(
            folder, upstream, fetchers=fetchers, with_postgres=True, ORCHARD_ARTIFACT_SLOTS=str(SLOTS),
            ORCHARD_REQUEST_TIMEOUT="120", ORCHARD_ACCESS_LOG="false",
        ) as running,
    ):  # fmt: skip
        yield upstream, running


async def _burst(upstream: Upstream, orchard: Cluster, *, join: bool = False) -> Burst:
    """All files at once. With `join` a second fetcher starts some seconds later."""
    files = {f"burst-{number}.0.tar.gz": bytes([number % 256]) * BYTES for number in range(FILES)}
    files = {name: name.encode() + content for name, content in files.items()}
    upstream.add_project("burst", files)
    base = orchard.url("/pypi/simple/burst/")
    links = {each["filename"]: each["url"] for each in orchard.page("burst")["files"]}
    upstream.fault("*", Fault(delay_seconds=LATENCY_SECONDS))
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector, base_url=base) as session:
        started = time.perf_counter()
        samples: list[Sample] = []
        watching = asyncio.create_task(_watch(session, started, samples))
        joining = asyncio.create_task(_join(orchard)) if join else None
        completed: list[float] = []

        async def fetch(name: str) -> None:
            if await _download(session, links[name], files[name]):
                completed.append(time.perf_counter() - started)

        await asyncio.gather(*map(fetch, files))
        seconds = time.perf_counter() - started
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
        joined = await joining - started if joining is not None else 0.0
    return Burst(seconds, completed, samples, joined)


async def _download(session: aiohttp.ClientSession, url: str, content: bytes) -> bool:
    async with session.get(url, timeout=aiohttp.ClientTimeout(total=150)) as answer:
        return answer.status == 200 and await answer.read() == content


async def _watch(session: aiohttp.ClientSession, started: float, samples: list[Sample]) -> None:
    while True:
        asked = time.perf_counter() - started
        async with session.get("/api/v1/queues") as answer:
            if answer.status == 200:
                figures: dict[str, Any] = (await answer.json())["queues"]["artifact"]
                samples.append(
                    Sample(asked, figures["ready"], figures["running"], figures["oldest_age_seconds"])
                )
        await asyncio.sleep(SAMPLE_SECONDS)


async def _join(orchard: Cluster) -> float:
    """The moment at which the second fetcher is ready."""
    await asyncio.sleep(JOIN_AFTER_SECONDS)
    await asyncio.to_thread(orchard.start, "fetcher")
    return time.perf_counter()


def _row(name: str, burst: Burst, limit: float) -> tuple[str, ...]:
    return (
        name,
        f"{burst.seconds:.1f}",
        f"{FILES / burst.seconds:.0f}",
        f"{limit:.0f}",
        str(max((each.ready for each in burst.samples), default=0)),
        f"{max((each.oldest_age_seconds for each in burst.samples), default=0):.1f}",
    )


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name:
        run(Path(name), Path(name))
