"""Feeds at addresses: asked conditionally, and compared with the checksum that their answer tells."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import pytest_asyncio

from services.fetcher.feeds.download import download, feed_of
from services.fetcher.feeds.files import UnreadableFeed
from services.fetcher.http.manager import HttpClientManager
from shared.errors import OrchardError
from tests.support.upstream import Fault, Reply, Upstream

BODY = b"PK\x03\x04" + bytes(range(256)) * 2000
PATH = "/npm/all.zip"


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    with Upstream() as server:
        server.put(PATH, Reply(BODY, "application/zip"))
        yield server


@pytest_asyncio.fixture
async def http() -> AsyncIterator[HttpClientManager]:
    async with HttpClientManager() as manager:
        yield manager


async def test_feed__whole_then_not_at_all_while_it_is_the_same(
    upstream: Upstream, http: HttpClientManager, tmp_path: Path
) -> None:
    source = feed_of(upstream.url + PATH, 0).source
    assert source is not None
    target = tmp_path / "feed.zip"
    etag = await download(http, source, "", target)
    assert etag
    assert target.read_bytes() == BODY
    assert await download(http, source, etag, target) == ""
    upstream.put(PATH, Reply(BODY + b"more", "application/zip"))
    assert await download(http, source, etag, target) not in ("", etag)
    assert target.read_bytes() == BODY + b"more"


async def test_feed_without_an_etag__is_known_by_its_bytes(
    upstream: Upstream, http: HttpClientManager, tmp_path: Path
) -> None:
    upstream.put(PATH, replace(upstream.reply(PATH), etag=""))
    source = feed_of(upstream.url + PATH, 0).source
    assert source is not None
    state = await download(http, source, "", tmp_path / "feed.zip")
    assert state == f"sha256:{hashlib.sha256(BODY).hexdigest()}"


def coded(name: str) -> str:
    return base64.b64encode(hashlib.new(name, BODY).digest()).decode()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("repr-digest", f"sha-256=:{coded('sha256')}:"),
        ("content-digest", f"sha-512=:{coded('sha512')}:, unixsum=:0:"),
        ("x-goog-hash", f"crc32c=n03x6A==, md5={coded('md5')}"),
        ("content-md5", coded("md5")),
    ],
    ids=["repr-digest", "content-digest", "x-goog-hash", "content-md5"],
)
async def test_checksum__that_of_the_bytes_or_the_feed_is_refused(
    upstream: Upstream, http: HttpClientManager, tmp_path: Path, field: str, value: str
) -> None:
    source = feed_of(upstream.url + PATH, 0).source
    assert source is not None
    reply = replace(upstream.reply(PATH), headers={field: value})
    upstream.put(PATH, reply)
    assert await download(http, source, "", tmp_path / "feed.zip")
    upstream.put(PATH, replace(reply, body=BODY[:-1] + b"x"))
    with pytest.raises(UnreadableFeed, match="checksum"):
        await download(http, source, "", tmp_path / "feed.zip")


@pytest.mark.parametrize(
    ("field", "value"),
    [("repr-digest", "sha-256=:not base64!:"), ("x-goog-hash", "md5=***"), ("content-md5", "abc")],
)
async def test_checksum_that_cannot_be_read__the_feed_is_refused(
    upstream: Upstream, http: HttpClientManager, tmp_path: Path, field: str, value: str
) -> None:
    source = feed_of(upstream.url + PATH, 0).source
    assert source is not None
    upstream.put(PATH, replace(upstream.reply(PATH), headers={field: value}))
    with pytest.raises(UnreadableFeed, match="checksum that cannot be read"):
        await download(http, source, "", tmp_path / "feed.zip")


@pytest.mark.parametrize(
    "fault", [Fault(status=503), Fault(status=404), Fault(cut_at=1000), Fault(status=204)]
)
async def test_feed_that_does_not_answer_as_it_should__is_told(
    upstream: Upstream, http: HttpClientManager, tmp_path: Path, fault: Fault
) -> None:
    source = feed_of(upstream.url + PATH, 0).source
    assert source is not None
    upstream.fault(PATH, fault)
    with pytest.raises((OrchardError, UnreadableFeed)):
        await download(http, source, '"x"', tmp_path / "feed.zip")


def test_feed__credentials_are_in_no_name() -> None:
    url = "https://osv.example.org/npm/all.zip"
    feed = feed_of("https://me:se%40cret@osv.example.org/npm/all.zip?signature=abc", 3)
    assert feed.name.startswith(f"{url}#") and "abc" not in feed.name
    assert feed.source is not None
    assert (feed.source.username, feed.source.password) == ("me", "se@cret")
    assert feed.source.url == f"{url}?signature=abc"
    assert feed_of(f"{url}?signature=other", 3).name != feed.name  # two feeds
    assert feed_of(url, 3).name == url
    assert feed_of("/var/lib/osv", 0).path == Path("/var/lib/osv")
