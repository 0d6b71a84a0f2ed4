"""A whole Orchard whose cache is a Redis Cluster: every protocol cold and warm, blocks, health."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import httpx
import pytest

from tests.gates.shops import SHOPS, Offer
from tests.integration.test_chain_of_three import page_of
from tests.support.chain import ADMIN, SETTINGS, operate
from tests.support.orchard import Cluster, cluster, wait_until
from tests.support.redis_cluster import Nodes, redis_cluster
from tests.support.upstream import Upstream

_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nodes]:
    with redis_cluster(tmp_path_factory.mktemp("nodes")) as running:
        yield running


@pytest.fixture(scope="module")
def orchard(tmp_path_factory: pytest.TempPathFactory, upstream: Upstream, nodes: Nodes) -> Iterator[Cluster]:
    folder = tmp_path_factory.mktemp("orchard")
    with cluster(folder, upstream, gateways=2, **SETTINGS | nodes.settings()) as running:
        yield running


def published(orchard: Cluster, upstream: Upstream, protocol: str) -> Offer:
    offer: Offer = SHOPS[protocol](orchard, upstream, f"clustered{next(_numbers)}", 40_000)
    return offer


@pytest.mark.parametrize("protocol", SHOPS)
def test_cold_then_warm_at_both_gateways__one_request_upstream(
    orchard: Cluster, upstream: Upstream, nodes: Nodes, protocol: str
) -> None:
    offer = published(orchard, upstream, protocol)
    for path in (page_of(offer), offer.path):
        assert orchard.get(path).status_code == 200
        for gateway in orchard.all_of("gateway"):
            wait_until(
                lambda base=gateway.base, path=path: (
                    httpx.get(base + path, trust_env=False).headers["x-cache"] == "HIT"
                ),
                what="a hit",
            )
    assert orchard.get(offer.path).content == offer.data
    assert upstream.count(offer.upstream_path, "GET") == 1
    assert any(f":{protocol}:{{" in key for keys in nodes.keys().values() for key in keys)


def test_block_and_invalidation__known_at_every_gateway(orchard: Cluster, upstream: Upstream) -> None:
    offer = published(orchard, upstream, "pypi")
    page = page_of(offer)
    for gateway in orchard.all_of("gateway"):
        assert httpx.get(gateway.base + page, trust_env=False).status_code == 200
    value = {"protocol": "pypi", "name": offer.name, "version": offer.version, "reason": "bad"}
    block = operate(orchard, "POST", "/blocks", json=value).json()
    for gateway in orchard.all_of("gateway"):
        wait_until(
            lambda base=gateway.base: offer.sha256 not in httpx.get(base + page, trust_env=False).text,
            what="a page without it",
        )
    operate(orchard, "DELETE", f"/blocks/{block['id']}")
    counted = upstream.count(f"/simple/{offer.name}/")
    told = operate(
        orchard, "POST", "/cache/invalidate", json={"protocol": "pypi", "project": offer.name}
    ).json()
    assert told["invalidated"] >= 1
    for gateway in orchard.all_of("gateway"):
        wait_until(
            lambda base=gateway.base: offer.sha256 in httpx.get(base + page, trust_env=False).text,
            what="the page as it was",
        )
    assert upstream.count(f"/simple/{offer.name}/") == counted + 1


def test_health__tells_of_the_cluster(orchard: Cluster) -> None:
    report = orchard.get("/health", headers={"authorization": f"Bearer {ADMIN}"}).json()
    assert report["redis_cache"]["status"] == "ok"
    assert report["redis_cache"]["ping_seconds"] > 0
