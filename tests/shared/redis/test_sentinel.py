"""Clients of a role that Sentinel watches: each kind of connection follows a failover by itself."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import pytest_asyncio

from services.gateway.hits.tracking import InvalidationStream
from shared.errors import ConfigurationError
from shared.errors.passing import CacheUnavailable, QueueUnavailable
from shared.queue.context import JobContext
from shared.queue.events import Event
from shared.queue.jobs import FetchIndex
from shared.queue.producer import JobQueue
from shared.redis.client import RedisClient
from shared.redis.sentinel import RoleConnection, parse_sentinel
from shared.settings import load_settings
from tests.shared.queue.queue_support import eventually, job, new_worker, running
from tests.support.sentinel import Watched, watched


@pytest.fixture
def queue_role(tmp_path: Path) -> Iterator[Watched]:
    with watched(tmp_path, "queue") as role:
        yield role


@pytest_asyncio.fixture
async def client(queue_role: Watched) -> AsyncIterator[RedisClient]:
    client = RedisClient.for_queue(load_settings(queue_role.settings(prefix="QUEUE_REDIS")))
    await client.open()
    yield client
    await client.aclose()


async def test_failover__jobs_queued_and_running__none_is_lost_and_all_end(
    queue_role: Watched, client: RedisClient
) -> None:
    queue = JobQueue(client)
    names = [f"project-{number}" for number in range(30)]
    ended: set[str] = set()
    go_on = asyncio.Event()

    async def handler(_: JobContext, work: FetchIndex) -> None:
        await go_on.wait()
        ended.add(work.identity)

    for name in names:
        assert await queue.enqueue(job(name))
    async with running(new_worker(client, handler, slots=5, lease_seconds=2)):
        await eventually(lambda: _depth_is(queue, ready=25, running=5))
        await asyncio.to_thread(queue_role.wait_replicated)
        queue_role.master.kill()
        with pytest.raises(QueueUnavailable):
            await queue.depths()
        await asyncio.to_thread(queue_role.wait_failed_over)
        go_on.set()
        await eventually(lambda: ended == set(names), within=30)
        await eventually(lambda: _depth_is(queue, ready=0, running=0))
        assert await queue.enqueue(job("afterwards"))
        await eventually(lambda: "afterwards" in ended)


async def test_failover__subscription__is_heard_again_and_says_that_it_was_not(
    queue_role: Watched, client: RedisClient
) -> None:
    queue = JobQueue(client)
    listener = queue.subscribe()
    await listener.open()
    heard: list[Event] = []
    gaps: list[int] = []
    listener.on_gap.append(lambda: gaps.append(1))
    listener.register("index:pypi:x", heard.append)
    try:
        queue_role.master.kill()
        await asyncio.to_thread(queue_role.wait_failed_over)
        await eventually(lambda: listener.connected and bool(gaps), within=10)
        event = Event(job_id="index:pypi:x", kind="done", generation=1)
        await client.raw.publish("orchard:events", _encoded(event))
        await eventually(lambda: heard == [event])
    finally:
        await listener.aclose()


async def test_failover__tracking__reconnects_and_tells_of_changes_on_the_new_master(tmp_path: Path) -> None:
    with watched(tmp_path, "cache") as role:
        client = RedisClient.for_cache(load_settings(role.settings(prefix="REDIS")))
        changed: list[str] = []
        states: list[bool] = []
        stream = InvalidationStream(
            client, prefix="orchard:", on_change=changed.extend, on_flush=lambda: None,
            on_connected=states.append,
        )  # fmt: skip
        await client.open()
        await stream.open()
        try:
            assert stream.connected
            role.master.kill()
            with pytest.raises(CacheUnavailable):
                await client.command("SET", "orchard:a", "1")
            await asyncio.to_thread(role.wait_failed_over)
            await eventually(lambda: states == [True, False, True], within=10)
            await client.command("SET", "orchard:a", "2")
            assert await client.get_many(["orchard:a"]) == [b"2"]
            await eventually(lambda: changed == ["orchard:a"])
        finally:
            await stream.aclose()
            await client.aclose()


async def test_failover__master_frozen_and_back__it_is_not_written_to_again(
    queue_role: Watched, client: RedisClient
) -> None:
    await client.command("SET", "before", "1")
    queue_role.master.signal(signal.SIGSTOP)
    with pytest.raises(QueueUnavailable):
        await client.command("SET", "during", "1")
    await asyncio.to_thread(queue_role.wait_failed_over)
    queue_role.master.signal(signal.SIGCONT)
    deadline = time.monotonic() + 10
    while True:  # the old one may still call itself master: Sentinel, not it, is believed
        try:
            await client.command("SET", "after", "1")
            break
        except QueueUnavailable:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.05)
    with queue_role.replica.client() as new:
        assert new.get("after") == b"1"


async def test_demoted_master__connections_that_are_open_to_it__are_given_up_at_the_first_refused_write(
    queue_role: Watched, client: RedisClient
) -> None:
    await client.command("SET", "a", "1")
    assert await JobQueue(client).enqueue(job("first"))
    with queue_role.master.client() as old:
        # As when Sentinel could not close them: the server turns into a replica under its clients.
        old.replicaof("127.0.0.1", queue_role.replica.port)
    with queue_role.sentinels[0].client() as sentinel, suppress(Exception):
        sentinel.execute_command("SENTINEL", "FAILOVER", queue_role.name)
    deadline = time.monotonic() + 20
    while True:
        try:
            assert await JobQueue(client).enqueue(job("second"))
            break
        except QueueUnavailable:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.05)


async def test_sentinels__the_first_ones_are_gone__the_next_is_asked(
    queue_role: Watched, client: RedisClient
) -> None:
    queue_role.sentinels[0].kill()
    queue_role.sentinels[1].signal(signal.SIGSTOP)
    other = RedisClient.for_queue(load_settings(queue_role.settings(prefix="QUEUE_REDIS")))
    try:
        assert await other.ping() < 2
        for sentinel in queue_role.sentinels:
            sentinel.kill()
        assert await other.ping() < 2, "what is connected needs no Sentinel"
        lost = RedisClient.for_queue(load_settings(queue_role.settings(prefix="QUEUE_REDIS")))
        with pytest.raises(QueueUnavailable, match="no Sentinel tells where the master orchard-queue is"):
            await lost.ping()
        await lost.aclose()
    finally:
        await other.aclose()


async def test_connect__cancelled_before_the_handshake_is_answered__nothing_stays_open() -> None:
    ended = asyncio.Event()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(4096):
            pass
        ended.set()
        writer.close()

    async with await asyncio.start_server(silent, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        connection = RoleConnection(role="cache", host="127.0.0.1", port=port)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await connection.connect()
        assert not connection.is_connected
        await ended.wait()


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("sentinel-0.example.com:26380", ("sentinel-0.example.com", 26380)),
        ("10.0.0.1", ("10.0.0.1", 26379)),
        ("[::1]:5000", ("::1", 5000)),
        ("[::1]", ("::1", 26379)),
    ],
)
def test_sentinel_address__host_and_port__are_read(text: str, address: tuple[str, int]) -> None:
    assert parse_sentinel(text) == address
    assert load_settings({"ORCHARD_REDIS_SENTINELS": f"{text}, other:1"}).redis_sentinels == (text, "other:1")


@pytest.mark.parametrize("text", ["redis://a:1", "a:b", "a:1:2", "::1", "a b"])
def test_sentinel_address__nonsense__stops_the_start_naming_the_variable(text: str) -> None:
    with pytest.raises(ConfigurationError, match="ORCHARD_QUEUE_REDIS_SENTINELS: expected"):
        load_settings({"ORCHARD_QUEUE_REDIS_SENTINELS": text})


def test_passwords__settings_are_shown__they_are_not() -> None:
    settings = load_settings({"ORCHARD_REDIS_SENTINEL_PASSWORD": "hidden-one"})
    assert "hidden-one" not in repr(settings)


async def _depth_is(queue: JobQueue, *, ready: int, running: int) -> bool:
    depth = (await queue.depths())["index"]
    return (depth.ready, depth.running) == (ready, running)


def _encoded(event: Event) -> bytes:
    import msgspec

    return msgspec.msgpack.encode(event)
