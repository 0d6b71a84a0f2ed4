"""Finished responses of hot pages: bounded in memory whatever clients send."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator

import msgspec
import pytest_asyncio

from services.gateway.hot import LONGEST_KEY, HotPages, Key
from services.gateway.l1 import L1Cache
from shared.cache import CacheService
from shared.clients.redis import RedisClient
from shared.models import FORMAT, IndexHead, VariantInfo
from shared.protocols.conditions import Conditions
from shared.protocols.flows import served_now
from shared.protocols.resource import Resource
from shared.settings import Settings
from tests.support.stores import RedisAddress

PAGE = Resource(protocol="pypi", kind="index", identity="simple/flask", representation="json")
VARIANT = "json.identity"
BODY = b'{"files":[]}'


@pytest_asyncio.fixture
async def redis(cache_redis: RedisAddress) -> AsyncIterator[RedisClient]:
    client = RedisClient(
        host=cache_redis.host, port=cache_redis.port, password=cache_redis.password, role="cache"
    )
    yield client
    await client.aclose()


@pytest_asyncio.fixture
async def l1(redis: RedisClient) -> AsyncIterator[L1Cache]:
    l1 = L1Cache(redis, max_bytes=1024 * 1024)
    await l1.open()
    yield l1
    await l1.aclose()


def _key(accept: bytes) -> Key:
    return ("GET", b"/pypi/simple/flask/", b"", accept, b"gzip")


async def test_hot_page__no_cache_heeded_or_not__and_the_header_of_a_stranger_is_no_key(
    redis: RedisClient, l1: L1Cache
) -> None:
    cache = CacheService.from_settings(redis, Settings(), reader=l1)
    now = time.time()
    head = IndexHead(
        FORMAT, 200, 1, 0, 1, now, now + 300, variants={VARIANT: VariantInfo('"x"', len(BODY), "text/x")}
    )
    await cache.write_index("pypi", PAGE.identity, head, {VARIANT: BODY})
    await cache.read_index("pypi", PAGE.identity, VARIANT)
    entry = cache.peek_index("pypi", PAGE.identity, VARIANT)
    assert entry is not None
    reply = served_now(PAGE, Conditions(), VARIANT, entry, now=now, stale_limit=0)
    assert reply is not None
    hot = HotPages(l1, max_bytes=1024 * 1024)
    no_cache = {b"cache-control": b"no-cache"}
    heedless = msgspec.structs.replace(
        PAGE, honours_no_cache=False
    )  # as Maven's, whose clients always say it
    for resource, found in ((PAGE, False), (heedless, True)):
        hot.keep(_key(b"*/*"), resource, VARIANT, entry, reply, "/")
        assert (hot.find(_key(b"*/*"), no_cache, now) is not None) is found
    for accept in (b"text/html", b"text/html;" + b"x" * LONGEST_KEY):
        hot.keep(_key(accept), PAGE, VARIANT, entry, reply, "/")
    assert hot.find(_key(b"text/html"), {}, now) is not None
    assert hot.find(_key(b"text/html;" + b"x" * LONGEST_KEY), {}, now) is None
