"""An issuer that rotates its keys, is away, or lies: how often it is asked, and what goes on."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Iterator

import pytest

from services.fetcher.http.manager import HttpClientManager
from services.fetcher.identity import issuers as module
from services.fetcher.identity.issuers import AGAIN_SECONDS, FRESH_SECONDS, LAST_GOOD_SECONDS, Issuers
from services.fetcher.identity.keys import Head
from shared.errors.passing import IssuerUnavailable
from shared.redis.client import RedisClient
from tests.services.gateway.ledger.test_ledger import client_of
from tests.support.issuer import EC, FOREIGN, RSA, Issuer
from tests.support.stores import RedisAddress

CONFIGURATION = "/.well-known/openid-configuration"
BY_RSA, BY_EC = Head("RS256", "rsa"), Head("ES256", "ec")


class Clock:
    now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    with Issuer() as running:
        running.keys = [RSA]
        yield running


@pytest.fixture
async def redis(queue_redis: RedisAddress) -> AsyncIterator[RedisClient]:
    client = client_of(queue_redis)
    yield client
    await client.aclose()


@pytest.fixture
async def http() -> AsyncIterator[HttpClientManager]:
    async with HttpClientManager() as manager:
        yield manager


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def issuers(http: HttpClientManager, redis: RedisClient, clock: Clock) -> Issuers:
    return Issuers(http, redis, clock)


async def test_keys__are_asked_once_while_they_are_fresh(
    issuers: Issuers, issuer: Issuer, clock: Clock
) -> None:
    for _ in range(5):
        assert (await issuers.key(issuer.url, BY_RSA))["kid"] == "rsa"
    assert issuer.asked == {CONFIGURATION: 1, "/keys": 1}
    clock.now += FRESH_SECONDS
    await issuers.key(issuer.url, BY_RSA)
    assert issuer.asked == {CONFIGURATION: 2, "/keys": 2}


async def test_unknown_key__is_asked_for_at_a_bounded_rate(
    issuers: Issuers, issuer: Issuer, clock: Clock
) -> None:
    await issuers.key(issuer.url, BY_RSA)
    for _ in range(20):
        with pytest.raises(IssuerUnavailable, match="some seconds ago"):
            await issuers.key(issuer.url, BY_EC)
    assert issuer.asked["/keys"] == 1
    issuer.keys = [EC]  # rotated
    clock.now += AGAIN_SECONDS
    assert (await issuers.key(issuer.url, BY_EC))["kid"] == "ec"
    assert issuer.asked["/keys"] == 2
    clock.now += AGAIN_SECONDS
    with pytest.raises(module.IdentityRefused, match="does not publish"):
        await issuers.key(issuer.url, BY_RSA)


async def test_tokens_that_name_no_key__after_a_rotation__get_the_new_one(
    issuers: Issuers, issuer: Issuer, clock: Clock
) -> None:
    nameless = Head("RS256", None)
    old = await issuers.key(issuer.url, nameless)
    assert await issuers.newer_key(issuer.url, nameless, old) is None, "asked just now"
    clock.now += AGAIN_SECONDS
    assert await issuers.newer_key(issuer.url, nameless, old) is None, "it has no other"
    issuer.keys = [FOREIGN]
    clock.now += AGAIN_SECONDS
    new = await issuers.newer_key(issuer.url, nameless, old)
    assert new is not None and new["n"] != old["n"]
    assert await issuers.newer_key(issuer.url, BY_RSA, new) is None


async def test_issuer_away__the_last_good_keys_go_on_for_a_day_and_no_longer(
    issuers: Issuers, issuer: Issuer, clock: Clock
) -> None:
    await issuers.key(issuer.url, BY_RSA)
    issuer.answers["/keys"] = (503, {}, b"")
    clock.now += FRESH_SECONDS
    for _ in range(5):
        assert (await issuers.key(issuer.url, BY_RSA))["kid"] == "rsa"
    assert issuer.asked["/keys"] == 2, "and it is left alone meanwhile"
    clock.now += LAST_GOOD_SECONDS
    with pytest.raises(IssuerUnavailable, match="503"):
        await issuers.key(issuer.url, BY_RSA)
    del issuer.answers["/keys"]
    clock.now += AGAIN_SECONDS
    assert (await issuers.key(issuer.url, BY_RSA))["kid"] == "rsa"


async def test_another_fetcher__takes_the_copy(
    http: HttpClientManager, redis: RedisClient, issuers: Issuers, issuer: Issuer, clock: Clock
) -> None:
    await issuers.key(issuer.url, BY_RSA)
    assert (await Issuers(http, redis, clock).key(issuer.url, BY_RSA))["kid"] == "rsa"
    assert issuer.asked["/keys"] == 1


LIES = {
    "another issuer": (
        CONFIGURATION,
        lambda i: (200, {}, i.configuration(issuer="https://evil.example.com")),
    ),
    "no issuer": (CONFIGURATION, lambda i: (200, {}, b'{"jwks_uri": "https://ci.example.com/keys"}')),
    "no configuration": (CONFIGURATION, lambda i: (200, {}, b"<html>")),
    "a list": (CONFIGURATION, lambda i: (200, {}, b"[]")),
    "not found": (CONFIGURATION, lambda i: (404, {}, b"")),
    "elsewhere": (CONFIGURATION, lambda i: (302, {"location": f"{i.url}/other"}, b"")),
    "oversized": (CONFIGURATION, lambda i: (200, {}, b" " * 300_000)),
    "keys at a file": (CONFIGURATION, lambda i: (200, {}, i.configuration(jwks_uri="file:///etc/passwd"))),
    "keys at a cloud's metadata": (
        CONFIGURATION,
        lambda i: (200, {}, i.configuration(jwks_uri="http://169.254.169.254/latest")),
    ),
    "keys at a private address": (
        CONFIGURATION,
        lambda i: (200, {}, i.configuration(jwks_uri="http://10.0.0.1/keys")),
    ),
    "keys elsewhere": ("/keys", lambda i: (307, {"location": f"{i.url}/other"}, b"")),
    "keys oversized": ("/keys", lambda i: (200, {}, b" " * 300_000)),
    "keys no JSON": ("/keys", lambda i: (200, {}, b"{")),
    "keys no keys": ("/keys", lambda i: (200, {}, b'{"keys": 1}')),
    "keys a bomb": ("/keys", lambda i: (200, {"content-encoding": "gzip"}, BOMB)),
}


def _bomb() -> bytes:
    import gzip

    return gzip.compress(b" " * 50_000_000)


BOMB = _bomb()


@pytest.mark.parametrize("lie", LIES)
async def test_issuer__that_lies__is_as_one_that_is_away(issuers: Issuers, issuer: Issuer, lie: str) -> None:
    path, answer = LIES[lie]
    status, headers, body = issuer.answer(path)
    issuer.answers["/other"] = (status, headers, body)  # as good as what it leads away from
    issuer.answers[path] = answer(issuer)
    with pytest.raises(IssuerUnavailable):
        await issuers.key(issuer.url, BY_RSA)
    assert "/other" not in issuer.asked or lie.endswith("elsewhere")


async def test_issuer__that_is_slow__is_given_up(
    issuers: Issuers, issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "TIMEOUT_SECONDS", 0.2)
    done = threading.Event()
    issuer.answers["/keys"] = lambda: done.wait(20) and None
    try:
        with pytest.raises(IssuerUnavailable, match="longer than"):
            await issuers.key(issuer.url, BY_RSA)
    finally:
        done.set()
