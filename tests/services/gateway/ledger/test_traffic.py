"""Requests by day: totals of each gateway under its own name, summed, over a midnight and Redis's absence."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from services.gateway.ledger.traffic import KEY_PREFIX, Traffic, TrafficLog
from shared.errors.passing import QueueUnavailable
from shared.redis.client import RedisClient
from shared.telemetry.answered import Answered, Totals
from tests.services.gateway.ledger.test_ledger import client_of
from tests.support.stores import RedisAddress

NOON = 1_795_694_400.0  # 2026-11-26T12:00:00Z
TODAY, TOMORROW = "2026-11-26", "2026-11-27"


@pytest.fixture
async def redis(queue_redis: RedisAddress) -> AsyncIterator[RedisClient]:
    client = client_of(queue_redis)
    await client.unlink(KEY_PREFIX + TODAY, KEY_PREFIX + TOMORROW)
    yield client
    await client.aclose()


class Gateway:
    """Counts and a clock."""

    def __init__(self, redis: RedisClient) -> None:
        self.totals: dict[str, Totals] = {}
        self.now = NOON
        self.log = TrafficLog(redis, lambda: self.totals, clock=lambda: self.now)


async def test_two_gateways__each_writes_what_it_has_counted__the_sum_is_read(redis: RedisClient) -> None:
    one, other = Gateway(redis), Gateway(redis)
    one.totals = {"pypi": Totals(10, 7, 1000, 700)}
    other.totals = {"pypi": Totals(1, 1, 5, 5), "npm": Totals(2, 0, 20, 0)}
    for _ in range(3):  # again and again: totals, not additions
        await one.log.flush()
        await other.log.flush()
    [today] = await one.log.read([TODAY])
    assert today == {"pypi": Traffic(11, 8, 1005, 705), "npm": Traffic(2, 0, 20, 0)}


async def test_midnight__the_new_day_begins_at_nothing(redis: RedisClient) -> None:
    gateway = Gateway(redis)
    gateway.totals = {"pypi": Totals(10, 7, 1000, 700)}
    await gateway.log.flush()
    gateway.now += 86_400
    gateway.totals = {"pypi": Totals(12, 8, 1200, 800)}
    await gateway.log.flush()
    today, tomorrow = await gateway.log.read([TODAY, TOMORROW])
    assert (today["pypi"], tomorrow["pypi"]) == (Traffic(10, 7, 1000, 700), Traffic(2, 1, 200, 100))


async def test_redis_away__reading_says_so_and_what_was_counted_is_written_later(
    redis: RedisClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway = Gateway(redis)
    gateway.totals = {"pypi": Totals(3, 3, 9, 9)}

    async def away(*_: object) -> None:
        raise QueueUnavailable("away")

    with monkeypatch.context() as patched:
        patched.setattr(redis, "command", away)
        await gateway.log.flush()
        with pytest.raises(QueueUnavailable):
            await gateway.log.read([TODAY])
    assert (await gateway.log.read([TODAY]))[0]["pypi"] == Traffic(3, 3, 9, 9)


async def test_value_of_another_version__is_passed_over(redis: RedisClient) -> None:
    gateway = Gateway(redis)
    gateway.totals = {"pypi": Totals(3, 3, 9, 9)}
    await redis.command("HSET", KEY_PREFIX + TODAY, "pypi:later", b"\xc1")
    assert (await gateway.log.read([TODAY]))[0] == {"pypi": Traffic(3, 3, 9, 9)}


def test_totals__saved_is_what_no_upstream_was_asked_for__refusals_and_own_answers_are_left_out() -> None:
    answered = Answered([1.0], lambda protocol, result: (protocol, result))
    for protocol, result, size in (
        ("pypi", "HIT", 10), ("pypi", "STALE", 5), ("pypi", "MISS", 100), ("pypi", "LIVE", 50),
        ("pypi", "NONE", 7), ("api", "HIT", 9), ("other", "", 3), ("npm", "NEGATIVE", 1),
    ):  # fmt: skip
        answered.observe(protocol, result, 200, 0.1, size)
    assert answered.totals() == {"pypi": Totals(4, 2, 165, 15), "npm": Totals(1, 1, 1, 1)}
