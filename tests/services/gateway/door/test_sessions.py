"""Sessions of browsers in a real Redis: what the cookie is, and when a session is none."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator

import msgspec
import pytest

from services.gateway.door.access import Access
from services.gateway.door.sessions import KEY_PREFIX, Session, Sessions
from shared.access.repository import AccessState, KnownToken
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


def cookie(name: str, beside: bytes = b"") -> dict[bytes, bytes]:
    return {b"cookie": beside + b"orchard_session=" + name.encode()}


async def test_session__found_by_its_cookie_alone_until_it_ends(redis: RedisClient, access: Access) -> None:
    sessions = Sessions(redis, access)
    name = await sessions.begin(TOKEN)
    assert await sessions.find(cookie(name), HOME) == TOKEN
    assert await sessions.find(cookie(name, b"theme=dark; "), HOME) == TOKEN
    for other in (name[:-1], name + "x", "", "x" * 43, "*"):
        assert await sessions.find(cookie(other), HOME) is None
    assert await sessions.find({b"cookie": b"other_orchard_session=" + name.encode()}, HOME) is None
    await sessions.end(cookie(name))
    assert await sessions.find(cookie(name), HOME) is None


async def test_session__is_of_its_token_as_that_is_now(redis: RedisClient, access: Access) -> None:
    sessions = Sessions(redis, access)
    name = await sessions.begin(TOKEN)
    promoted = msgspec.structs.replace(TOKEN, scope="admin")
    access.changed(AccessState(FORMAT, 2, (promoted,)))
    assert await sessions.find(cookie(name), HOME) == promoted
    access.changed(AccessState(FORMAT, 3))
    assert await sessions.find(cookie(name), HOME) is None


async def test_session__in_redis__has_an_end_and_neither_cookie_nor_token(
    redis: RedisClient, access: Access
) -> None:
    name = await Sessions(redis, access).begin(TOKEN)
    key = KEY_PREFIX + hashlib.sha256(name.encode()).hexdigest()
    assert 0 < int(await redis.command("TTL", key)) <= 12 * 3600
    assert name.encode() not in await redis.command("GET", key)


@pytest.mark.parametrize("value", [b"", b"\xc1", msgspec.msgpack.encode(Session(FORMAT + 1, TOKEN.digest))])
async def test_session__of_another_version__is_none(redis: RedisClient, access: Access, value: bytes) -> None:
    sessions = Sessions(redis, access)
    name = await sessions.begin(TOKEN)
    await redis.command("SET", KEY_PREFIX + hashlib.sha256(name.encode()).hexdigest(), value)
    assert await sessions.find(cookie(name), HOME) is None


async def test_session__redis_away__raises_and_without_a_cookie_nothing_is_asked(
    redis: RedisClient, access: Access, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(*_: object) -> None:
        raise QueueUnavailable("away")

    monkeypatch.setattr(redis, "command", away)
    assert await Sessions(redis, access).find({}, HOME) is None
    with pytest.raises(QueueUnavailable):
        await Sessions(redis, access).find(cookie("x" * 43), HOME)
