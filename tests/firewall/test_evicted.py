"""What was stored before a rule began stays, with its object, and while that is fetched again and relayed."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterator

import httpx
import pytest

from tests.firewall.asking import ADMIN, post
from tests.firewall.feeds import Folder, await_feed, of_shelf, span
from tests.firewall.shelves import OLD, SHELVES, Shelf
from tests.support.orchard import Cluster, cluster, wait_until
from tests.support.upstream import Fault, Upstream

_numbers = itertools.count(1)
CRITICAL = [{"type": "CVSS_V3", "score": "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H"}]
AGE = "minimum_age = '90d'"
RULES = {
    "a minimum age": AGE,
    "a minimum age of a source": f"{AGE}\nsources = ['%s']",
    "a condition": "when = 'published > 0.0'",
    "an unknown licence": "licences = {allow = ['MIT'], unknown = 'hold'}",
    "a vulnerability": "",
}


@pytest.fixture(scope="module")
def orchard(
    tmp_path_factory: pytest.TempPathFactory, upstream: Upstream, folder: Folder
) -> Iterator[Cluster]:
    settings = {
        "ORCHARD_OSV_FEEDS": str(folder.path),
        "ORCHARD_OSV_SEVERITY": "high",
        "ORCHARD_ADMIN_TOKEN": "operators-token-of-tests",
        "ORCHARD_CACHE_TTL_INDEX": "1",
    }
    with cluster(tmp_path_factory.mktemp("evicted"), upstream, **settings) as running:
        await_feed(running)
        yield running


def begin(orchard: Cluster, folder: Folder, it: Shelf, rule: str) -> None:
    """Put a rule in force about a package, and wait until it counts."""
    if rule:
        if "%s" in rule:
            sources = httpx.get(orchard.url("/api/v1/admin/upstreams"), headers=ADMIN, trust_env=False).json()
            rule %= next(each["name"] for each in sources["items"] if each["protocol"] == it.protocol)
        name = f"org.example:{it.name}" if it.protocol == "maven" else it.name
        text = f"[[rule]]\nname = 'late'\nprotocols = ['{it.protocol}']\nnames = ['{name}']\n{rule}"
        post(orchard, "policy", policy=text, yes=True)
    else:
        severe = {"ranges": [span()], "severity": CRITICAL}
        folder.put(of_shelf(f"GHSA-{it.name.rpartition('-')[2]}-late", it, **severe))
    wait_until(lambda: it.shown() == ["1.0.0"], seconds=60, what="the rule")


@pytest.mark.parametrize("kind", SHELVES)
@pytest.mark.parametrize("rule", RULES)
def test_stored_before_a_rule__is_served_by_relay_as_from_its_object(
    orchard: Cluster, upstream: Upstream, folder: Folder, rule: str, kind: str
) -> None:
    it = SHELVES[kind](orchard, upstream, f"evicted-{next(_numbers)}")
    it.put({"1.0.0": OLD, "2.0.0": OLD})
    path, data = it.file("1.0.0"), it.data["1.0.0"]
    assert it.get(path).status_code == 200
    begin(orchard, folder, it, RULES[rule])
    assert it.get(path).content == data
    sha256 = hashlib.sha256(data).hexdigest()
    (orchard.folder / "data" / "objects" / "artifacts" / sha256[:2] / sha256).unlink()
    upstream.fault(it.upstream_file("1.0.0"), Fault(bytes_per_second=300_000))
    answer = it.get(path)
    assert (answer.status_code, answer.headers["x-cache"]) == (200, "LIVE")
    assert answer.content == data
    wait_until(lambda: it.get(path).headers["x-cache"] == "HIT", what="the file in its place")
    assert it.get(path).content == data
    assert it.get(it.file("2.0.0")).status_code == 403
