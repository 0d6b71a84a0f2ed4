"""Batches in a real Redis: in order, bounded, removed once."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from shared.ledger.stream import (
    AT_ONCE,
    BYTES,
    STREAM,
    Waiting,
    put_batch,
    read_batches,
    read_waiting,
    remove_all,
    remove_batch,
)
from shared.redis.client import RedisClient
from tests.support.stores import RedisAddress


@pytest.fixture
async def redis(queue_redis: RedisAddress) -> AsyncIterator[RedisClient]:
    client = RedisClient(
        host=queue_redis.host, port=queue_redis.port, password=queue_redis.password, role="queue"
    )
    yield client
    await client.aclose()


async def test_batches__are_read_in_order_and_stay_until_removed(redis: RedisClient) -> None:
    wanted = [bytes([number]) * 5 for number in range(AT_ONCE + 3)]
    for data in wanted:
        assert await put_batch(redis, data)
    first = await read_batches(redis)
    assert [data for _, data in first] == wanted[:AT_ONCE]
    rest = await read_batches(redis, first[-1][0])
    assert [data for _, data in rest] == wanted[AT_ONCE:]
    assert await read_batches(redis) == first
    for entry, data in first:
        await remove_batch(redis, entry, len(data))
        await remove_batch(redis, entry, len(data))  # by another extractor, or after a lost answer
    assert await read_batches(redis) == rest
    assert int(await redis.raw.get(BYTES)) == 15
    await remove_all(redis)
    assert await read_batches(redis) == [] and await redis.raw.get(BYTES) is None


async def test_room__is_bounded_in_bytes(redis: RedisClient) -> None:
    assert await put_batch(redis, b"x" * 60, most_bytes=100)
    assert not await put_batch(redis, b"x" * 60, most_bytes=100)
    (entry,) = await read_batches(redis)
    await remove_batch(redis, entry[0], 60)
    assert await put_batch(redis, b"x" * 600, most_bytes=100), "whatever is larger than the room has it alone"


async def test_count_of_bytes_that_is_wrong__ends_with_the_entries(redis: RedisClient) -> None:
    """A Redis that lost the stream alone, or a count that an older version left."""
    await redis.raw.set(BYTES, 10**9)
    assert await put_batch(redis, b"x" * 60, most_bytes=100)
    assert int(await redis.raw.get(BYTES)) == 60


async def test_state__says_what_waits_and_what_was_lost(redis: RedisClient) -> None:
    assert await read_waiting(redis) == Waiting(0, 0.0, 0)
    await redis.raw.xadd(STREAM, {"batch": b"x"}, id="1000-0")
    await put_batch(redis, b"y", dropped=7)
    await put_batch(redis, b"z", dropped=1)
    found = await read_waiting(redis)
    assert (found.batches, found.dropped) == (3, 8)
    assert found.lag_seconds > 1e9, "since 1970"
