"""Freshness is judged by one clock, and by no time that cannot be."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator

import pytest

from services.gateway.serving.index_reply import judge, remaining_life
from shared.cache.service import IndexRead
from shared.models import FORMAT, IndexHead
from shared.redis import clock
from shared.redis.client import RedisClient
from shared.redis.clock import APART_SECONDS, SharedClock
from shared.telemetry import metrics
from tests.support.stores import RedisAddress


@pytest.fixture
async def redis(cache_redis: RedisAddress) -> AsyncIterator[RedisClient]:
    client = RedisClient(
        host=cache_redis.host, port=cache_redis.port, password=cache_redis.password, role="cache"
    )
    yield client
    await client.aclose()


@pytest.mark.parametrize("hours", [-1, 0, 1])
async def test_now__this_machines_wall_clock_is_wrong__is_the_time_of_redis(
    redis: RedisClient, monkeypatch: pytest.MonkeyPatch, hours: int
) -> None:
    true_time = time.time
    shared = SharedClock(redis)
    await shared.open()
    try:
        monkeypatch.setattr(time, "time", lambda: true_time() + hours * 3600)
        await shared.measure()
        assert abs(clock.now() - true_time()) < 1
        skew = metrics.CLOCK_SKEW.collect()[0].samples[0].value
        assert abs(skew - hours * 3600) < 1
    finally:
        await shared.aclose()


async def test_now__redis_is_away__is_the_wall_clock(redis: RedisClient) -> None:
    away = RedisClient(host="127.0.0.1", port=1, role="cache")
    shared = SharedClock(away)
    await shared.open()
    try:
        assert abs(clock.now() - time.time()) < 1
    finally:
        await shared.aclose()
        await away.aclose()


def entry(status: int, *, fetched_at: float, ttl: float = 300.0) -> IndexRead:
    head = IndexHead(FORMAT, status, 1, 1, 1, fetched_at, fetched_at + ttl)
    return IndexRead(head, None, 1)


NOW = 1_000_000.0


@pytest.mark.parametrize(
    ("fetched_at", "page", "absent"),
    [
        (NOW, "fresh", "negative"),
        (NOW - 299, "fresh", "negative"),
        (NOW - 301, "expired", "miss"),
        (NOW + APART_SECONDS, "fresh", "negative"),  # two processes' clocks
        (NOW + APART_SECONDS + 1, "expired", "miss"),  # the clock has gone back
        (NOW + 3600, "expired", "miss"),
        (NOW + 1e9, "expired", "miss"),
    ],
)
def test_judge__age_by_the_clock(fetched_at: float, page: str, absent: str) -> None:
    assert judge(entry(200, fetched_at=fetched_at), NOW, stale_limit=0) == page
    assert judge(entry(404, fetched_at=fetched_at), NOW, stale_limit=0) == absent


@pytest.mark.parametrize("ahead", [0, 5, 3600])
def test_remaining_life__never_longer_than_the_ttl(ahead: float) -> None:
    head = entry(200, fetched_at=NOW + ahead).head
    assert head is not None
    assert remaining_life(head.fetched_at, head.fresh_until, NOW) <= 300
