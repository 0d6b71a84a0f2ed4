"""The Redis client against real servers: batching, deadlines, the circuit, lost connections."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from services.standalone.redis_server import EmbeddedRedis
from shared.errors import ConfigurationError
from shared.errors.passing import CacheUnavailable, QueueUnavailable
from shared.redis.client import DEADLINE_SECONDS, RedisClient
from shared.redis.script import Script
from tests.support.freezing import freeze
from tests.support.stores import RedisAddress, address_of, own_redis


def client_of(address: RedisAddress, role: str = "cache") -> RedisClient:
    return RedisClient(
        host=address.host, port=address.port, password=address.password, role=role  # type: ignore[arg-type]
    )  # fmt: skip


@pytest_asyncio.fixture
async def client(cache_redis: RedisAddress) -> AsyncIterator[RedisClient]:
    client = client_of(cache_redis)
    yield client
    await client.aclose()


@pytest.fixture
def own(tmp_path: Path) -> Iterator[EmbeddedRedis]:
    """A server that the test may freeze or kill."""
    with own_redis(tmp_path / "redis", "cache") as server:
        yield server
        os.kill(server.pid, signal.SIGCONT)


# --- batching ---------------------------------------------------------------------------------


async def test_get_many__values_present_and_absent__come_in_the_order_of_the_keys(
    client: RedisClient,
) -> None:
    await client.raw.mset({"a": b"1", "c": b"\x00\xff"})

    assert await client.get_many(["c", "b", "a"]) == [b"\x00\xff", None, b"1"]


async def test_get_many__no_keys__asks_nothing(client: RedisClient) -> None:
    assert await client.get_many([]) == []
    assert client.batcher.calls == 0


async def test_get_many__a_hundred_callers_at_once__share_few_mgets(client: RedisClient) -> None:
    await client.raw.mset({f"k{i}": str(i) for i in range(100)})

    results = await asyncio.gather(*(client.get_many([f"k{i}", "k0"]) for i in range(100)))

    assert results == [[str(i).encode(), b"0"] for i in range(100)]
    assert client.batcher.calls <= 3


async def test_get_many__the_same_key_by_all__is_asked_for_once(client: RedisClient) -> None:
    await client.raw.set("shared", "x")
    before = await keyspace_reads(client)

    results = await asyncio.gather(*(client.get_many(["shared", "shared"]) for _ in range(40)))

    assert results == [[b"x", b"x"]] * 40
    assert await keyspace_reads(client) - before == 1


async def keyspace_reads(client: RedisClient) -> int:
    stats = await client.raw.info("stats")
    return int(stats["keyspace_hits"]) + int(stats["keyspace_misses"])


async def test_get_many__a_caller_is_cancelled__the_others_get_their_values(client: RedisClient) -> None:
    await client.raw.mset({"a": "1", "b": "2"})
    tasks = [asyncio.create_task(client.get_many([key])) for key in ("a", "b", "a")]
    await asyncio.sleep(0)  # they wait now
    tasks[0].cancel()

    results = await asyncio.gather(*tasks, return_exceptions=True)

    assert isinstance(results[0], asyncio.CancelledError)
    assert results[1:] == [[b"2"], [b"1"]]


async def test_get_many__a_caller_is_cancelled_in_flight__the_others_of_its_mget_get_their_values(
    own: EmbeddedRedis,
) -> None:
    client = client_of(address_of(own))
    await client.raw.mset({"a": "1", "b": "2"})
    await client.get_many(["a"])
    freeze(own.pid)
    tasks = [asyncio.create_task(client.get_many([key])) for key in ("a", "b")]
    await asyncio.sleep(0.1)  # sent, not answered
    tasks[0].cancel()
    await asyncio.sleep(0.01)
    os.kill(own.pid, signal.SIGCONT)

    results = await asyncio.gather(*tasks, return_exceptions=True)

    assert isinstance(results[0], asyncio.CancelledError)
    assert results[1] == [b"2"]
    assert client.batcher.calls == 2
    await client.aclose()


async def test_get_many__all_callers_of_a_call_in_flight_are_cancelled__later_ones_get_their_own_values(
    client: RedisClient,
) -> None:
    await client.raw.mset({"a": "1", "b": "2"})
    for _ in range(20):
        first = asyncio.create_task(client.get_many(["a"]))
        await asyncio.sleep(0.0003)
        first.cancel()
        assert await client.get_many(["b"]) == [b"2"]


async def test_get_many__the_server_cut_idle_connections__is_retried_unseen(
    client: RedisClient, cache_redis_server: EmbeddedRedis
) -> None:
    await client.raw.set("a", "1")
    await client.get_many(["a"])

    cache_redis_server.command("CLIENT", "KILL", "TYPE", "normal")

    assert await client.get_many(["a"]) == [b"1"]
    assert await client.raw.get("a") == b"1"


async def test_aclose__callers_are_waiting__they_get_the_clients_error(own: EmbeddedRedis) -> None:
    client = client_of(address_of(own))
    await client.ping()
    freeze(own.pid)
    waiting = asyncio.create_task(client.get_many(["a"]))
    await asyncio.sleep(0.05)

    await client.aclose()

    with pytest.raises(CacheUnavailable):
        await waiting


# --- pipelining -------------------------------------------------------------------------------


async def test_command__hundreds_of_callers_at_once__each_gets_its_own_reply_over_two_connections(
    client: RedisClient,
) -> None:
    before = (await client.raw.info("stats"))["total_connections_received"]

    replies = await asyncio.gather(*(client.command("ECHO", f"text {i}") for i in range(600)))

    assert replies == [f"text {i}".encode() for i in range(600)]
    assert (await client.raw.info("stats"))["total_connections_received"] - before <= 2
    assert client.pipeline.calls < 600


async def test_command__one_is_refused__the_others_of_its_pipeline_get_their_replies(
    client: RedisClient,
) -> None:
    await client.raw.set("text", "x")

    results = await asyncio.gather(
        client.command("ECHO", "a"),
        client.command("INCR", "text"),
        client.command("ECHO", "b"),
        return_exceptions=True,
    )

    assert [results[0], results[2]] == [b"a", b"b"]
    assert isinstance(results[1], CacheUnavailable)
    assert client.available


async def test_command__a_caller_is_cancelled_in_flight__later_callers_get_their_own_replies(
    client: RedisClient,
) -> None:
    for number in range(20):
        first = asyncio.create_task(client.command("ECHO", "cancelled"))
        await asyncio.sleep(0.0003)
        first.cancel()
        assert await client.command("ECHO", number) == str(number).encode()


async def test_command__the_server_is_frozen__all_end_by_one_deadline(own: EmbeddedRedis) -> None:
    client = client_of(address_of(own))
    await client.command("PING")
    freeze(own.pid)

    results = await asyncio.gather(*(client.command("ECHO", i) for i in range(500)), return_exceptions=True)

    assert {type(result) for result in results} == {CacheUnavailable}
    assert not client.available
    os.kill(own.pid, signal.SIGCONT)
    await becomes_available(client)
    assert await client.command("ECHO", "again") == b"again"
    await client.aclose()


# --- away, frozen, back -------------------------------------------------------------------------


def unused_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.mark.parametrize(("role", "error"), [("cache", CacheUnavailable), ("queue", QueueUnavailable)])
async def test_call__the_server_is_not_there__fails_with_the_error_of_the_role(
    role: str, error: type[Exception]
) -> None:
    client = client_of(RedisAddress("127.0.0.1", unused_port(), ""), role)
    with pytest.raises(error):
        await client.get_many(["a"])
    with pytest.raises(error):
        await client.ping()
    assert client.available, "a refusal is quick: it needs no circuit"
    await client.aclose()


async def test_call__a_wrong_password__is_the_clients_error_and_does_not_show_it(
    cache_redis: RedisAddress,
) -> None:
    client = client_of(RedisAddress(cache_redis.host, cache_redis.port, "not-the-secret"))
    with pytest.raises(CacheUnavailable) as caught:
        await client.get_many(["a"])
    assert "not-the-secret" not in str(caught.value)
    await client.aclose()


async def test_call__the_server_is_frozen__all_end_by_one_deadline_and_later_ones_fail_at_once(
    own: EmbeddedRedis,
) -> None:
    client = client_of(address_of(own))
    await client.raw.set("a", "1")
    await client.get_many(["a"])
    freeze(own.pid)

    started = time.monotonic()
    first = asyncio.gather(*(client.get_many([f"k{i}"]) for i in range(500)), return_exceptions=True)
    await asyncio.sleep(DEADLINE_SECONDS / 2)
    behind = asyncio.gather(*(client.get_many([f"k{i}"]) for i in range(500)), return_exceptions=True)
    results = [*await first, *await behind]
    elapsed = time.monotonic() - started

    assert {type(result) for result in results} == {CacheUnavailable}
    assert elapsed < 10 * DEADLINE_SECONDS, "a thousand calls do not wait one after another"
    assert not client.available

    for _ in range(20):  # no round trip is tried: nothing is awaited that could take time
        call = client.get_many(["a"])
        with pytest.raises(CacheUnavailable):
            call.send(None)
        call.close()

    os.kill(own.pid, signal.SIGCONT)
    await becomes_available(client)
    assert await client.get_many(["a"]) == [b"1"]
    assert await client.raw.get("a") == b"1"
    await client.aclose()


async def test_call__our_own_loop_was_stalled__is_not_taken_for_a_frozen_server(client: RedisClient) -> None:
    await client.raw.set("a", "1")
    call = asyncio.create_task(client.get_many(["a"]))
    await asyncio.sleep(0)  # the call is scheduled
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    time.sleep(2 * DEADLINE_SECONDS)

    assert await call == [b"1"]
    assert client.available


async def becomes_available(client: RedisClient) -> None:
    async with asyncio.timeout(30):
        while not client.available:
            await asyncio.sleep(0.02)


async def test_raw_command__the_server_is_frozen__the_guard_opens_the_circuit(own: EmbeddedRedis) -> None:
    client = client_of(address_of(own))
    await client.ping()
    freeze(own.pid)

    with pytest.raises(CacheUnavailable), client.guard():
        await client.raw.set("a", "1")

    with pytest.raises(CacheUnavailable), client.guard():
        pytest.fail("the guard let a call through an open circuit")
    await client.aclose()


async def test_circuit__the_frozen_server_is_killed_and_started_again__calls_succeed(
    own: EmbeddedRedis,
) -> None:
    client = client_of(address_of(own))
    await client.ping()
    freeze(own.pid)
    with pytest.raises(CacheUnavailable):
        await client.get_many(["a"])

    own.kill()
    await becomes_available(client)
    with pytest.raises(CacheUnavailable):
        await client.get_many(["a"])
    own.start()

    assert await client.get_many(["a"]) == [None]
    await client.aclose()


# --- roles, duplicates, scripts --------------------------------------------------------------------


async def test_open__the_queue_may_evict__is_refused_with_one_line_that_names_the_variable(
    cache_redis: RedisAddress,
) -> None:
    client = client_of(cache_redis, "queue")
    with pytest.raises(ConfigurationError, match=r"^ORCHARD_QUEUE_REDIS_HOST: .*allkeys-lru.*noeviction"):
        await client.open()
    await client.aclose()


async def test_open__the_queue_never_evicts__succeeds(queue_redis: RedisAddress) -> None:
    client = client_of(queue_redis, "queue")
    await client.open()
    await client.aclose()


async def test_open__the_cache_is_away__succeeds() -> None:
    client = client_of(RedisAddress("127.0.0.1", unused_port(), ""))
    await client.open()
    await client.aclose()


async def test_duplicate__blocking_pop_longer_than_the_deadline__gets_its_value(client: RedisClient) -> None:
    blocking = client.duplicate(socket_timeout=None)
    waiting = asyncio.create_task(blocking.blpop(["list"], timeout=5))  # type: ignore[arg-type]
    await asyncio.sleep(DEADLINE_SECONDS + 0.2)
    await client.raw.rpush("list", "x")

    assert await waiting == [b"list", b"x"]
    await blocking.aclose()


async def test_duplicate__pubsub__receives_what_is_published(client: RedisClient) -> None:
    subscriber = client.duplicate(socket_timeout=None)
    channel = subscriber.pubsub(ignore_subscribe_messages=True)
    await channel.subscribe("events")
    await channel.get_message(timeout=1)
    await client.raw.publish("events", b"payload")

    message = await channel.get_message(timeout=5)

    assert message is not None
    assert message["data"] == b"payload"
    await channel.aclose()  # type: ignore[no-untyped-call]
    await subscriber.aclose()


async def test_script__redis_forgot_it__is_sent_again(client: RedisClient) -> None:
    script = Script("return tonumber(ARGV[1]) + 1")
    assert await script.run(client, [], [1]) == 2
    await client.raw.script_flush()
    assert await script.run(client, [], [2]) == 3


async def test_guard__an_error_reply__becomes_the_clients_error(client: RedisClient) -> None:
    await client.raw.set("text", "x")
    with pytest.raises(CacheUnavailable), client.guard():
        await client.raw.incr("text")
    assert client.available


async def test_pool__more_calls_than_connections__wait_for_one_and_succeed(
    cache_redis: RedisAddress,
) -> None:
    client = RedisClient(
        host=cache_redis.host,
        port=cache_redis.port,
        password=cache_redis.password,
        role="cache",
        max_connections=2,
    )
    with client.guard():
        assert await asyncio.gather(*(client.raw.set(f"k{i}", "x") for i in range(50))) == [True] * 50
    assert len(client.raw.connection_pool._available_connections) <= 2
    assert client.in_use == 0
    await client.aclose()


async def test_connection__only_commands_of_redis_6_2__are_sent_when_connecting(client: RedisClient) -> None:
    await client.raw.config_resetstat()
    second = client.duplicate(socket_timeout=1)
    await second.ping()
    errors = (await client.raw.info("errorstats")).keys()
    assert list(errors) == []
    await second.aclose()
