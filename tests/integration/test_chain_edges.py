"""Three regions before one central installation: stampedes, a long lossy link, a region that is cut off."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import itertools
import json
from collections import Counter
from collections.abc import Iterator

import pytest

from bench.harness.download import Download, download
from tests.gates.shops import SHOPS, Offer
from tests.integration.test_chain_of_three import page_of
from tests.support.chain import SETTINGS, led_to, operate
from tests.support.orchard import Cluster, cluster
from tests.support.tunnel import Tunnel, tunnel
from tests.support.upstream import Fault, Upstream

PROTOCOLS = list(SHOPS)
EDGES = 3
_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def central(tmp_path_factory: pytest.TempPathFactory, upstream: Upstream) -> Iterator[Cluster]:
    with cluster(tmp_path_factory.mktemp("central"), upstream, extractors=0, **SETTINGS) as running:
        yield running


@pytest.fixture(scope="module")
def link(central: Cluster) -> Iterator[Tunnel]:
    """The first edge's way to the central one."""
    with tunnel(central.gateway.port) as found:
        yield found


@pytest.fixture(autouse=True)
def _well(link: Tunnel) -> Iterator[None]:
    yield
    link.mend()
    link.become(round_trip=0.0)


@pytest.fixture(scope="module")
def edges(
    tmp_path_factory: pytest.TempPathFactory, upstream: Upstream, central: Cluster, link: Tunnel
) -> Iterator[list[Cluster]]:
    with contextlib.ExitStack() as stack:
        found = []
        for number in range(EDGES):
            own = SETTINGS | led_to(link.base if number == 0 else central.gateway.base)
            folder = tmp_path_factory.mktemp(f"edge{number}")
            found.append(stack.enter_context(cluster(folder, upstream, extractors=0, **own)))
        yield found


def published(edge: Cluster, upstream: Upstream, protocol: str, size_bytes: int = 300_000) -> Offer:
    offer: Offer = SHOPS[protocol](edge, upstream, f"region{next(_numbers)}", size_bytes)
    return offer


def asked_of(orchard: Cluster) -> Counter[str]:
    """How often each path was asked for at an installation, as its log says by now."""
    lines = (json.loads(line) for line in orchard.logs().splitlines() if line.startswith("{"))
    return Counter(line["path"] for line in lines if line.get("event") == "request")


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_stampede_over_three_edges__one_request_at_the_registry_for_page_and_file(
    edges: list[Cluster], upstream: Upstream, protocol: str
) -> None:
    offer = published(edges[0], upstream, protocol)
    page = page_of(offer)
    before = Counter(each.path for each in upstream.seen(method="GET"))
    upstream.fault("*", Fault(delay_seconds=0.5))  # so that all meet
    for path in (page, offer.path):
        bases = [edge.gateway.base for edge in edges]
        found = await asyncio.gather(*(download(bases[n % EDGES] + path) for n in range(16 * EDGES)))
        assert {each.status for each in found} == {200}
        if path == offer.path:
            assert {each.sha256 for each in found} == {hashlib.sha256(offer.data).hexdigest()}
    after = Counter(each.path for each in upstream.seen(method="GET"))
    new = {path: count for path, count in (after - before).items() if "config.json" not in path}
    assert set(new.values()) == {1}, new
    assert new[offer.upstream_path] == 1


async def insist(url: str) -> Download:
    """As clients do: what broke off is asked for again."""
    for _ in range(4):
        with contextlib.suppress(asyncio.IncompleteReadError):
            return await download(url)
    return await download(url)


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_long_lossy_link__right_bytes(
    edges: list[Cluster], link: Tunnel, upstream: Upstream, protocol: str
) -> None:
    link.become(round_trip=0.08, loss=0.05, resets=0.01)
    offers = [published(edges[0], upstream, protocol, 1_500_000) for _ in range(3)]
    for offer in offers:
        page = await insist(edges[0].url(page_of(offer)))
        assert page.status == 200
    found = await asyncio.gather(*(insist(edges[0].url(offer.path)) for offer in offers))
    for offer, each in zip(offers, found, strict=True):
        assert (each.status, each.sha256) == (200, hashlib.sha256(offer.data).hexdigest())


async def test_region_cut_off__goes_on_and_comes_back_without_a_stampede(
    edges: list[Cluster], central: Cluster, link: Tunnel, upstream: Upstream
) -> None:
    edge = edges[0]
    offers = [published(edge, upstream, protocol, 20_000) for protocol in PROTOCOLS for _ in range(8)]
    pages = [page_of(offer) for offer in offers]
    for offer, page in zip(offers, pages, strict=True):
        assert edge.get(page).status_code == 200
        assert edge.get(offer.path).content == offer.data
    never = published(edge, upstream, "pypi")
    link.cut()
    for protocol in PROTOCOLS:  # as if all had expired at once
        operate(edge, "POST", "/cache/invalidate", json={"protocol": protocol, "all": True})
    for offer, page in zip(offers, pages, strict=True):
        answer = edge.get(page)
        assert (answer.status_code, answer.headers["x-cache"]) == (200, "STALE"), answer.text
        assert edge.get(offer.path).content == offer.data
    assert edge.get(page_of(never)).status_code == 503

    before, at_registry = asked_of(central), upstream.count()
    link.mend()
    for _ in range(60):
        answers = await asyncio.gather(*(download(edge.url(page)) for page in pages * 8))
        assert {each.status for each in answers} == {200}
        if "STALE" not in {each.x_cache for each in answers}:
            break
        await asyncio.sleep(0.2)
    else:
        raise AssertionError("pages are still old")
    asked = {page: count for page, count in (asked_of(central) - before).items() if page in pages}
    assert set(asked) == set(pages)
    # Eight clients ask at once, round after round: once, and again by who came while that was being written.
    assert max(asked.values()) <= 4 and sum(asked.values()) <= 2 * len(pages), asked
    assert upstream.count() - at_registry <= 2, "the central one has it all"
