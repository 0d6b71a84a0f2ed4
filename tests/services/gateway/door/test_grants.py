"""Grants in a real Redis: at every gateway at once, until they are over or their trust rule is gone."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator

import pytest

from services.gateway.door import access as door
from services.gateway.door import grants as module
from services.gateway.door.access import Access
from services.gateway.door.grants import KEY_PREFIX, Grants
from shared.access.bounds import Bounds
from shared.access.repository import AccessState
from shared.access.tokens import digest_of, new_short_token
from shared.access.trust import TrustRule
from shared.errors import TooManyGuesses, Unauthorized
from shared.errors.passing import AccessUnknown, QueueUnavailable
from shared.models import FORMAT
from shared.redis.client import RedisClient
from shared.settings import Settings
from tests.services.gateway.ledger.test_ledger import client_of
from tests.support.stores import RedisAddress

RULE = TrustRule("7", "ci", "https://ci.example.com", "orchard", {"sub": ("job",)})


@pytest.fixture
async def redis(queue_redis: RedisAddress) -> AsyncIterator[RedisClient]:
    client = client_of(queue_redis)
    yield client
    await client.aclose()


def gateway(redis: RedisClient, *rules: TrustRule) -> tuple[Access, Grants]:
    """Of one gateway, which knows these rules."""
    access = Access(Settings(anonymous_read=False, wrong_tokens=2), None)  # type: ignore[arg-type] # not asked
    access.changed(AccessState(FORMAT, 1, trust=rules))
    return access, Grants(redis, access)


async def made(grants: Grants, seconds: float = 900) -> bytes:
    """The header of a new one."""
    token, now = new_short_token().encode(), time.time()
    await grants.make(RULE.id, token, "ci/job", "read", Bounds(expires_at=now + seconds), now)
    return b"Bearer " + token


async def test_grant__made_at_one_gateway__counts_at_another_that_is_told_nothing(redis: RedisClient) -> None:
    here, grants = gateway(redis, RULE)
    there, others = gateway(redis, RULE)
    header = await made(grants)
    await others.learn(header)
    for access in (here, there):
        token = access.grant(header)
        assert (token.name, token.scope, access.has_seen(header)) == ("ci/job", "read", True)
    digest = digest_of(header.partition(b" ")[2])
    assert 0 < int(await redis.command("TTL", KEY_PREFIX + digest.hex())) <= 900
    assert header.partition(b" ")[2] not in await redis.command("GET", KEY_PREFIX + digest.hex())


async def test_grant__is_over__refused_where_it_is_remembered_too(
    redis: RedisClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    access, grants = gateway(redis, RULE)
    header = await made(grants)
    assert access.grant(header).name == "ci/job"
    later = time.time() + 900
    monkeypatch.setattr(door.time, "time", lambda: later)
    with pytest.raises(Unauthorized, match="over"):
        access.grant(header)


async def test_grant__its_rule_is_gone__refused_at_once(redis: RedisClient) -> None:
    access, grants = gateway(redis, RULE)
    header = await made(grants)
    assert access.grant(header).name == "ci/job"
    access.changed(AccessState(FORMAT, 2))
    with pytest.raises(Unauthorized, match="trust rule is gone"):
        access.grant(header)


async def test_grant__redis_away__is_not_called_wrong_and_one_that_was_seen_goes_on(
    redis: RedisClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, grants = gateway(redis, RULE)
    there, others = gateway(redis, RULE)
    header = await made(grants)

    async def away(*_: object) -> None:
        raise QueueUnavailable("away")

    monkeypatch.setattr(redis, "command", away)
    await others.learn(header)
    with pytest.raises(AccessUnknown):
        there.grant(header)
    assert here.grant(header).name == "ci/job"
    monkeypatch.undo()
    await others.learn(header)
    assert there.grant(header).name == "ci/job"


async def test_short_tokens_that_are_over__make_nobody_wait(redis: RedisClient) -> None:
    access, grants = gateway(redis, RULE)
    for _ in range(5):
        header = b"Bearer " + new_short_token().encode()
        await grants.learn(header)
        with pytest.raises(Unauthorized, match="over"):
            access.grant(header, "192.0.2.1")
    with pytest.raises(Unauthorized, match="no token that is known"):
        access.grant(b"Bearer chosen", "192.0.2.1")


@pytest.mark.parametrize("header", [b"Bearer x", b"Basic eDp5", b"", b"Bearer orchard_short_" + b"x" * 200])
async def test_other_headers__ask_redis_nothing(
    redis: RedisClient, header: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, grants = gateway(redis, RULE)

    async def asked(*_: object) -> None:
        raise AssertionError("asked")

    monkeypatch.setattr(redis, "command", asked)
    await grants.learn(header)


async def test_rule__that_gives_without_end__is_bounded(
    redis: RedisClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST", 2)
    _, grants = gateway(redis, RULE)
    await made(grants)
    await made(grants)
    with pytest.raises(TooManyGuesses):
        await made(grants)


async def test_count_of_a_rule__without_an_end__gets_one(redis: RedisClient) -> None:
    key = module.COUNT_PREFIX + RULE.id
    await redis.command("SET", key, module.MOST - 1)
    _, grants = gateway(redis, RULE)
    await made(grants)
    assert 0 < int(await redis.command("TTL", key)) <= module.WINDOW_SECONDS
    with pytest.raises(TooManyGuesses):
        await made(grants)


async def test_grant__of_another_version__is_none(redis: RedisClient) -> None:
    access, grants = gateway(redis, RULE)
    for raw in (b"", b"\xc1", b"\x81\xa6format\x09"):
        token = new_short_token().encode()
        await redis.command("SET", KEY_PREFIX + digest_of(token).hex(), raw)
        await grants.learn(b"Bearer " + token)
        with pytest.raises(Unauthorized):
            access.grant(b"Bearer " + token)
