"""Misses over a real gateway and queue, with a fetcher whose steps the test decides."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from shared.errors.passing import UpstreamUnavailable
from shared.queue.context import JobContext
from shared.queue.jobs import FetchArtifact, FetchIndex, RenderIndex
from tests.services.gateway.conftest import Stores
from tests.services.gateway.fake_fetcher import FakeFetcher
from tests.support.gateway import GatewayProcess, RawResponse, raw_request

JSON = "application/vnd.pypi.simple.v1+json"


_threads = ThreadPoolExecutor(32)  # asyncio's own pool is as small as the machine


async def get(gateway: GatewayProcess, path: str, method: str = "GET", **headers: str) -> RawResponse:
    loop = asyncio.get_running_loop()
    return await loop.run_in_executor(_threads, partial(gateway.request, path, method, **headers))


async def test_index__never_seen__is_fetched_once_for_many_clients(
    gateway: GatewayProcess, stores: Stores
) -> None:
    async def fetch(ctx: JobContext, job: FetchIndex) -> None:
        await asyncio.sleep(0.2)
        await stores.put_index("flask", b"page", generation=ctx.generation)
        await ctx.publish("done")

    async with FakeFetcher(stores) as fetcher:
        fetcher.index_handler = fetch
        replies = await asyncio.gather(*(get(gateway, "/pypi/simple/flask/", accept=JSON) for _ in range(20)))
        assert {(reply.status, reply.body) for reply in replies} == {(200, b"page")}
        assert {reply.headers["x-cache"] for reply in replies} == {"MISS"}
        assert fetcher.index_jobs == 1


async def test_index__upstream_fails_and_never_seen__is_503_with_retry_after_for_all(
    gateway: GatewayProcess, stores: Stores
) -> None:
    async def fetch(ctx: JobContext, job: FetchIndex) -> None:
        await asyncio.sleep(0.1)
        raise UpstreamUnavailable("the upstream is away")

    async with FakeFetcher(stores) as fetcher:
        fetcher.index_handler = fetch
        replies = await asyncio.gather(*(get(gateway, "/pypi/simple/flask/", accept=JSON) for _ in range(5)))
        assert {reply.status for reply in replies} == {503}
        assert {reply.headers["retry-after"] for reply in replies} == {"2"}
        assert b"upstream_unavailable" in replies[0].body
        assert replies[0].headers["content-type"] == "application/problem+json"
        assert fetcher.index_jobs == 1


async def test_index__true_404__is_negative_within_its_life(gateway: GatewayProcess, stores: Stores) -> None:
    async def fetch(ctx: JobContext, job: FetchIndex) -> None:
        await stores.put_index("nope", generation=ctx.generation, status=404, fresh_seconds=30)
        await ctx.publish("done")

    async with FakeFetcher(stores) as fetcher:
        fetcher.index_handler = fetch
        words = [(await get(gateway, "/pypi/simple/nope/", accept=JSON)) for _ in range(3)]
        assert [reply.status for reply in words] == [404, 404, 404]
        assert [reply.headers["x-cache"] for reply in words] == ["MISS", "NEGATIVE", "NEGATIVE"]
        assert fetcher.index_jobs == 1


async def test_index__expired_and_upstream_slow__is_stale_after_a_short_wait(
    gateway: GatewayProcess, stores: Stores
) -> None:
    answered, stored = asyncio.Event(), asyncio.Event()

    async def fetch(ctx: JobContext, job: FetchIndex) -> None:
        await answered.wait()
        await stores.put_index("flask", b"new", generation=ctx.generation)
        await ctx.publish("done")
        stored.set()

    await stores.put_index("flask", b"old", fresh_seconds=-10)
    async with FakeFetcher(stores) as fetcher:
        fetcher.index_handler = fetch
        stale = await get(gateway, "/pypi/simple/flask/", accept=JSON)
        assert (stale.body, stale.headers["x-cache"]) == (b"old", "STALE")
        assert stale.headers["cache-control"] == "max-age=5"
        answered.set()
        await asyncio.wait_for(stored.wait(), timeout=30)
        async with asyncio.timeout(30):
            while (fresh := await get(gateway, "/pypi/simple/flask/", accept=JSON)).body == b"old":
                await asyncio.sleep(0.05)
        assert (fresh.body, fresh.headers["x-cache"]) == (b"new", "HIT")


async def test_index__expired_and_upstream_quick__is_revalidated(
    gateway: GatewayProcess, stores: Stores
) -> None:
    async def fetch(ctx: JobContext, job: FetchIndex) -> None:
        await stores.put_index("flask", b"new", generation=ctx.generation)
        await ctx.publish("done")

    await stores.put_index("flask", b"old", fresh_seconds=-10)
    async with FakeFetcher(stores) as fetcher:
        fetcher.index_handler = fetch
        reply = await get(gateway, "/pypi/simple/flask/", accept=JSON)
        assert (reply.body, reply.headers["x-cache"]) == (b"new", "REVALIDATED")


async def test_index__no_cache__revalidates_once_in_ten_seconds(
    gateway: GatewayProcess, stores: Stores
) -> None:
    async def fetch(ctx: JobContext, job: FetchIndex) -> None:
        await stores.put_index("flask", b"new", generation=ctx.generation)
        await ctx.publish("done")

    await stores.put_index("flask", b"old")
    async with FakeFetcher(stores) as fetcher:
        fetcher.index_handler = fetch
        words = []
        for control in ("max-age=0", "no-cache", "no-cache"):
            reply = await get(gateway, "/pypi/simple/flask/", accept=JSON, cache_control=control)
            words.append((reply.body, reply.headers["x-cache"]))
        assert words == [(b"old", "HIT"), (b"new", "REVALIDATED"), (b"new", "HIT")]
        assert fetcher.index_jobs == 1


async def test_index__variant_missing__is_rendered_without_asking_upstream(
    gateway: GatewayProcess, stores: Stores
) -> None:
    async def render(ctx: JobContext, job: RenderIndex) -> None:
        await stores.put_index("flask", b"page", generation=ctx.generation)
        await ctx.publish("done")

    await stores.put_index("flask", b"page")
    await stores.cache_redis.raw.delete("orchard:package_index:pypi:simple/flask:v:json.identity")
    async with FakeFetcher(stores) as fetcher:
        fetcher.render_handler = render
        reply = await get(gateway, "/pypi/simple/flask/", accept=JSON)
        assert (reply.status, reply.body) == (200, b"page")
        assert fetcher.index_jobs == 0


async def test_index__sources_changed__is_a_miss(gateway: GatewayProcess, stores: Stores) -> None:
    async def fetch(ctx: JobContext, job: FetchIndex) -> None:
        raise UpstreamUnavailable("the new source is away")

    await stores.put_index("flask", b"from a source that is disabled now", revision=3)
    assert (await get(gateway, "/pypi/simple/flask/", accept=JSON)).status == 200
    await stores.cache.raise_revision("pypi", 4)
    async with FakeFetcher(stores) as fetcher:
        fetcher.index_handler = fetch
        await asyncio.sleep(0.2)  # the invalidation reaches the gateway's memory
        assert (await get(gateway, "/pypi/simple/flask/", accept=JSON)).status == 503


async def test_index__event_lost__is_found_by_the_poll(gateway: GatewayProcess, stores: Stores) -> None:
    async def fetch(ctx: JobContext, job: FetchIndex) -> None:
        await stores.put_index("flask", b"page", generation=ctx.generation)
        await stores.queue_redis.raw.client_kill_filter(_type="pubsub")
        await ctx.publish("done")  # nobody hears it

    async with FakeFetcher(stores) as fetcher:
        fetcher.index_handler = fetch
        reply = await get(gateway, "/pypi/simple/flask/", accept=JSON)
        assert (reply.status, reply.body) == (200, b"page")
        assert reply.first_byte_seconds < 2


async def test_index__queue_emptied_while_waiting__is_enqueued_again(
    gateway: GatewayProcess, stores: Stores
) -> None:
    async def fetch(ctx: JobContext, job: FetchIndex) -> None:
        await stores.put_index("flask", b"page", generation=ctx.generation)
        await ctx.publish("done")

    waiting = asyncio.create_task(get(gateway, "/pypi/simple/flask/", accept=JSON))
    await asyncio.sleep(0.3)  # enqueued, and nobody there to take it
    await stores.queue_redis.raw.flushall()
    async with FakeFetcher(stores) as fetcher:
        fetcher.index_handler = fetch
        reply = await waiting
    assert (reply.status, reply.body) == (200, b"page")


async def test_artifact__one_joins_who_waits_for_the_whole__the_job_is_not_abandonable_any_more(
    gateway: GatewayProcess, stores: Stores
) -> None:
    digest = "ab" * 32
    begun, joined = asyncio.Event(), asyncio.Event()
    seen: list[bool] = []

    async def is_abandonable(job: FetchArtifact) -> bool:
        now = await stores.queue.as_asked_now(job)
        return now is not None and now.abandonable

    async def fetch(_: FakeFetcher, ctx: JobContext, job: FetchArtifact) -> None:
        seen.append(await is_abandonable(job))
        begun.set()
        async with asyncio.timeout(30):
            while await is_abandonable(job):
                await asyncio.sleep(0.02)
        joined.set()
        raise UpstreamUnavailable("the upstream is away")

    async with FakeFetcher(stores) as fetcher:
        fetcher.artifact_handler = fetch
        path = f"/pypi/files/flask/{digest}/flask-1.0-py3-none-any.whl"
        relayed = asyncio.create_task(get(gateway, path))
        await begun.wait()
        loop = asyncio.get_running_loop()
        whole = loop.run_in_executor(_threads, partial(raw_request, gateway.port, path, version="1.0"))
        async with asyncio.timeout(30):
            await joined.wait()
        assert seen == [True]
        assert [(await relayed).status, (await whole).status] == [503, 503]
