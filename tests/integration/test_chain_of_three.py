"""Three installations in a row: every protocol, cold and warm, and what the upper ones say comes through."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator

import httpx
import pytest

from tests.gates.shops import SHOPS, Offer
from tests.support.chain import chain, operate
from tests.support.npm_builders import build_packument, build_tarball, put_packument
from tests.support.orchard import Cluster, problem, wait_until
from tests.support.upstream import Fault, Upstream

PROTOCOLS = list(SHOPS)
_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def tiers(tmp_path_factory: pytest.TempPathFactory, upstream: Upstream) -> Iterator[list[Cluster]]:
    """Central, region, edge."""
    short = {"ORCHARD_CACHE_TTL_INDEX": "1", "ORCHARD_CACHE_TTL_NEGATIVE": "1"}
    with chain(tmp_path_factory.mktemp("chain"), upstream, "central", "region", "edge", **short) as found:
        yield found


def published(tiers: list[Cluster], upstream: Upstream, protocol: str, size_bytes: int = 40_000) -> Offer:
    name = f"tiered{next(_numbers)}"
    offer: Offer = SHOPS[protocol](tiers[-1], upstream, name, size_bytes)
    return offer


def page_of(offer: Offer) -> str:
    """The path of the project's index."""
    return {"pypi": offer.beside[1 % len(offer.beside)], "maven": offer.beside[-1]}.get(
        offer.protocol, offer.beside[0]
    )


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_cold_and_warm__right_bytes_one_request_at_the_registry(
    tiers: list[Cluster], upstream: Upstream, protocol: str
) -> None:
    offer = published(tiers, upstream, protocol)
    edge = tiers[-1]
    cold = edge.get(page_of(offer))
    assert cold.status_code == 200, cold.text
    file = edge.get(offer.path)
    assert file.status_code == 200, file.text
    assert file.content == offer.data
    assert upstream.count(offer.upstream_path, "GET") == 1
    for tier in reversed(tiers):
        again = tier.get(offer.path)
        assert (again.content, again.headers["x-cache"]) == (offer.data, "HIT")
    assert upstream.count(offer.upstream_path, "GET") == 1


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_absent__is_404_all_the_way(tiers: list[Cluster], upstream: Upstream, protocol: str) -> None:
    offer = published(tiers, upstream, protocol)
    missing = page_of(offer).replace("tiered", "missed")
    answer = tiers[-1].get(missing)
    assert answer.status_code == 404, answer.text


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_block_upstream__is_told_as_a_block_with_its_reason__and_ends(
    tiers: list[Cluster], upstream: Upstream, protocol: str
) -> None:
    offer = published(tiers, upstream, protocol)
    central, edge = tiers[0], tiers[-1]
    block = operate(
        central, "POST", "/blocks", json={"protocol": protocol, "name": offer.name, "reason": "CVE-1 in it"}
    ).json()
    for path in (page_of(offer), offer.path):
        answer = edge.get(path)
        assert answer.status_code == 403, answer.text
        assert answer.headers["x-orchard-error"] == "blocked"
        assert "CVE-1 in it" in problem(answer)["detail"]
    operate(central, "DELETE", f"/blocks/{block['id']}")
    lifted = "the page without a block"
    wait_until(lambda: edge.get(page_of(offer)).status_code == 200, seconds=60, what=lifted)
    assert edge.get(offer.path).content == offer.data


def test_blocks_upstream__hold_for_what_is_stored_below__and_end(
    tiers: list[Cluster], upstream: Upstream
) -> None:
    offers = [published(tiers, upstream, protocol) for protocol in PROTOCOLS]
    offers += [published(tiers, upstream, "pypi")]
    central, edge = tiers[0], tiers[-1]
    for offer in offers:
        assert edge.get(page_of(offer)).status_code == 200
        assert edge.get(offer.path).content == offer.data
    values = [
        {"protocol": each.protocol, "name": each.name, "version": each.version, "reason": "CVE-2 in it"}
        for each in offers[:-1]
    ]
    values += [{"sha256": offers[-1].sha256, "reason": "CVE-2 in it"}]
    blocks = [operate(central, "POST", "/blocks", json=value).json() for value in values]

    def answers(status: int) -> bool:
        return {edge.get(offer.path).status_code for offer in offers} == {status}

    wait_until(lambda: answers(403), seconds=60, what="the blocks at the edge")
    for offer in offers:
        told = problem(edge.get(offer.path))["detail"]
        assert f"upstream {offer.protocol}: upstream {offer.protocol}: CVE-2 in it" in told
    listed = [each for each in operate(edge, "GET", "/blocks").json()["items"] if each["id"] == 0]
    assert {each["name"] for each in listed} >= {offer.name for offer in offers[:-1]}
    assert offers[-1].sha256 in {each["sha256"] for each in listed}
    for block in blocks:
        operate(central, "DELETE", f"/blocks/{block['id']}")
    wait_until(lambda: answers(200), seconds=60, what="the end of the blocks")
    for offer in offers:
        assert edge.get(offer.path).content == offer.data


def test_told_blocks__of_one_protocol_and_all_bytes__unchanged_is_304(tiers: list[Cluster]) -> None:
    central, path = tiers[0], "/api/v1/blocks?protocol=npm"
    values = [
        {"protocol": "npm", "name": "told-1", "version": "1.0.0", "reason": "bad"},
        {"protocol": "pypi", "name": "told-2", "reason": "bad"},
        {"sha256": "ab" * 32, "reason": "bad"},
    ]
    before = central.get(path)
    for value in values:
        operate(central, "POST", "/blocks", json=value)
    told = central.get(path)
    assert told.headers["etag"] != before.headers["etag"]
    new = [each for each in told.json()["items"] if each not in before.json()["items"]]
    assert new == [values[0], values[2]]
    again = central.get(path, headers={"if-none-match": told.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert central.get("/api/v1/blocks").status_code == 400


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_registry_down__is_trouble_that_passes__and_the_tiers_go_on_with_all_else(
    tiers: list[Cluster], upstream: Upstream, protocol: str
) -> None:
    central, edge = tiers[0], tiers[-1]
    kept = published(tiers, upstream, protocol)
    assert central.get(page_of(kept)).status_code == 200
    assert central.get(kept.path).status_code == 200
    lost = [published(tiers, upstream, protocol) for _ in range(4)]
    upstream.fault("*", Fault(status=503))
    for offer in lost:
        answer = edge.get(page_of(offer))
        assert answer.status_code == 503, answer.text
        assert int(answer.headers["retry-after"]) >= 1
    file = edge.get(kept.path)
    assert file.status_code == 200, file.text
    assert file.content == kept.data
    page = edge.get(page_of(kept))
    assert (page.status_code, page.headers["x-cache"]) == (200, "STALE")


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_refresh__is_conditional_between_the_tiers(
    tiers: list[Cluster], upstream: Upstream, protocol: str
) -> None:
    offer = published(tiers, upstream, protocol)
    _central, region, edge = tiers
    page = page_of(offer)
    first = edge.get(page)
    wait_until(lambda: edge.get(page).headers["x-cache"] == "REVALIDATED", what="a refresh")
    assert edge.get(page).content == first.content

    def asked() -> list[int]:
        lines = [json.loads(line) for line in region.logs().splitlines() if line.startswith("{")]
        return [line["status"] for line in lines if line["event"] == "request" and line["path"] == page]

    wait_until(lambda: asked()[:2] == [200, 304], what="a conditional request")


def test_first_seen_times__are_those_of_the_first_that_saw_it(
    tiers: list[Cluster], upstream: Upstream
) -> None:
    name = f"tiered{next(_numbers)}"
    document = build_packument(upstream.url, name, {"1.0.0": build_tarball(name, "1.0.0")}, time={})
    document.pop("time", None)
    put_packument(upstream, document)
    times = []
    for tier in tiers:
        times.append(tier.get(f"/npm/{name}").json()["time"]["1.0.0"])
    assert len(set(times)) == 1, times


def test_upstreams__say_that_they_are_orchards(tiers: list[Cluster], upstream: Upstream) -> None:
    edge = tiers[-1]
    edge.get("/pypi/simple/nothing-of-that-name/")
    names = []
    for tier in tiers:
        sources = operate(tier, "GET", "/upstreams?protocol=pypi").json()["items"]
        names.append(sources[0]["orchard"])
    assert names[0] is None
    assert names[1]["name"] != names[2]["name"]
    assert names[1]["version"] == names[2]["version"] != ""


def test_wrong_address_of_an_orchard__is_no_absence(tiers: list[Cluster], upstream: Upstream) -> None:
    edge, central = tiers[-1], tiers[0]
    operate(
        edge,
        "POST",
        "/upstreams",
        json={
            "protocol": "pypi",
            "name": "wrong",
            "url": central.url("/pypi/smple/"),
            "patterns": ["astray-*"],
        },
    )
    answer: httpx.Response | None = None

    def known() -> bool:
        nonlocal answer
        answer = edge.get("/pypi/simple/astray-1/")
        return answer.status_code != 404

    wait_until(known, what="the error of a wrong address")
    assert answer is not None and problem(answer)["code"] == "upstream_refused"
