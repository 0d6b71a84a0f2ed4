"""Files that are not stored yet, over a real gateway, with a fetcher whose steps the test decides."""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from shared.errors import FileNotFound
from shared.errors.passing import UpstreamUnavailable
from shared.queue.context import JobContext
from shared.queue.jobs import DescribeArtifact, FetchArtifact
from tests.services.gateway.conftest import Stores
from tests.services.gateway.fake_fetcher import FakeFetcher
from tests.support.gateway import GatewayProcess, RawResponse, running_gateway

JSON = "application/vnd.pypi.simple.v1+json"


_threads = ThreadPoolExecutor(32)  # asyncio's own pool is as small as the machine


async def get(gateway: GatewayProcess, path: str, method: str = "GET", **headers: str) -> RawResponse:
    loop = asyncio.get_running_loop()
    return await loop.run_in_executor(_threads, partial(gateway.request, path, method, **headers))


def _logged(gateway: GatewayProcess, digest: str) -> dict[str, Any]:
    """The last line of the access log on a file of this digest."""
    lines = [line for line in gateway.output().splitlines() if '"event":"request"' in line and digest in line]
    found: dict[str, Any] = json.loads(lines[-1])
    return found


async def test_artifact__cold__is_relayed_while_it_arrives(gateway: GatewayProcess, stores: Stores) -> None:
    data = bytes(range(256)) * 4000
    digest = hashlib.sha256(data).hexdigest()

    async def fetch(fetcher: FakeFetcher, ctx: JobContext, job: FetchArtifact) -> None:
        spool = fetcher.spool(ctx, len(data))
        await ctx.publish("live", size_bytes=len(data))
        for start in range(0, len(data), 100_000):
            await spool.add(data[start : start + 100_000])
            await asyncio.sleep(0.1)
        await fetcher.seal(ctx, job, data)

    async with FakeFetcher(stores) as fetcher:
        fetcher.artifact_handler = fetch
        path = f"/pypi/files/flask/{digest}/flask-1-py3-none-any.whl"
        replies = await asyncio.gather(*(get(gateway, path) for _ in range(8)))
        for reply in replies:
            assert reply.complete
            assert hashlib.sha256(reply.body).hexdigest() == digest
            assert reply.headers["content-length"] == str(len(data))
            assert reply.headers["x-cache"] == "LIVE"
            assert reply.first_byte_seconds < 0.8
        assert (fetcher.artifact_jobs, len(fetcher.live_requests)) == (1, 1)  # read once for all of them
        assert (await get(gateway, path)).headers["x-cache"] == "HIT"


@pytest.mark.parametrize("size_known", [True, False])
@pytest.mark.parametrize("fault", ["failed", "other_bytes", "silent_death"])
async def test_artifact__download_goes_wrong__is_broken_off_without_its_end(
    gateway: GatewayProcess, stores: Stores, size_known: bool, fault: str
) -> None:
    data = bytes(range(256)) * 400
    digest = hashlib.sha256(data).hexdigest()

    async def fetch(fetcher: FakeFetcher, ctx: JobContext, job: FetchArtifact) -> None:
        spool = fetcher.spool(ctx, len(data) if size_known else None)
        await ctx.publish("live", size_bytes=spool.size)
        relayed = b"X" + data[1:] if fault == "other_bytes" else data
        await spool.add(relayed)
        await asyncio.sleep(0.2)
        if fault == "failed":
            await spool.end(broken=True)
            raise UpstreamUnavailable("cut")
        if fault == "silent_death":
            await spool.end(broken=True)
            await asyncio.sleep(0.1)
            raise FileNotFound("gone")
        await fetcher.seal(ctx, job, data)

    async with FakeFetcher(stores) as fetcher:
        fetcher.artifact_handler = fetch
        reply = await get(gateway, f"/pypi/files/flask/{digest}/flask-1-py3-none-any.whl")
        assert reply.status == 200
        assert not reply.complete
        await asyncio.sleep(0.4)
        line = _logged(gateway, digest)
        assert line["error"]
        assert line["bytes"] == len(reply.body) > 0
        assert len(reply.body) < len(data)


async def test_artifact__blocked_bytes_at_an_address_without_a_digest__have_no_end(
    store_settings: dict[str, str], stores: Stores, tmp_path: Path
) -> None:
    """What they are is known when they are stored: then their last piece stays here."""
    data = bytes(range(256)) * 400
    digest = hashlib.sha256(data).hexdigest()
    await stores.database.execute(
        "INSERT INTO blocks (sha256, reason) VALUES ($1, 'it steals')", bytes.fromhex(digest)
    )

    async def fetch(fetcher: FakeFetcher, ctx: JobContext, job: FetchArtifact) -> None:
        spool = fetcher.spool(ctx, len(data))
        await ctx.publish("live", size_bytes=len(data))
        await spool.add(data)
        await fetcher.seal(ctx, job, data)

    with running_gateway(store_settings, tmp_path) as gateway:
        async with FakeFetcher(stores) as fetcher:
            fetcher.artifact_handler = fetch
            reply = await get(gateway, f"/pypi/files/flask/{'id-' + 'a' * 40}/flask-1-py3-none-any.whl")
        assert (reply.status, reply.complete) == (200, False)
        assert 0 < len(reply.body) < len(data)


async def test_artifact__fetcher_dies__goes_on_from_its_successor(
    gateway: GatewayProcess, stores: Stores
) -> None:
    data = bytes(range(256)) * 8000
    digest = hashlib.sha256(data).hexdigest()
    half = len(data) // 2

    async def first(fetcher: FakeFetcher, ctx: JobContext, job: FetchArtifact) -> None:
        spool = fetcher.spool(ctx, len(data))
        await ctx.publish("live", size_bytes=len(data))
        await spool.add(data[:half])
        await asyncio.sleep(30)

    async def second(fetcher: FakeFetcher, ctx: JobContext, job: FetchArtifact) -> None:
        spool = fetcher.spool(ctx, len(data))
        await ctx.publish("live", size_bytes=len(data))
        await spool.add(data)
        await fetcher.seal(ctx, job, data)

    async with FakeFetcher(stores) as dying:
        dying.artifact_handler = first
        path = f"/pypi/files/flask/{digest}/flask-1-py3-none-any.whl"
        waiting = asyncio.create_task(get(gateway, path))
        await asyncio.sleep(0.5)
        await dying.die()
        async with FakeFetcher(stores) as heir:
            heir.artifact_handler = second
            reply = await waiting
    assert reply.complete
    assert hashlib.sha256(reply.body).hexdigest() == digest
    assert reply.longest_silence_seconds < 8


async def test_artifact__not_listed__is_404(gateway: GatewayProcess, stores: Stores) -> None:
    async def fetch(fetcher: FakeFetcher, ctx: JobContext, job: FetchArtifact) -> None:
        raise FileNotFound("the index lacks it")

    async with FakeFetcher(stores) as fetcher:
        fetcher.artifact_handler = fetch
        reply = await get(gateway, f"/pypi/files/flask/{'0' * 64}/flask-1-py3-none-any.whl")
        assert (reply.status, reply.headers["content-type"]) == (404, "application/problem+json")


async def test_artifact__cold_head__says_the_size_without_a_download(
    gateway: GatewayProcess, stores: Stores
) -> None:
    async def describe(ctx: JobContext, job: DescribeArtifact) -> None:
        await ctx.publish("done", size_bytes=12345, content_type="application/zip")

    async with FakeFetcher(stores) as fetcher:
        fetcher.describe_handler = describe
        path = f"/pypi/files/flask/{'0' * 64}/flask-1-py3-none-any.whl"
        reply = await get(gateway, path, "HEAD")
        assert (reply.status, reply.headers["content-length"]) == (200, "12345")
        assert reply.headers["accept-ranges"] == "bytes"
        assert reply.headers["etag"] == f'"{"0" * 64}"'
        assert fetcher.artifact_jobs == 0


async def test_artifact__object_lost_behind_its_row__is_repaired(
    gateway: GatewayProcess, stores: Stores
) -> None:
    data = b"wheel" * 20_000
    facts = await stores.put_artifact("flask", "flask-1-py3-none-any.whl", data)
    await stores.objects.delete(facts.object_key)

    async def fetch(fetcher: FakeFetcher, ctx: JobContext, job: FetchArtifact) -> None:
        await fetcher.seal(ctx, job, data)

    async with FakeFetcher(stores) as fetcher:
        fetcher.artifact_handler = fetch
        path = f"/pypi/files/flask/{facts.sha256}/flask-1-py3-none-any.whl"
        reply = await get(gateway, path)
        assert (reply.status, reply.body) == (200, data)
        assert fetcher.artifact_jobs == 1


async def test_artifact__range_of_a_cold_file__is_passed_through_and_not_kept(
    gateway: GatewayProcess, stores: Stores
) -> None:
    data = bytes(range(256)) * 1000
    digest = hashlib.sha256(data).hexdigest()

    async def fetch(fetcher: FakeFetcher, ctx: JobContext, job: FetchArtifact) -> None:
        fetcher.spool(ctx, len(data))
        await ctx.publish("live", size_bytes=len(data))
        await asyncio.sleep(0.5)
        await fetcher.seal(ctx, job, data)

    async with FakeFetcher(stores) as fetcher:
        fetcher.artifact_handler = fetch
        fetcher.serve_range = lambda _: (data[-100:], f"bytes {len(data) - 100}-{len(data) - 1}/{len(data)}")
        path = f"/pypi/files/flask/{digest}/flask-1-py3-none-any.whl"
        reply = await get(gateway, path, range="bytes=-100")
        assert (reply.status, reply.body) == (206, data[-100:])
        assert reply.headers["cache-control"] == "no-store"
        assert reply.headers["content-range"].endswith(f"/{len(data)}")


async def test_artifact__upstream_says_nothing__is_answered_within_the_request_timeout(
    store_settings: dict[str, str], tmp_path: Path, stores: Stores
) -> None:
    async def fetch(fetcher: FakeFetcher, ctx: JobContext, job: FetchArtifact) -> None:
        await asyncio.sleep(60)  # claimed, and no byte of the upstream's answer

    with running_gateway({**store_settings, "ORCHARD_REQUEST_TIMEOUT": "2"}, tmp_path) as gateway:
        async with FakeFetcher(stores) as fetcher:
            fetcher.artifact_handler = fetch
            started = time.monotonic()
            reply = await get(gateway, f"/pypi/files/flask/{'0' * 64}/flask-1-py3-none-any.whl")
            assert (reply.status, reply.headers["retry-after"] != "") == (503, True)
            assert json.loads(reply.body)["code"] == "deadline_exceeded"
            assert time.monotonic() - started < 15  # of a minute without it


async def test_clients_gone_in_the_middle__nothing_is_left_open(
    gateway: GatewayProcess, stores: Stores
) -> None:
    data = bytes(range(256)) * 8000
    digest = hashlib.sha256(data).hexdigest()
    path = f"/pypi/files/flask/{digest}/flask-1-py3-none-any.whl"
    go_on = asyncio.Event()

    async def fetch(fetcher: FakeFetcher, ctx: JobContext, job: FetchArtifact) -> None:
        spool = fetcher.spool(ctx, len(data))
        await ctx.publish("live", size_bytes=len(data))
        await spool.add(data[:1_000_000])
        await go_on.wait()
        await spool.add(data[1_000_000:])
        await fetcher.seal(ctx, job, data)

    async def leave() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
        writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        await reader.readexactly(200_000)
        writer.transport.abort()

    async with FakeFetcher(stores) as fetcher:
        fetcher.artifact_handler = fetch
        assert (await get(gateway, "/health/live")).status == 200
        staying = asyncio.create_task(get(gateway, path))
        while not fetcher.live_requests:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.2)
        before = _open_files(gateway)
        await asyncio.gather(*(leave() for _ in range(30)))
        async with asyncio.timeout(30):
            while _open_files(gateway) > before + 4:  # a connection to a store may have been opened
                await asyncio.sleep(0.05)
        await asyncio.sleep(0.4)
        line = _logged(gateway, digest)
        assert (line["status"], line["error"]) == (499, "client_gone")
        assert line["bytes"] > 100_000
        go_on.set()
        assert hashlib.sha256((await staying).body).hexdigest() == digest


def _open_files(gateway: GatewayProcess) -> int:
    """Of the server and its worker."""
    workers = Path(f"/proc/{gateway.pid}/task/{gateway.pid}/children").read_text().split()
    return sum(len(list(Path(f"/proc/{pid}/fd").iterdir())) for pid in (gateway.pid, *workers))
