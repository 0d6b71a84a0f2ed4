"""Leases: one of all processes has it, for as long as it takes, and no longer than it lives."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest_asyncio

from shared.process.resources import Resources
from shared.redis.client import RedisClient
from shared.redis.lease import lease
from shared.settings import load_settings
from shared.stores import open_stores

KEY = "orchard:leased"


@pytest_asyncio.fixture
async def redis(store_settings: dict[str, str]) -> AsyncIterator[RedisClient]:
    async with Resources() as resources:
        yield (await open_stores(resources, load_settings(store_settings))).queue_redis


async def test_held__nobody_else_has_it__until_it_is_given_back(redis: RedisClient) -> None:
    async with lease(redis, KEY, 60) as first:
        async with lease(redis, KEY, 60) as second:
            assert (first, second) == (True, False)
        async with lease(redis, KEY, 60) as third:
            assert not third, "who did not get it gives nothing back"
    async with lease(redis, KEY, 60) as last:
        assert last


async def test_block_that_takes_longer__is_renewed(redis: RedisClient) -> None:
    async with lease(redis, KEY, 3.0) as is_ours:
        assert is_ours
        async with asyncio.timeout(30):
            before = int(await redis.command("PTTL", KEY))
            while (left := int(await redis.command("PTTL", KEY))) <= before:
                before = left
                await asyncio.sleep(0.02)


async def test_process_that_died__loses_it_by_itself(redis: RedisClient) -> None:
    await redis.command("SET", KEY, "of one that is dead", "PX", 50)

    async def is_ours() -> bool:
        async with lease(redis, KEY, 60) as it:
            return it

    async with asyncio.timeout(30):
        while not await is_ours():
            await asyncio.sleep(0.02)


async def test_somebody_else_s_by_now__is_not_given_back(redis: RedisClient) -> None:
    async with lease(redis, KEY, 60):
        await redis.command("SET", KEY, "of another", "PX", 60_000)
    assert await redis.command("GET", KEY) == b"of another"


async def test_one_that_never_ends__is_nobody_s(redis: RedisClient) -> None:
    await redis.command("SET", KEY, "of a clock that went back")
    async with lease(redis, KEY, 60) as is_ours:
        assert is_ours
