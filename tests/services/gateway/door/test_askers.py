"""Jobs say for whom they are started, and requests for what was fetched ahead are told."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from services.gateway.door.askers import Askers
from shared.protocols.resource import Resource
from shared.queue.context import JobContext
from shared.queue.events import Event
from shared.queue.jobs import Asker, FetchIndex
from tests.services.gateway.conftest import Stores
from tests.services.gateway.fake_fetcher import FakeFetcher
from tests.support.gateway import GatewayProcess, RawResponse, running_gateway

JSON = "application/vnd.pypi.simple.v1+json"
LIBC = {"lib": "glibc", "version": "2.36"}
MACHINE = {
    "python": "3.12.3",
    "implementation": {"name": "CPython"},
    "distro": {"libc": LIBC},
    "system": {"name": "Linux"},
    "cpu": "x86_64",
}
UV = f"uv/0.9.1 {json.dumps(MACHINE)}"


async def get(gateway: GatewayProcess, project: str, agent: str = UV) -> RawResponse:
    headers = {"accept": JSON, "user-agent": agent}
    return await asyncio.to_thread(gateway.request, f"/pypi/simple/{project}/", **headers)


@asynccontextmanager
async def telling(stores: Stores) -> AsyncIterator[asyncio.Queue[Event]]:
    """What is told of no job in particular."""
    heard: asyncio.Queue[Event] = asyncio.Queue()
    listener = stores.queue.subscribe()
    await listener.open()
    listener.register("", heard.put_nowait)
    try:
        yield heard
    finally:
        await listener.aclose()


async def asked(heard: asyncio.Queue[Event]) -> tuple[str, ...]:
    async with asyncio.timeout(30):
        while (event := await heard.get()).kind != "asked":
            pass
    return event.ids


async def _asker(gateway: GatewayProcess, stores: Stores, agent: str) -> Asker | None:
    seen: list[Asker | None] = []

    async def fetch(ctx: JobContext, job: FetchIndex) -> None:
        seen.append(job.asker)
        await stores.put_index("flask", generation=ctx.generation)
        await ctx.publish("done")

    async with FakeFetcher(stores) as fetcher:
        fetcher.index_handler = fetch
        assert (await get(gateway, "flask", agent)).status == 200
    return seen[0]


async def test_job__of_uv__says_who_asks_and_for_which_environment(
    gateway: GatewayProcess, stores: Stores
) -> None:
    asker = await _asker(gateway, stores, UV)
    assert asker is not None and asker.tool == "cp312-manylinux_2_36_x86_64"
    assert asker.client and "127.0.0.1" not in asker.client


@pytest.mark.parametrize("agent", ["curl/8.5", "x" * 5000])
async def test_job__of_nobody_who_resolves__says_nothing(
    gateway: GatewayProcess, stores: Stores, agent: str
) -> None:
    assert await _asker(gateway, stores, agent) is None


async def test_job__read_ahead_is_off__says_nothing(
    store_settings: dict[str, str], stores: Stores, tmp_path: Path
) -> None:
    with running_gateway(store_settings | {"ORCHARD_READ_AHEAD": "off"}, tmp_path) as gateway:
        assert await _asker(gateway, stores, UV) is None


async def test_guess__was_fetched_and_is_asked_for__is_told_once(
    gateway: GatewayProcess, stores: Stores
) -> None:
    for project in ("flask", "other"):
        await stores.put_index(project)
    async with telling(stores) as heard:
        assert (await get(gateway, "flask")).headers["x-cache"] == "HIT"  # in its memory
        await stores.queue.announce("ahead", ["index:pypi:simple/flask", "index:pypi:simple/other"])
        await stores.put_index("flask")
        await heard.get()
        await asyncio.sleep(0.2)  # heard there too
        assert (await get(gateway, "flask")).headers["x-cache"] == "HIT"
        assert await asked(heard) == ("index:pypi:simple/flask",)
        await get(gateway, "flask")
        await get(gateway, "other")
        assert await asked(heard) == ("index:pypi:simple/other",)


async def test_guess__is_asked_for_while_another_is_told__is_told_too() -> None:
    tellings: asyncio.Queue[tuple[list[str], asyncio.Event]] = asyncio.Queue()

    class SlowQueue:
        async def announce(self, kind: str, ids: list[str]) -> None:
            there = asyncio.Event()
            tellings.put_nowait((ids, there))
            await there.wait()

    unused: Any = None
    queue: Any = SlowQueue()
    askers = Askers(queue, unused, unused, is_waited_for=lambda _: False, is_on=True)
    async with asyncio.timeout(30):
        for name in ("one", "two"):
            askers.known.put(f"index:pypi:simple/{name}", True)
        askers.note(Resource("pypi", "index", "simple/one"))
        ids, there = await tellings.get()
        assert ids == ["index:pypi:simple/one"]
        askers.note(Resource("pypi", "index", "simple/two"))
        there.set()
        ids, there = await tellings.get()
        assert ids == ["index:pypi:simple/two"]
        there.set()


async def test_guess__is_waited_for_when_it_is_told__is_asked_for(
    gateway: GatewayProcess, stores: Stores
) -> None:
    begun, told = asyncio.Event(), asyncio.Event()

    async def fetch(ctx: JobContext, job: FetchIndex) -> None:
        begun.set()
        await told.wait()
        await stores.put_index("flask", generation=ctx.generation)
        await ctx.publish("done")

    async with telling(stores) as heard, FakeFetcher(stores) as fetcher:
        fetcher.index_handler = fetch
        waiting = asyncio.create_task(get(gateway, "flask"))
        await begun.wait()
        await stores.queue.announce("ahead", ["index:pypi:simple/flask"])
        assert await asked(heard) == ("index:pypi:simple/flask",)
        told.set()
        assert (await waiting).status == 200
