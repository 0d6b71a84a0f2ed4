"""Header values as bytes: what an upstream sent is what it gets back."""

from __future__ import annotations

from collections.abc import AsyncIterator

import msgspec
import pytest
import pytest_asyncio

from services.fetcher.http import fields
from services.fetcher.http.manager import HttpClientManager
from shared.models import UpstreamSource
from tests.support.upstream import Fault, Reply, Upstream


@pytest_asyncio.fixture
async def manager() -> AsyncIterator[HttpClientManager]:
    async with HttpClientManager(connect_timeout_seconds=5, read_timeout_seconds=4) as opened:
        yield opened


def _source(upstream: Upstream) -> UpstreamSource:
    return UpstreamSource(1, "pypi", "test", f"{upstream.url}/simple/")


ALL_BYTES = "".join(map(chr, (*range(0x20, 0x7F), *range(0x80, 0x100))))


@pytest.mark.parametrize("value", ["plain", "caf\xe9", "caf\xc3\xa9", f"[{ALL_BYTES}]"], ids=ascii)
async def test_value__read_and_sent__the_same_bytes(
    manager: HttpClientManager, upstream: Upstream, value: str
) -> None:
    upstream.put("/file", Reply(b"x", headers={"x-told": value, "x-other": "\xff"}))
    url = upstream.url + "/file"
    async with manager.stream(_source(upstream), url) as response:
        told = response.headers["x-told"]
    async with manager.stream(_source(upstream), url, headers={"if-none-match": told}) as response:
        assert b"".join([chunk async for chunk in response.chunks()]) == b"x"
    assert upstream.seen("/file")[1].headers["if-none-match"] == told == value


async def test_value__more_than_ascii__the_connection_is_used_again_with_a_body_too(
    manager: HttpClientManager, upstream: Upstream
) -> None:
    upstream.put("/file", b"x")
    url, told = upstream.url + "/file", {"if-none-match": '"\xe9"'}
    for method, headers, content in (
        ("GET", told, None),
        ("HEAD", told, None),
        ("POST", {}, "caf\xe9".encode()),
        ("GET", told, None),
    ):
        async with manager.stream(
            _source(upstream), url, method=method, headers=headers, content=content
        ) as response:
            assert [chunk async for chunk in response.chunks()] == ([] if method == "HEAD" else [b"x"])
    assert upstream.requests[2].body == "caf\xe9".encode()
    assert {request.connection for request in upstream.requests} == {upstream.requests[0].connection}


@pytest.mark.parametrize(
    ("location", "path"),
    [
        ("/caf\xc3\xa9", "/caf%C3%A9"),  # UTF-8, as browsers take it
        ("/caf\xe9", "/caf%E9"),
        ("/caf%E9?a=%20b", "/caf%E9?a=%20b"),
    ],
)
async def test_redirect__to_more_than_ascii__its_bytes_escaped(
    manager: HttpClientManager, upstream: Upstream, location: str, path: str
) -> None:
    upstream.put(path.partition("?")[0], b"x")
    upstream.fault("/old", Fault(redirect=location))
    async with manager.stream(_source(upstream), upstream.url + "/old") as response:
        assert response.status == 200
    assert upstream.requests[-1].path == path


async def test_token__more_than_ascii__its_bytes_are_utf_8(
    manager: HttpClientManager, upstream: Upstream
) -> None:
    upstream.put("/file", b"x")
    source = msgspec.structs.replace(_source(upstream), token="caf\xe9\u2605")
    async with manager.stream(source, upstream.url + "/file") as response:
        assert response.status == 200
    sent = upstream.requests[0].headers["authorization"]
    assert sent.encode("latin-1").decode() == "Bearer caf\xe9\u2605"


@pytest.mark.parametrize(
    ("name", "value", "stays"),
    [
        ("etag", '"\xe9"', True),
        ("etag", '"' + "\xe9" * 4094 + '"', True),
        ("etag", '"' + "a" * 4095 + '"', False),
        ("etag", "", False),
        ("etag", '"\x1f"', False),
        ("etag", '"\x7f"', False),
        ("last-modified", "Sun, 06 Nov 1994 08:49:37 GMT", True),
        ("last-modified", "a" * 129, False),
        ("last-modified", "some\x01day", False),
        ("x-other", "\x01" * 5000, True),
    ],
)
def test_validator__that_cannot_be_sent__is_none(name: str, value: str, stays: bool) -> None:
    raw = ((name.title().encode(), value.encode("latin-1")), (b"Content-Length", b"1"))
    headers = fields.received(raw)
    assert headers.get(name) == (value if stays else None)
    assert headers["content-length"] == "1"


def test_conditions__of_a_row_of_before__without_what_cannot_be_sent() -> None:
    kept = {"if-none-match": '"\u2605"', "if-modified-since": "Sun, 06 Nov 1994 08:49:37 GMT"}
    assert list(fields.conditions(kept)) == ["if-modified-since"]
