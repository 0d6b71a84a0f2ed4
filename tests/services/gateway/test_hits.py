"""Hits over a real gateway: index pages and files straight from the stores."""

from __future__ import annotations

import asyncio
import gzip
import hashlib

import pytest

from tests.services.gateway.conftest import Stores
from tests.support.gateway import GatewayProcess

JSON = "application/vnd.pypi.simple.v1+json"


async def test_index__cached_and_fresh__is_served_whole_with_strong_etag(
    gateway: GatewayProcess, stores: Stores
) -> None:
    body = b'{"meta":{"api-version":"1.0"},"name":"flask","files":[]}' * 20
    head = await stores.put_index("flask", body)
    for _ in range(3):  # from Redis, then from memory
        reply = await asyncio.to_thread(gateway.request, "/pypi/simple/flask/", accept=JSON)
        assert reply.status == 200
        assert reply.body == body
        assert reply.headers["x-cache"] == "HIT"
        assert reply.headers["etag"] == head.variants["json.identity"].etag
        assert reply.headers["content-type"] == JSON
        assert reply.headers["vary"] == "Accept, Accept-Encoding"
        assert 290 <= int(reply.headers["cache-control"].removeprefix("max-age=")) <= 300
        assert reply.headers["x-content-type-options"] == "nosniff"
        assert reply.headers["x-request-id"]


async def test_index__gzip_accepted__sends_the_stored_gzip_body(
    gateway: GatewayProcess, stores: Stores
) -> None:
    body = b"x" * 1000
    head = await stores.put_index("flask", body)
    reply = await asyncio.to_thread(
        gateway.request, "/pypi/simple/flask/", accept=JSON, accept_encoding="gzip"
    )
    assert reply.headers["content-encoding"] == "gzip"
    assert gzip.decompress(reply.body) == body
    again = await asyncio.to_thread(
        gateway.request,
        "/pypi/simple/flask/",
        accept=JSON,
        accept_encoding="gzip",
        if_none_match=f'"other", W/{head.variants["json.gzip"].etag}',
    )
    assert again.status == 304
    assert again.headers["etag"] == head.variants["json.gzip"].etag
    assert {"cache-control", "vary"} <= again.headers.keys()


async def test_artifact__cached__is_served_with_immutable_headers(
    gateway: GatewayProcess, stores: Stores
) -> None:
    for size in (1000, 3_000_000):
        data = bytes(range(250)) * (size // 250)
        facts = await stores.put_artifact("flask", f"flask-{size}-py3-none-any.whl", data)
        path = f"/pypi/files/flask/{facts.sha256}/{facts.filename}"
        reply = await asyncio.to_thread(gateway.request, path)
        assert reply.status == 200
        assert hashlib.sha256(reply.body).hexdigest() == facts.sha256
        assert reply.headers["etag"] == f'"{facts.sha256}"'
        assert reply.headers["accept-ranges"] == "bytes"
        assert reply.headers["cache-control"] == "max-age=31536000, immutable"
        assert "content-encoding" not in reply.headers
        assert reply.headers["x-cache"] == "HIT"
        head = await asyncio.to_thread(gateway.request, path, "HEAD")
        assert (head.status, head.headers["content-length"]) == (200, str(len(data)))
        part = await asyncio.to_thread(gateway.request, path, range="bytes=10-19")
        assert (part.status, part.body) == (206, data[10:20])
        assert part.headers["content-range"] == f"bytes 10-19/{len(data)}"
        beyond = await asyncio.to_thread(gateway.request, path, range=f"bytes={len(data)}-")
        assert (beyond.status, beyond.headers["content-range"]) == (416, f"bytes */{len(data)}")


async def test_index__hot__conditions_are_still_looked_at(gateway: GatewayProcess, stores: Stores) -> None:
    head = await stores.put_index("flask", b"page")
    for _ in range(3):
        page = await asyncio.to_thread(gateway.request, "/pypi/simple/flask/", accept=JSON)
    etag = head.variants["json.identity"].etag
    known = await asyncio.to_thread(gateway.request, "/pypi/simple/flask/", accept=JSON, if_none_match=etag)
    assert (known.status, known.body) == (304, b"")
    asked = await asyncio.to_thread(gateway.request, "/pypi/simple/flask/", "HEAD", accept=JSON)
    assert (asked.status, asked.body) == (200, b"")
    assert asked.headers["content-length"] == page.headers["content-length"] == "4"


@pytest.mark.parametrize("size", [10_000, 1_000_000])  # kept with its bytes, and by its path
async def test_artifact__hot__conditions_and_ranges_are_still_looked_at(
    gateway: GatewayProcess, stores: Stores, size: int
) -> None:
    data = bytes(range(250)) * (size // 250)
    facts = await stores.put_artifact("flask", "flask-9.0-py3-none-any.whl", data)
    path = f"/pypi/files/flask/{facts.sha256}/flask-9.0-py3-none-any.whl"
    replies = [await asyncio.to_thread(gateway.request, path) for _ in range(4)]
    assert [reply.body for reply in replies] == [data] * 4
    first = replies[0].headers
    for reply in replies[1:]:
        assert reply.headers["x-request-id"] != first["x-request-id"]
        assert {**reply.headers, "x-request-id": "", "date": ""} == {**first, "x-request-id": "", "date": ""}
    part = await asyncio.to_thread(gateway.request, path, range="bytes=10-19")
    assert (part.status, part.body) == (206, data[10:20])
    known = await asyncio.to_thread(gateway.request, path, if_none_match=first["etag"])
    assert (known.status, known.body) == (304, b"")
    head = await asyncio.to_thread(gateway.request, path, "HEAD")
    assert (head.headers["content-length"], head.body) == (str(size), b"")
    where = stores.objects.local_path(facts.object_key)
    assert where is not None
    where.write_bytes(data[:5000])  # cut behind our back
    broken = await asyncio.to_thread(gateway.request, path)
    assert broken.status == 503, "no fetcher runs that could repair it"
