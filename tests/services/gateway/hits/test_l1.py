"""The gateway's in-process cache against a real Redis: never wrong while connected, honest when not."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from pathlib import Path

import pytest
import pytest_asyncio

from services.gateway.hits import l1 as l1_module
from services.gateway.hits.l1 import L1Cache
from services.standalone.redis_server import EmbeddedRedis
from shared.cache.keys import PREFIX, Category, cache_key, head_key, revision_key, variant_key
from shared.cache.service import CacheService
from shared.errors.passing import CacheUnavailable
from shared.models import FORMAT, FileName, IndexHead, StoredFile, VariantInfo
from shared.redis.client import RedisClient
from shared.settings import Settings
from tests.support.freezing import freeze
from tests.support.stores import RedisAddress, address_of, own_redis

PAGE = ("pypi", "simple/flask")
JSON = "json.gzip"
KEY = cache_key(Category.PACKAGE_VERSIONS, "pypi", "flask")
FACTS = StoredFile("ab" * 32, 5, "application/zip", "artifacts/ab", "f.whl")
MEGABYTE = 1024 * 1024


def client_of(address: RedisAddress) -> RedisClient:
    return RedisClient(host=address.host, port=address.port, password=address.password, role="cache")


@pytest_asyncio.fixture
async def redis(cache_redis: RedisAddress) -> AsyncIterator[RedisClient]:
    client = client_of(cache_redis)
    yield client
    await client.aclose()


@pytest_asyncio.fixture
async def other(cache_redis: RedisAddress) -> AsyncIterator[CacheService]:
    """Another process that writes."""
    client = client_of(cache_redis)
    yield CacheService.from_settings(client, Settings())
    await client.aclose()


@pytest_asyncio.fixture
async def l1(redis: RedisClient) -> AsyncIterator[L1Cache]:
    l1 = L1Cache(redis, max_bytes=MEGABYTE)
    await l1.open()
    assert l1.connected
    yield l1
    await l1.aclose()


@pytest.fixture
def cache(redis: RedisClient, l1: L1Cache) -> CacheService:
    return CacheService.from_settings(redis, Settings(), reader=l1)


@pytest.fixture
def own(tmp_path: Path) -> Iterator[EmbeddedRedis]:
    """A server that the test may freeze or kill."""
    with own_redis(tmp_path / "redis", "cache") as server:
        yield server
        os.kill(server.pid, signal.SIGCONT)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(15):
        while not condition():
            await asyncio.sleep(0.01)


async def tracking_ids(redis: RedisClient) -> set[str]:
    """The connections that Redis tells of changed keys (redis.io, CLIENT LIST: flag "t")."""
    clients: list[dict[str, str]] = await redis.raw.client_list()
    return {client["id"] for client in clients if "t" in client["flags"]}


async def kill_tracking(redis: RedisClient) -> None:
    for each in await tracking_ids(redis):
        await redis.raw.client_kill_filter(_id=each)


async def reconnected(l1: L1Cache, redis: RedisClient) -> None:
    """Wait until it follows again, after `kill_tracking`."""
    async with asyncio.timeout(15):
        while not (l1.connected and await tracking_ids(redis)):
            await asyncio.sleep(0.01)


def head_of(generation: int, *names: str) -> IndexHead:
    now = time.time()
    variants = {name: VariantInfo(f'"{generation}"', 4, "application/json") for name in names or (JSON,)}
    return IndexHead(FORMAT, 200, generation, 1, 1, now, now + 300, variants=variants)


async def write_page(cache: CacheService, generation: int) -> None:
    assert await cache.write_index(*PAGE, head_of(generation), {JSON: b"body %d" % generation})


async def settled(l1: L1Cache, redis: RedisClient) -> None:
    """Wait until memory was told of all that was written before this call."""
    marker = f"{PREFIX}marker"
    arrived = asyncio.Event()
    told = l1._stream._on_change

    def spy(keys: list[str]) -> None:
        told(keys)
        if marker in keys:
            arrived.set()

    l1._stream._on_change = spy
    try:
        await redis.raw.set(marker, "x")
        await asyncio.wait_for(arrived.wait(), 10)
    finally:
        l1._stream._on_change = told


class CountingDecoder:
    """Decodes to the upper case and counts."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, raw: bytes) -> bytes:
        self.calls += 1
        return raw.upper()


# --- filling and forgetting -------------------------------------------------------------------


async def test_get_many__read_once__is_answered_from_memory(l1: L1Cache, redis: RedisClient) -> None:
    await redis.raw.set(KEY, "1")
    await settled(l1, redis)
    assert await l1.get_many([KEY]) == [b"1"]
    calls = redis.batcher.calls

    assert await l1.get_many([KEY, KEY]) == [b"1", b"1"]
    assert l1.peek(KEY) == b"1"
    assert redis.batcher.calls == calls


async def test_get_many__some_held_some_not__keeps_the_order(l1: L1Cache, redis: RedisClient) -> None:
    names = [f"{KEY}{i}" for i in range(4)]
    await redis.raw.mset({names[0]: "0", names[2]: "2", names[3]: "3"})
    await settled(l1, redis)
    await l1.get_many([names[2]])
    assert await l1.get_many(names) == [b"0", None, b"2", b"3"]


@pytest.mark.parametrize(
    "command", [("SET", KEY, "2"), ("DEL", KEY), ("PEXPIRE", KEY, "1"), ("RENAME", KEY, "x")]
)
async def test_change__by_another_process__is_seen(
    l1: L1Cache, redis: RedisClient, other: CacheService, command: tuple[str, ...]
) -> None:
    await redis.raw.set(KEY, "1")
    await settled(l1, redis)
    await l1.get_many([KEY])
    assert l1.holds(KEY)

    await other._redis.raw.execute_command(*command)  # type: ignore[no-untyped-call]

    await until(lambda: not l1.holds(KEY))


async def test_expiry__in_redis__is_seen(l1: L1Cache, redis: RedisClient) -> None:
    await redis.raw.set(KEY, "1", px=50)
    assert await l1.get_many([KEY]) == [b"1"]
    await until(lambda: not l1.holds(KEY))


@pytest.mark.parametrize("command", ["FLUSHALL", "FLUSHDB"])
async def test_flush__drops_everything_and_spoils_fills(
    l1: L1Cache, redis: RedisClient, command: str
) -> None:
    await redis.raw.set(KEY, "1")
    await settled(l1, redis)
    await l1.get_many([KEY])
    assert l1.holds(KEY)

    await redis.raw.execute_command(command)  # type: ignore[no-untyped-call]

    await until(lambda: not l1.holds(KEY))
    assert len(l1) == 0
    assert l1.used_bytes == 0


async def test_keys_outside_the_prefix__of_which_nobody_tells_us__are_not_kept(
    l1: L1Cache, redis: RedisClient
) -> None:
    for name in ("other:package_versions:pypi:a", "orchard:unknown:pypi:a", "package_versions"):
        await redis.raw.set(name, "1")
        assert await l1.get_many([name]) == [b"1"]
        assert not l1.holds(name)


# --- the race between a fill and a change -----------------------------------------------------


class HeldBack:
    """`RedisClient.get_many` whose reply is read at once and delivered when the test says so."""

    def __init__(self, redis: RedisClient) -> None:
        self.redis = redis
        self.read = asyncio.Event()
        self.deliver = asyncio.Event()

    async def get_many(self, keys: Sequence[str]) -> list[bytes | None]:
        values = await self.redis.get_many(keys)
        self.read.set()
        await self.deliver.wait()
        return values


@pytest_asyncio.fixture
async def race(l1: L1Cache, redis: RedisClient) -> HeldBack:
    held = HeldBack(redis)
    l1._redis = held  # type: ignore[assignment]
    return held


@pytest.mark.parametrize("command", [("SET", KEY, "new"), ("FLUSHALL",)])
async def test_fill__the_key_changes_between_read_and_reply__is_discarded(
    l1: L1Cache, redis: RedisClient, race: HeldBack, command: tuple[str, ...]
) -> None:
    await redis.raw.set(KEY, "old")
    await settled(l1, redis)
    fill = asyncio.create_task(l1.get_many([KEY]))
    await race.read.wait()

    await redis.raw.execute_command(*command)  # type: ignore[no-untyped-call]
    await until(lambda: not l1._pending)
    race.deliver.set()

    assert await fill == [b"old"], "the caller asked before the change"
    assert not l1.holds(KEY)


async def test_fill__nothing_changes__is_kept(l1: L1Cache, redis: RedisClient, race: HeldBack) -> None:
    await redis.raw.set(KEY, "old")
    await settled(l1, redis)
    race.deliver.set()
    await l1.get_many([KEY])
    assert l1.holds(KEY)


async def test_fill__the_tracking_connection_is_lost_meanwhile__is_discarded(
    l1: L1Cache, redis: RedisClient, race: HeldBack
) -> None:
    await redis.raw.set(KEY, "old")
    await settled(l1, redis)
    fill = asyncio.create_task(l1.get_many([KEY]))
    await race.read.wait()

    await kill_tracking(redis)
    await reconnected(l1, redis)
    race.deliver.set()
    await fill

    assert not l1.holds(KEY)


async def test_fill__ends_while_nobody_tells_of_changes__is_discarded(
    l1: L1Cache, redis: RedisClient, race: HeldBack, monkeypatch: pytest.MonkeyPatch
) -> None:
    await redis.raw.set(KEY, "old")
    await settled(l1, redis)
    fill = asyncio.create_task(l1.get_many([KEY]))
    await race.read.wait()
    monkeypatch.setattr("services.gateway.hits.tracking.RECONNECT_SECONDS", 60.0)
    await kill_tracking(redis)
    await until(lambda: not l1.connected)
    race.deliver.set()

    assert await fill == [b"old"]
    assert not l1.holds(KEY)


async def test_fill__the_caller_is_cancelled__leaves_nothing_pending(
    l1: L1Cache, redis: RedisClient, race: HeldBack
) -> None:
    fill = asyncio.create_task(l1.get_many([KEY]))
    await race.read.wait()
    fill.cancel()
    await asyncio.gather(fill, return_exceptions=True)
    assert not l1._pending


async def test_writers_race_with_readers__once_quiet_memory_equals_redis(
    l1: L1Cache, redis: RedisClient, other: CacheService
) -> None:
    keys = [f"{KEY}{i}" for i in range(8)]

    async def writer(start: int) -> None:
        for i in range(150):
            await other._redis.raw.set(keys[(start + i) % 8], str(start * 1000 + i))

    async def reader() -> None:
        while not all(task.done() for task in writers):
            await l1.get_many(keys)

    writers = [asyncio.create_task(writer(start)) for start in range(4)]
    await asyncio.gather(*writers, *(reader() for _ in range(4)))
    await settled(l1, redis)

    assert await l1.get_many(keys) == await redis.get_many(keys)
    assert all(l1.holds(key) for key in keys)


# --- what is kept -------------------------------------------------------------------------------


async def test_bytes__more_than_allowed__push_out_the_least_recently_used(redis: RedisClient) -> None:
    l1 = L1Cache(redis, max_bytes=300_000)
    await l1.open()
    keys = [f"{KEY}{i}" for i in range(40)]
    await redis.raw.mset(dict.fromkeys(keys, "x" * 10_000))
    await settled(l1, redis)
    for key in keys:
        await l1.get_many([key])
        await l1.get_many([keys[0]])  # used all the time

    assert l1.used_bytes <= 300_000
    assert l1.evictions > 0
    assert l1.holds(keys[0])
    assert l1.holds(keys[-1])
    assert not l1.holds(keys[1])
    await l1.aclose()


async def test_value__too_large_a_share__is_not_kept(l1: L1Cache, redis: RedisClient) -> None:
    await redis.raw.set(KEY, "x" * (MEGABYTE // 8))
    assert len((await l1.get_many([KEY]))[0] or b"") == MEGABYTE // 8
    assert not l1.holds(KEY)


async def test_absence__of_a_revision_or_variant__is_remembered_until_it_appears(
    l1: L1Cache, redis: RedisClient
) -> None:
    for key in (revision_key("pypi"), variant_key(head_key(*PAGE), JSON)):
        assert await l1.get_many([key]) == [None]
        assert l1.holds(key)
        assert l1.peek(key) is None

        await redis.raw.set(key, "1")
        await until(lambda key=key: not l1.holds(key))  # type: ignore[misc]
        assert await l1.get_many([key]) == [b"1"]


async def test_absence__of_a_head_or_facts__is_not_remembered(l1: L1Cache) -> None:
    for key in (head_key(*PAGE), cache_key(Category.ARTIFACT_METADATA, "pypi", "a/b/c")):
        assert await l1.get_many([key]) == [None]
        assert not l1.holds(key)


async def test_lifetime__of_a_page__ends_although_nothing_changed(
    l1: L1Cache, redis: RedisClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    facts_key = cache_key(Category.ARTIFACT_METADATA, "pypi", "a/b/c")
    await redis.raw.mset({head_key(*PAGE): "1", facts_key: "2"})
    await settled(l1, redis)
    await l1.get_many([head_key(*PAGE), facts_key])
    assert l1.holds(head_key(*PAGE))

    later = time.monotonic() + 3601
    monkeypatch.setattr(l1_module, "monotonic", lambda: later)

    assert not l1.holds(head_key(*PAGE))
    assert l1.holds(facts_key), "a sealed fact stays"


async def test_still__the_very_values_that_are_held__and_only_while_changes_are_told(
    l1: L1Cache, redis: RedisClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    absent = revision_key("pypi")
    await redis.raw.set(KEY, "5")
    await settled(l1, redis)
    await l1.get_many([KEY, absent])
    held = l1.peek(KEY)
    assert l1.still(((KEY, held), (absent, None)))
    assert not l1.still(((KEY, bytes(bytearray(b"5"))), (absent, None))), "equal is not the same"
    assert not l1.still(((KEY, held), (absent, held))), "known to have no value"
    assert not l1.still(((KEY, held), (revision_key("npm"), None))), "nobody knows whether it has one"
    monkeypatch.setattr(l1._stream, "connected", False)
    assert not l1.still(((KEY, held),))
    monkeypatch.undo()
    later = time.monotonic() + 3601
    monkeypatch.setattr(l1_module, "monotonic", lambda: later)
    assert not l1.still(((KEY, held),)), "its time is over"


async def test_peek_decoded__asked_again__is_decoded_once(l1: L1Cache, redis: RedisClient) -> None:
    decode = CountingDecoder()
    assert l1.peek_decoded(KEY, decode) is None
    await redis.raw.set(KEY, "abc")
    await settled(l1, redis)
    await l1.get_many([KEY])
    assert [l1.peek_decoded(KEY, decode) for _ in range(5)] == [b"ABC"] * 5
    assert decode.calls == 1


async def test_size_zero__keeps_nothing_and_is_never_stale(redis: RedisClient) -> None:
    l1 = L1Cache(redis, max_bytes=0)
    await l1.open()
    cache = CacheService.from_settings(redis, Settings(), reader=l1)
    await write_page(cache, 10)
    read = await cache.read_index(*PAGE, JSON)
    assert read.body == b"body 10"
    assert read.verified
    assert l1.connected
    assert len(l1) == 0
    assert cache.peek_index(*PAGE, JSON) is None
    await l1.aclose()


# --- under CacheService -----------------------------------------------------------------------------


async def test_read_index__second_time__asks_nothing_and_decodes_nothing(
    cache: CacheService, l1: L1Cache, redis: RedisClient
) -> None:
    await write_page(cache, 10)
    await settled(l1, redis)
    first = await cache.read_index(*PAGE, JSON)
    calls = redis.batcher.calls

    second = await cache.read_index(*PAGE, JSON)
    peeked = cache.peek_index(*PAGE, JSON)

    assert redis.batcher.calls == calls
    assert second.head is first.head
    assert peeked is not None
    assert peeked.head is first.head
    assert peeked.body is second.body
    assert (peeked.body, peeked.revision, peeked.verified) == (b"body 10", 0, True)
    assert cache.hits[Category.PACKAGE_INDEX] == 3


async def test_peek_index__nothing_or_not_all_in_memory__is_none(cache: CacheService) -> None:
    assert cache.peek_index(*PAGE, JSON) is None
    await write_page(cache, 10)
    await cache.read_index(*PAGE, "")
    assert cache.peek_index(*PAGE, JSON) is None, "the body was not read yet"


async def test_peek_index__a_body_in_the_object_store__is_answered_with_the_head(
    cache: CacheService, l1: L1Cache, redis: RedisClient
) -> None:
    apart = {JSON: VariantInfo('"a"', 300_000, "application/json", object_key="variants/a")}
    head = IndexHead(FORMAT, 200, 10, 1, 1, 1.0, 2.0, variants=apart)
    await cache.write_index(*PAGE, head, {})
    await settled(l1, redis)
    await cache.read_index(*PAGE, JSON)
    peeked = cache.peek_index(*PAGE, JSON)
    assert peeked is not None
    assert peeked.head is not None
    assert peeked.head.variants == apart
    assert peeked.body is None


async def test_peek_index__the_page_is_written_by_another__is_gone_then_new(
    cache: CacheService, other: CacheService, l1: L1Cache, redis: RedisClient
) -> None:
    await write_page(other, 10)
    await settled(l1, redis)
    await cache.read_index(*PAGE, JSON)
    assert cache.peek_index(*PAGE, JSON) is not None
    await write_page(other, 11)
    await until(lambda: cache.peek_index(*PAGE, JSON) is None)
    assert (await cache.read_index(*PAGE, JSON)).body == b"body 11"


async def test_read_index__the_source_revision_rises__is_seen_in_memory(
    cache: CacheService, other: CacheService, l1: L1Cache, redis: RedisClient
) -> None:
    await write_page(other, 10)
    await settled(l1, redis)
    assert (await cache.read_index(*PAGE, JSON)).revision == 0
    assert cache.peek_index(*PAGE, JSON) is not None
    await other.raise_revision("pypi", 2)
    await until(lambda: cache.peek_index(*PAGE, JSON) is None)
    assert (await cache.read_index(*PAGE, JSON)).revision == 2


async def test_read_index__direct__sees_a_write_whose_message_is_still_on_its_way(
    cache: CacheService, other: CacheService, l1: L1Cache, redis: RedisClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    await write_page(other, 10)
    await settled(l1, redis)
    await cache.read_index(*PAGE, JSON)
    monkeypatch.setattr(l1._stream, "_on_change", lambda keys: None)  # it does not arrive
    await write_page(other, 11)

    assert (await cache.read_index(*PAGE, JSON)).body == b"body 10"
    assert (await cache.read_index(*PAGE, JSON, direct=True)).body == b"body 11"


async def test_read_index__a_head_in_memory_older_than_the_body_in_redis__both_are_read_again(
    cache: CacheService, other: CacheService, l1: L1Cache, redis: RedisClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    await write_page(other, 10)
    await settled(l1, redis)
    await cache.read_index(*PAGE, "")  # the head alone is held
    monkeypatch.setattr(l1._stream, "_on_change", lambda keys: None)  # the news are on their way
    await write_page(other, 11)

    read = await cache.read_index(*PAGE, JSON)

    assert read.head is not None
    assert (read.head.generation, read.body) == (11, b"body 11")
    assert cache.peek_index(*PAGE, JSON) is None


async def test_peek_facts__read_once__are_in_memory(
    cache: CacheService, l1: L1Cache, redis: RedisClient
) -> None:
    assert cache.peek_facts(FileName("pypi", "a", "b", "c")) is None
    await cache.write_facts(FileName("pypi", "a", "b", "c"), FACTS)
    await settled(l1, redis)
    assert await cache.read_facts(FileName("pypi", "a", "b", "c")) == FACTS
    assert cache.peek_facts(FileName("pypi", "a", "b", "c")) == FACTS


# --- without news from Redis -------------------------------------------------------------------------


async def test_tracking_connection__killed__everything_is_dropped_on_the_next(
    l1: L1Cache, redis: RedisClient
) -> None:
    facts_key = cache_key(Category.ARTIFACT_METADATA, "pypi", "a/b/c")
    await redis.raw.mset({KEY: "1", facts_key: "2"})
    await settled(l1, redis)
    await l1.get_many([KEY, facts_key])

    await kill_tracking(redis)

    await reconnected(l1, redis)
    assert len(l1) == 0
    await redis.raw.set(KEY, "3")
    assert await l1.get_many([KEY]) == [b"3"]


async def test_disconnected__redis_answers__pages_are_read_there_and_nothing_is_filled(
    l1: L1Cache, cache: CacheService, other: CacheService, redis: RedisClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    await write_page(other, 10)
    await other.write_facts(FileName("pypi", "a", "b", "c"), FACTS)
    await settled(l1, redis)
    await cache.read_index(*PAGE, JSON)
    await cache.read_facts(FileName("pypi", "a", "b", "c"))
    monkeypatch.setattr("services.gateway.hits.tracking.RECONNECT_SECONDS", 60.0)
    await kill_tracking(redis)
    await until(lambda: not l1.connected)
    await write_page(other, 11)

    read = await cache.read_index(*PAGE, JSON)

    assert read.body == b"body 11"
    assert read.verified, "Redis itself said so"
    assert cache.peek_index(*PAGE, JSON) is None
    assert l1.peek(variant_key(head_key(*PAGE), JSON)) is not None, "kept for the case that Redis is gone"
    calls = redis.batcher.calls
    assert await cache.read_facts(FileName("pypi", "a", "b", "c")) == FACTS
    assert cache.peek_facts(FileName("pypi", "a", "b", "c")) == FACTS
    assert redis.batcher.calls == calls, "sealed facts need no verification"
    await other.set(Category.PACKAGE_VERSIONS, "pypi", "flask", b"1")
    assert await l1.get_many([KEY]) == [b"1"]
    assert not l1.holds(KEY)


async def test_frozen_redis__held_pages_are_served_unverified_others_fail_then_all_recovers(
    own: EmbeddedRedis,
) -> None:
    redis = client_of(address_of(own))
    l1 = L1Cache(redis, max_bytes=MEGABYTE)
    await l1.open()
    cache = CacheService.from_settings(redis, Settings(), reader=l1)
    await write_page(cache, 10)
    await cache.write_facts(FileName("pypi", "a", "b", "c"), FACTS)
    await settled(l1, redis)
    assert (await cache.read_index(*PAGE, JSON)).verified
    await cache.read_facts(FileName("pypi", "a", "b", "c"))

    freeze(own.pid)
    assert cache.peek_index(*PAGE, JSON) is not None, "nobody can know yet"
    await until(lambda: not l1.connected)

    read = await cache.read_index(*PAGE, JSON)
    assert (read.body, read.verified) == (b"body 10", False)
    assert cache.peek_index(*PAGE, JSON) is None
    assert cache.peek_facts(FileName("pypi", "a", "b", "c")) == FACTS
    assert await cache.read_facts(FileName("pypi", "a", "b", "c")) == FACTS
    with pytest.raises(CacheUnavailable):
        await cache.read_index("pypi", "simple/other", JSON)
    assert not redis.available
    with pytest.raises(CacheUnavailable):
        await cache.read_facts(FileName("pypi", "x", "y", "z"))

    os.kill(own.pid, signal.SIGCONT)
    await until(lambda: l1.connected and redis.available)
    assert len(l1) == 0
    read = await cache.read_index(*PAGE, JSON)
    assert (read.body, read.verified) == (b"body 10", True)
    assert cache.peek_index(*PAGE, JSON) is not None
    await l1.aclose()
    await redis.aclose()


async def test_frozen_redis__the_revision_was_just_forgotten__the_page_is_still_served_unverified(
    own: EmbeddedRedis,
) -> None:
    redis = client_of(address_of(own))
    l1 = L1Cache(redis, max_bytes=MEGABYTE)
    await l1.open()
    cache = CacheService.from_settings(redis, Settings(), reader=l1)
    await write_page(cache, 10)
    await settled(l1, redis)
    await cache.read_index(*PAGE, JSON)
    await cache.raise_revision("pypi", 1)
    await until(lambda: not l1.holds(revision_key("pypi")))
    freeze(own.pid)

    read = await cache.read_index(*PAGE, JSON)

    assert (read.body, read.revision, read.verified) == (b"body 10", 0, False)
    await l1.aclose()
    await redis.aclose()


async def test_open__redis_is_away__serves_when_it_comes(own: EmbeddedRedis) -> None:
    own.stop()
    redis = client_of(address_of(own))
    l1 = L1Cache(redis, max_bytes=MEGABYTE)
    await l1.open()
    assert not l1.connected
    with pytest.raises(CacheUnavailable):
        await l1.get_many([KEY])

    own.start()

    await until(lambda: l1.connected)
    assert await l1.get_many([KEY]) == [None]
    await l1.aclose()
    await redis.aclose()


async def test_redis_killed_and_started_empty__memory_forgets_what_redis_lost(own: EmbeddedRedis) -> None:
    redis = client_of(address_of(own))
    l1 = L1Cache(redis, max_bytes=MEGABYTE)
    await l1.open()
    cache = CacheService.from_settings(redis, Settings(), reader=l1)
    await write_page(cache, 10)
    await settled(l1, redis)
    await cache.read_index(*PAGE, JSON)

    own.kill()
    await until(lambda: not l1.connected)
    assert not (await cache.read_index(*PAGE, JSON)).verified
    own.start()
    await until(lambda: l1.connected)

    assert (await cache.read_index(*PAGE, JSON)).head is None
    await l1.aclose()
    await redis.aclose()


async def test_aclose__while_connected__drops_everything_and_ends_the_connection(
    redis: RedisClient, other: CacheService
) -> None:
    l1 = L1Cache(redis, max_bytes=MEGABYTE)
    await l1.open()
    assert await tracking_ids(other._redis)
    await l1.aclose()
    await l1.aclose()

    async with asyncio.timeout(30):
        while await tracking_ids(other._redis):
            await asyncio.sleep(0.01)
    assert not l1.connected
