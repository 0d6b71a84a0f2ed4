"""Where a provider says that people sign in and out: nowhere that a browser may not be sent."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from services.fetcher.http.manager import HttpClientManager
from services.fetcher.identity.issuers import Issuers
from services.fetcher.identity.provider import Provider
from shared.errors.passing import IssuerUnavailable
from shared.settings import Settings
from tests.services.gateway.ledger.test_ledger import client_of
from tests.support.issuer import Issuer
from tests.support.stores import RedisAddress

CONFIGURATION = "/.well-known/openid-configuration"
NO_PLACES = (
    "",
    "javascript:alert(1)",
    "ftp://login.example.com/",
    "https://you@login.example.com/",
    "https://login.example.com/#a",
    "https://[",
    "/out",
)


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    with Issuer() as running:
        yield running


@pytest.fixture
async def provider(queue_redis: RedisAddress, issuer: Issuer) -> AsyncIterator[Provider]:
    redis = client_of(queue_redis)
    async with HttpClientManager() as http:
        yield Provider(Settings(oidc_issuer=issuer.url, oidc_client_id="c"), Issuers(http, redis), http)
    await redis.aclose()


async def test_exit__of_a_provider_that_offers_one__is_told(provider: Provider, issuer: Issuer) -> None:
    place = "https://login.example.com/out?realm=a"
    issuer.answers[CONFIGURATION] = (200, {}, issuer.configuration(end_session_endpoint=place))
    assert await provider.exit() == place


async def test_exit__of_a_provider_that_offers_none__is_none(provider: Provider) -> None:
    assert await provider.exit() == ""


@pytest.mark.parametrize("place", NO_PLACES)
async def test_door_and_exit__where_no_browser_may_be_sent__are_none(
    provider: Provider, issuer: Issuer, place: str
) -> None:
    lies = issuer.configuration(end_session_endpoint=place, authorization_endpoint=place)
    issuer.answers[CONFIGURATION] = (200, {}, lies)
    assert await provider.exit() == ""
    with pytest.raises(IssuerUnavailable):
        await provider.door()
