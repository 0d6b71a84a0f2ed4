"""Purges of an edge that is there, away, and back; with a real Redis, and an edge on loopback."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from aiohttp import web

from services.gateway.edge import purger
from services.gateway.edge.purger import EdgePurger
from services.gateway.serving.surrogate_keys import EVERYTHING, key_name, project_name
from shared.policy.rules import AgeRule, Block, Exemption, Rules
from shared.redis.client import RedisClient
from tests.support.stores import RedisAddress

TOKEN = "an-edge-token-of-tests"


class FakeEdge:
    """Notes what it is asked to forget."""

    def __init__(self) -> None:
        self.status = 200
        self.asked: list[set[str]] = []
        self.came = asyncio.Event()
        self.address = ""

    async def answer(self, request: web.BaseRequest) -> web.Response:
        assert request.method == "PURGE" and TOKEN not in str(request.url)
        assert request.headers["authorization"] == f"Bearer {TOKEN}"
        self.asked.append(set(request.headers["surrogate-key"].split(" ")))
        self.came.set()
        return web.Response(status=self.status)

    async def until(self, name: str, times: int = 1) -> None:
        async with asyncio.timeout(20):
            while sum(name in each for each in self.asked) < times:
                self.came.clear()
                await self.came.wait()


@pytest_asyncio.fixture
async def redis(cache_redis: RedisAddress) -> AsyncIterator[RedisClient]:
    client = RedisClient(
        host=cache_redis.host, port=cache_redis.port, password=cache_redis.password, role="cache"
    )
    yield client
    await client.aclose()


@pytest_asyncio.fixture
async def edge() -> AsyncIterator[FakeEdge]:
    fake = FakeEdge()
    runner = web.ServerRunner(web.Server(fake.answer))
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    fake.address = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield fake
    await runner.cleanup()


@pytest_asyncio.fixture
async def running(redis: RedisClient, edge: FakeEdge) -> AsyncIterator[EdgePurger]:
    found = EdgePurger(redis, [edge.address], TOKEN)
    await found.open()
    await edge.until(EVERYTHING, 2)
    edge.asked.clear()
    yield found
    await found.aclose()


async def test_start__edge_forgets_everything(running: EdgePurger) -> None:
    """What the fixture waits for."""


async def test_page_changes__it_alone_is_purged_twice(
    running: EdgePurger, edge: FakeEdge, redis: RedisClient
) -> None:
    key = "orchard:package_index:pypi:simple/demo"
    await redis.raw.set(key, b"x")
    await redis.raw.set(f"{key}:v:json.gzip", b"x")
    await edge.until(key_name(key), 2)
    assert set().union(*edge.asked) == {key_name(key)}


async def test_sources_written_again__purge_their_protocol_only_where_they_differ(
    running: EdgePurger, edge: FakeEdge, redis: RedisClient
) -> None:
    key, page = "orchard:upstream_sources:npm:revision", "orchard:package_index:pypi:simple/last"
    await redis.raw.set(key, b"7")
    await edge.until("npm", 2)
    edge.asked.clear()
    await redis.raw.set(key, b"7")
    await redis.raw.set(page, b"x")
    await edge.until(key_name(page), 2)
    assert not any("npm" in each for each in edge.asked)


async def test_blocks_change__the_projects_of_the_difference_are_purged(
    running: EdgePurger, edge: FakeEdge
) -> None:
    first, second = Block(1, "", "pypi", "one"), Block(2, "", "pypi", "two")
    running.blocks_changed([first])
    await edge.until(project_name("pypi", "one"))
    running.blocks_changed([first, second])
    await edge.until(project_name("pypi", "two"))
    running.blocks_changed([second])
    await edge.until(project_name("pypi", "one"), 3)
    running.blocks_changed([second, Block(3, "", sha256="ab")])
    await edge.until(EVERYTHING)


async def test_rules_change__everything(running: EdgePurger, edge: FakeEdge) -> None:
    rules = Rules({"": AgeRule(7.0)})
    running.blocks_changed([], rules)
    await edge.until(EVERYTHING)
    edge.asked.clear()
    exempt = Exemption(1, "", "pypi", "one")
    running.blocks_changed([exempt], rules)
    await edge.until(project_name("pypi", "one"))
    assert not any(EVERYTHING in each for each in edge.asked)


async def test_edge_refuses__asked_to_forget_everything_until_it_does(
    running: EdgePurger, edge: FakeEdge, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(purger, "RETRY_SECONDS", 0.01)
    edge.status = 503
    running.blocks_changed([Block(1, "", "pypi", "one")])
    await edge.until(EVERYTHING, 3)
    edge.status = 200
    edge.asked.clear()
    await edge.until(EVERYTHING, 2)


async def test_more_names_than_are_kept__everything(
    running: EdgePurger, edge: FakeEdge, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(purger, "MOST_NAMES", 3)
    running.blocks_changed([Block(n, "", "pypi", f"p{n}") for n in range(9)])
    await edge.until(EVERYTHING, 2)
    assert len(edge.asked) == 2


async def test_advisories_change__their_projects_are_purged_in_every_spelling_or_everything(
    running: EdgePurger, edge: FakeEdge
) -> None:
    running.advisories_changed("one", frozenset({("cargo", "my-crate"), ("npm", "x")}))
    names = {("cargo", "my-crate"), ("cargo", "my_crate"), ("npm", "x")}
    for each in names:
        await edge.until(project_name(*each), 2)
    assert not any(EVERYTHING in each for each in edge.asked)
    edge.asked.clear()
    running.advisories_changed("one", None)
    running.advisories_changed("two", None)
    await edge.until(EVERYTHING, 2)
