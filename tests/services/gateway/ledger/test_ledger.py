"""The ledger of one gateway: what it puts into a real Redis, and what it does when that is away or full."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from services.gateway.ledger import ledger as module
from services.gateway.ledger.entries import Entry
from services.gateway.ledger.ledger import Ledger
from shared.ledger.batch import REFUSED, Batch, File, decode_batch
from shared.ledger.stream import put_batch, read_batches, read_waiting, remove_all
from shared.redis.client import RedisClient
from tests.support.stores import RedisAddress, address_of, own_redis

SCOPE: dict[str, Any] = {"client": ("192.0.2.7", 4711)}
HEADERS = {b"user-agent": b"pip/24.0 {}"}


def entry(name: str = "flask") -> Entry:
    return Entry(File("pypi", name, "3", f"{name}-3.0.tar.gz", "ab" * 32), 0, "HIT")


def client_of(address: RedisAddress) -> RedisClient:
    return RedisClient(host=address.host, port=address.port, password=address.password, role="queue")


@pytest.fixture
async def redis(queue_redis: RedisAddress) -> AsyncIterator[RedisClient]:
    client = client_of(queue_redis)
    yield client
    await client.aclose()


async def batches(redis: RedisClient) -> list[Batch]:
    return [decode_batch(data) for _, data in await read_batches(redis)]


def no_token(_: bytes) -> str:
    return ""


async def test_like_servings_of_a_second__are_one_row_with_a_count(redis: RedisClient) -> None:
    ledger = Ledger(redis, lambda given: given.decode())
    flask, other = entry(), entry("other")
    for _ in range(3):
        ledger.note(SCOPE, HEADERS, flask, 100, 1000.0)
    ledger.note(SCOPE, HEADERS, other, 10, 1001.0)
    ledger.note(SCOPE, {**HEADERS, b"authorization": b"ci"}, flask, 100, 1002.0)
    ledger.note({"client": None}, {}, flask, 100, 1003.0)
    assert await ledger.flush()
    (batch,) = await batches(redis)
    assert [
        tuple(each.__getattribute__(name) for name in ("address", "token", "tool", "version"))
        for each in batch.clients
    ] == [
        ("192.0.2.7", "", "pip", "24.0"),
        ("192.0.2.7", "ci", "pip", "24.0"),
        ("", "", "", ""),
    ]
    assert [each.project for each in batch.files] == ["flask", "other"]
    assert [(each.at, each.client, each.file, each.times, each.size_bytes) for each in batch.servings] == [
        (1000.0, 0, 0, 3, 300),
        (1001.0, 0, 1, 1, 10),
        (1002.0, 1, 0, 1, 100),
        (1003.0, 2, 0, 1, 100),
    ]
    assert await ledger.flush() and len(await batches(redis)) == 1, "nothing new: no batch"


async def test_addresses__are_left_out_where_they_must_not_be_kept(redis: RedisClient) -> None:
    ledger = Ledger(redis, no_token, addresses=False)
    ledger.note(SCOPE, HEADERS, entry(), 1, 1.0)
    await ledger.flush()
    assert (await batches(redis))[0].clients[0].address == ""


async def test_open_ledger__flushes_by_itself_and_the_rest_when_closed(redis: RedisClient) -> None:
    ledger = Ledger(redis, no_token)
    await ledger.open()
    ledger.note(SCOPE, HEADERS, entry(), 1, 1.0)
    async with asyncio.timeout(20):
        while not await batches(redis):
            await asyncio.sleep(0.05)
    ledger.note(SCOPE, HEADERS, entry(), 1, 2.0)
    await ledger.aclose()
    # One whose answer was lost is sent again, under its number: readers count it once.
    assert {each.number: each.servings[0].at for each in await batches(redis)} == {1: 1.0, 2: 2.0}


async def test_many_servings__wake_the_flush(redis: RedisClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FLUSH_SECONDS", 3600.0)
    ledger = Ledger(redis, no_token)
    await ledger.open()
    for number in range(module.FLUSH_ROWS):
        ledger.note(SCOPE, HEADERS, entry(f"p{number}"), 1, 1.0)
    async with asyncio.timeout(20):
        while not await batches(redis):
            await asyncio.sleep(0.02)
    await ledger.aclose()


async def test_redis_away__batches_wait_in_order_and_come_later(tmp_path: Path) -> None:
    with own_redis(tmp_path, "queue") as server:
        redis = client_of(address_of(server))
        ledger = Ledger(redis, no_token)
        server.kill()
        for at in (1.0, 2.0, 3.0):
            ledger.note(SCOPE, HEADERS, entry(), 1, at)
            assert not await ledger.flush()
        server.start()
        async with asyncio.timeout(20):
            while not await ledger.flush():
                await asyncio.sleep(0.05)
        found = await batches(redis)
        assert [(each.number, each.dropped, each.servings[0].at) for each in found] == [
            (1, 0, 1.0),
            (2, 0, 2.0),
            (3, 0, 3.0),
        ]
        await redis.aclose()


async def test_redis_away_for_long__memory_is_bounded__what_is_dropped_is_counted_and_told(
    tmp_path: Path,
) -> None:
    with own_redis(tmp_path, "queue") as server:
        redis = client_of(address_of(server))
        ledger = Ledger(redis, no_token, most_bytes=400)
        before = module.LEDGER_SERVINGS.labels("dropped")._value.get()
        server.kill()
        for at in range(20):
            ledger.note(SCOPE, HEADERS, entry(), 1, float(at))
            await ledger.flush()
        dropped = module.LEDGER_SERVINGS.labels("dropped")._value.get() - before
        server.start()
        async with asyncio.timeout(20):
            while not await ledger.flush():
                await asyncio.sleep(0.05)
        ledger.note(SCOPE, HEADERS, entry(), 1, 99.0)
        assert await ledger.flush()
        found = await batches(redis)
        assert 0 < dropped < 20
        assert len(found) == 20 - dropped + 1
        assert [each.dropped for each in found] == [0] * (len(found) - 1) + [dropped]
        assert (await read_waiting(redis)).dropped == dropped
        await redis.aclose()


async def test_too_many_servings_in_one_turn__are_dropped_and_told(
    redis: RedisClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_ROWS", 5)
    ledger = Ledger(redis, no_token)
    for number in range(8):
        ledger.note(SCOPE, HEADERS, entry(f"p{number}"), 1, 1.0)
    await ledger.flush()
    (batch,) = await batches(redis)
    assert (len(batch.servings), batch.dropped) == (5, 3)


async def test_redis_full__batches_wait(redis: RedisClient, monkeypatch: pytest.MonkeyPatch) -> None:
    async def put(client: RedisClient, data: bytes, *, dropped: int = 0) -> bool:
        return await put_batch(client, data, dropped=dropped, most_bytes=300)

    monkeypatch.setattr(module, "put_batch", put)
    ledger = Ledger(redis, no_token)
    flushed = []
    for at in range(10):
        ledger.note(SCOPE, HEADERS, entry(), 1, float(at))
        flushed.append(await ledger.flush())
    assert flushed[0] and not flushed[-1]
    numbers: list[int] = []
    while not flushed[-1] or await batches(redis):
        numbers += [each.number for each in await batches(redis)]
        await remove_all(redis)
        flushed.append(await ledger.flush())
    assert numbers == list(range(1, 11))


async def test_put_whose_answer_was_lost__is_repeated_under_its_number(
    redis: RedisClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def put(client: RedisClient, data: bytes, *, dropped: int = 0) -> bool:
        await put_batch(client, data, dropped=dropped)
        raise redis.error("no answer")

    ledger = Ledger(redis, no_token)
    ledger.note(SCOPE, HEADERS, entry(), 1, 1.0)
    with monkeypatch.context() as patch:
        patch.setattr(module, "put_batch", put)
        assert not await ledger.flush()
    ledger.note(SCOPE, HEADERS, entry(), 1, 2.0)
    assert await ledger.flush()
    assert [each.number for each in await batches(redis)] == [1, 1, 2]


async def test_stop_while_redis_is_away__ends_in_time__and_says_what_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LAST_SECONDS", 0.3)
    lost: list[dict[str, Any]] = []
    monkeypatch.setattr(module.log, "warning", lambda event, **said: lost.append({"event": event, **said}))
    with own_redis(tmp_path, "queue") as server:
        redis = client_of(address_of(server))
        ledger = Ledger(redis, no_token)
        await ledger.open()
        server.kill()
        for _ in range(3):
            ledger.note(SCOPE, HEADERS, entry(), 1, 1.0)
        await ledger.aclose()
        assert lost == [{"event": "servings_lost", "servings": 3}]
        await redis.aclose()


async def test_refused__many_alike__one_row(redis: RedisClient) -> None:
    ledger = Ledger(redis, no_token)
    for _ in range(3):  # each request makes an entry of its own
        refused = Entry(File("pypi", "flask", "3", "flask-3.0.tar.gz", ""), REFUSED, "NONE", "blocked")
        ledger.note(SCOPE, HEADERS, refused, 0, 1.0)
    assert await ledger.flush()
    (batch,) = await batches(redis)
    assert len(batch.files) == 1 and [each.times for each in batch.servings] == [3]
