"""Reading ahead, in a whole fetcher: what is fetched before anybody asks, and what never is."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from shared.protocols.pypi.ahead import tool
from shared.queue.jobs import AHEAD, Asker, FetchArtifact, FetchIndex
from tests.services.fetcher.conftest import Fetcher, running_fetcher, sha256
from tests.support.builders import build_wheel
from tests.support.upstream import Fault, Upstream

ASKER = Asker("client", "cp312-manylinux_2_36_x86_64")


def offer(upstream: Upstream, name: str, *requires: str, version: str = "1.0") -> bytes:
    """A project with one wheel; its content."""
    content = build_wheel(name, version, requires=requires)
    upstream.add_project(name, {f"{name}-{version}-py3-none-any.whl": content})
    return content


def page_of(name: str) -> FetchIndex:
    return FetchIndex("pypi", f"simple/{name}", variant="json.gzip", asker=ASKER)


def metadata_of(name: str, content: bytes) -> FetchArtifact:
    return FetchArtifact("pypi", name, sha256(content), f"{name}-1.0-py3-none-any.whl.metadata", asker=ASKER)


def pages_seen(upstream: Upstream) -> set[str]:
    return {each.path.split("/")[2] for each in upstream.seen() if each.path.startswith("/simple/")}


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.01)


async def quiet(fetcher: Fetcher) -> None:
    """Return when no guess waits or runs, and none comes after it."""
    still = 0
    async with asyncio.timeout(20):
        while still < 10:
            depth = (await fetcher.queue.depths([AHEAD]))[AHEAD]
            still = 0 if depth.ready or depth.running else still + 1
            await asyncio.sleep(0.02)


async def test_page__its_likeliest_wheel__metadata_is_fetched_and_waits_to_be_asked_for(
    fetcher: Fetcher,
) -> None:
    content = offer(fetcher.upstream, "demo", "other>=1")
    offer(fetcher.upstream, "other")
    await fetcher.ended(page_of("demo"))
    await until(lambda: bool(fetcher.upstream.seen("/files/demo/demo-1.0-py3-none-any.whl")))
    await quiet(fetcher)
    assert pages_seen(fetcher.upstream) == {"demo"}, "which version is wanted nobody knows yet"
    job = metadata_of("demo", content)
    assert await fetcher.facts(job) is not None
    await fetcher.queue.announce("asked", [job.id])
    await until(lambda: "other" in pages_seen(fetcher.upstream))
