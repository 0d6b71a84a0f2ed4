"""Vulnerabilities by a feed, from a severity on; and npm's audits, answered from it."""

from __future__ import annotations

import gzip
import hashlib
import itertools
import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.firewall.feeds import Folder, await_feed, of_shelf, osv, purl_of, span
from tests.firewall.shelves import OLD, SHELVES, Shelf
from tests.support.orchard import Cluster, cluster, problem, wait_until
from tests.support.upstream import Upstream

kinds = pytest.mark.parametrize("kind", SHELVES)
CRITICAL = [{"type": "CVSS_V3", "score": "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H"}]
_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def orchard(
    tmp_path_factory: pytest.TempPathFactory, upstream: Upstream, folder: Folder
) -> Iterator[Cluster]:
    settings = {
        "ORCHARD_OSV_FEEDS": str(folder.path),
        "ORCHARD_OSV_SEVERITY": "high",
        "ORCHARD_CACHE_TTL_INDEX": "1",
    }
    with cluster(tmp_path_factory.mktemp("vulnerable"), upstream, **settings) as running:
        await_feed(running)
        yield running


def new(orchard: Cluster, upstream: Upstream, kind: str) -> Shelf:
    return SHELVES[kind](orchard, upstream, f"leaky-{next(_numbers)}")


def advisory(it: Shelf, **said: Any) -> dict[str, Any]:
    return of_shelf(f"GHSA-{it.name.rpartition('-')[2]}", it, summary="it leaks", **said)


@kinds
def test_severe_vulnerability__new_versions_are_refused_and_what_was_here_stays(
    orchard: Cluster, upstream: Upstream, folder: Folder, kind: str
) -> None:
    it = new(orchard, upstream, kind)
    it.put({"1.0.0": OLD, "1.1.0": OLD, "1.2.0": OLD})
    assert it.get(it.file("1.0.0")).status_code == 200
    folder.put(advisory(it, ranges=[span("1.0.0", fixed="1.2.0")], severity=CRITICAL))
    wait_until(lambda: it.shown() == ["1.0.0", "1.2.0"], seconds=60, what="the advisory")
    told = problem(it.get(it.file("1.1.0")))
    if it.protocol != "cargo":
        assert told["code"] == "policy"
    assert "it leaks; fixed in 1.2" in told["detail"]
    assert it.asked("1.1.0") == 0
    assert it.get(it.file("1.0.0")).content == it.data["1.0.0"]
    assert it.get(it.file("1.2.0")).content == it.data["1.2.0"]
    why = orchard.get("/api/v1/why", params={"of": f"{purl_of(it)}@1.1.0"}).json()["items"]
    assert {(each["allowed"], each["rule"]) for each in why} == {(False, "vulnerability")}
    assert "fixed in 1.2" in why[0]["why"]
    (stayed, *_) = orchard.get("/api/v1/why", params={"of": f"{purl_of(it)}@1.0.0"}).json()["items"]
    assert (stayed["allowed"], stayed["rule"]) == (True, "stored")
    assert "before the advisory GHSA-" in stayed["why"]
    whole = orchard.get("/api/v1/why", params={"of": purl_of(it)}).json()["items"]
    assert {each["rule"] for each in whole} == {"stored", "vulnerability"}
    digest = hashlib.sha256(it.data["1.0.0"]).hexdigest()
    of_bytes = orchard.get("/api/v1/why", params={"of": digest}).json()["items"]
    old = {(each["allowed"], each["rule"]) for each in of_bytes if "-1.0.0" in each["what"]}
    assert old == {(True, "stored")}  # files of other versions may have the same bytes
    assert orchard.get("/api/v1/why", params={"of": "ab" * 32}).status_code == 404


@kinds
@pytest.mark.parametrize(
    "said",
    [
        {"database_specific": {"severity": "MODERATE"}},
        {"severity": CRITICAL, "withdrawn": "2026-01-01T00:00:00Z"},
        {},
    ],
)
def test_mild_withdrawn_or_unjudged__changes_nothing(
    orchard: Cluster, upstream: Upstream, folder: Folder, kind: str, said: dict[str, Any]
) -> None:
    it = new(orchard, upstream, kind)
    it.put({"1.0.0": OLD})
    mark = new(orchard, upstream, "npm")
    mark.put({"1.0.0": OLD})
    folder.put(
        advisory(it, ranges=[span()], **said),
        advisory(mark, ranges=[span("1.0.0")], database_specific={"severity": "HIGH"}),
    )
    wait_until(lambda: mark.shown() == [], seconds=60, what="the advisories")
    assert it.shown() == ["1.0.0"]
    assert it.get(it.file("1.0.0")).status_code == 200


def audit(orchard: Cluster, asked: dict[str, list[str]]) -> httpx.Response:
    body = gzip.compress(json.dumps(asked).encode())  # as npm sends it
    headers = {"content-type": "application/json", "content-encoding": "gzip"}
    address = orchard.url("/npm/-/npm/v1/security/advisories/bulk")
    return httpx.post(address, content=body, headers=headers, timeout=30, trust_env=False)


def test_audit__answered_from_the_feed_and_no_upstream_is_asked(
    orchard: Cluster, upstream: Upstream, folder: Folder
) -> None:
    folder.put(osv("GHSA-audit", "npm", "mild", ranges=[span(fixed="2.0.0")], summary="a little"))
    wait_until(lambda: b"GHSA-audit" in audit(orchard, {"mild": ["1.0.0"]}).content, seconds=60, what="it")
    before = upstream.count()
    answer = audit(orchard, {"mild": ["1.0.0"], "fine": ["1.0.0"]})
    assert answer.status_code == 200
    assert list(answer.json()) == ["mild"]
    assert upstream.count() == before
