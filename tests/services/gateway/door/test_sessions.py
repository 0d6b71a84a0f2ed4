"""Sessions of browsers in a real Redis: what the cookie is, and when a session is none."""

from __future__ import annotations

import hashlib
import time
from collections.abc import AsyncIterator

import msgspec
import pytest

from services.gateway.door.access import Access
from services.gateway.door.grants import Grants
from services.gateway.door.sessions import KEY_PREFIX, Session, Sessions
from shared.access.bounds import Bounds
from shared.access.repository import AccessState, KnownToken
from shared.access.trust import people_of
from shared.errors.passing import QueueUnavailable
from shared.models import FORMAT
from shared.redis.client import RedisClient
from shared.settings import load_settings
from tests.services.gateway.ledger.test_ledger import client_of
from tests.support.stores import RedisAddress

HOME = "127.0.0.1"
TOKEN = KnownToken(1, "alice", "read", "ab" * 32)


@pytest.fixture
async def redis(queue_redis: RedisAddress) -> AsyncIterator[RedisClient]:
    client = client_of(queue_redis)
    yield client
    await client.aclose()


@pytest.fixture
def access() -> Access:
    found = Access(load_settings({}), None)  # type: ignore[arg-type] # not asked
    found.changed(AccessState(FORMAT, 1, (TOKEN,)))
    return found


def sessions_of(redis: RedisClient, access: Access) -> Sessions:
    return Sessions(redis, access, Grants(redis, access))


def cookie(name: str, beside: bytes = b"") -> dict[bytes, bytes]:
    return {b"cookie": beside + b"orchard_session=" + name.encode()}


async def test_session__found_by_its_cookie_alone_until_it_ends(redis: RedisClient, access: Access) -> None:
    sessions = sessions_of(redis, access)
    name = await sessions.begin(TOKEN)
    assert await sessions.find(cookie(name), HOME) == TOKEN
    assert await sessions.find(cookie(name, b"theme=dark; "), HOME) == TOKEN
    for other in (name[:-1], name + "x", "", "x" * 43, "*"):
        assert await sessions.find(cookie(other), HOME) is None
    assert await sessions.find({b"cookie": b"other_orchard_session=" + name.encode()}, HOME) is None
    await sessions.end(cookie(name))
    assert await sessions.find(cookie(name), HOME) is None


async def test_session__is_of_its_token_as_that_is_now(redis: RedisClient, access: Access) -> None:
    sessions = sessions_of(redis, access)
    name = await sessions.begin(TOKEN)
    promoted = msgspec.structs.replace(TOKEN, scope="admin")
    access.changed(AccessState(FORMAT, 2, (promoted,)))
    assert await sessions.find(cookie(name), HOME) == promoted
    access.changed(AccessState(FORMAT, 3))
    assert await sessions.find(cookie(name), HOME) is None


async def test_session__in_redis__has_an_end_and_neither_cookie_nor_token(
    redis: RedisClient, access: Access
) -> None:
    name = await sessions_of(redis, access).begin(TOKEN)
    key = KEY_PREFIX + hashlib.sha256(name.encode()).hexdigest()
    assert 0 < int(await redis.command("TTL", key)) <= 12 * 3600
    assert name.encode() not in await redis.command("GET", key)


@pytest.mark.parametrize("value", [b"", b"\xc1", msgspec.msgpack.encode(Session(FORMAT + 1, TOKEN.digest))])
async def test_session__of_another_version__is_none(redis: RedisClient, access: Access, value: bytes) -> None:
    sessions = sessions_of(redis, access)
    name = await sessions.begin(TOKEN)
    await redis.command("SET", KEY_PREFIX + hashlib.sha256(name.encode()).hexdigest(), value)
    assert await sessions.find(cookie(name), HOME) is None


async def test_session__redis_away__raises_and_without_a_cookie_nothing_is_asked(
    redis: RedisClient, access: Access, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(*_: object) -> None:
        raise QueueUnavailable("away")

    monkeypatch.setattr(redis, "command", away)
    assert await sessions_of(redis, access).find({}, HOME) is None
    with pytest.raises(QueueUnavailable):
        await sessions_of(redis, access).find(cookie("x" * 43), HOME)


async def test_session__of_a_grant__is_found_by_another_gateway_until_the_grant_is_over(
    redis: RedisClient, access: Access
) -> None:
    now = time.time()
    trust = people_of(load_settings({}))
    bounds = Bounds(expires_at=now + 600)
    token = await Grants(redis, access).make(trust, b"unknown to all", "oidc/alice", "admin", bounds, now)
    name = await sessions_of(redis, access).begin(token, is_grant=True)
    elsewhere = Access(load_settings({}), None)  # type: ignore[arg-type] # not asked
    found = await sessions_of(redis, elsewhere).find(cookie(name), HOME)
    assert found is not None and (found.name, found.scope) == ("oidc/alice", "admin")
    other_settings = Access(load_settings({"ORCHARD_OIDC_READ": "sub=*"}), None)  # type: ignore[arg-type]
    assert await sessions_of(redis, other_settings).find(cookie(name), HOME) is None
    await redis.unlink("orchard:grant:" + token.digest)
    late = Access(load_settings({}), None)  # type: ignore[arg-type] # not asked
    assert await sessions_of(redis, late).find(cookie(name), HOME) is None
