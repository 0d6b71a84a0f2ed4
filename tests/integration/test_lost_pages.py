"""A page that the cache has lost while its source is slow: its last good document, of every kind of index."""

from __future__ import annotations

import itertools

import httpx
import pytest

from shared.protocols import PROTOCOLS
from tests.support.cargo_builders import Registry
from tests.support.maven_builders import Repository, build_jar
from tests.support.npm_builders import publish
from tests.support.orchard import JSON, Cluster, wait_until
from tests.support.upstream import Fault, Reply, Upstream

ADMIN = "operators-token-of-tests"
OF = {
    "pypi": ["project", "list"],
    "npm": ["packument"],
    "maven": ["metadata", "snapshot metadata", "snapshot"],
    "cargo": ["lines"],
}
CASES = [(protocol, kind) for protocol, kinds in OF.items() for kind in kinds]
_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def orchard_settings() -> dict[str, str]:
    return {"ORCHARD_ADMIN_TOKEN": ADMIN, "ORCHARD_STALE_WAIT": "0.1"}


def _publish(upstream: Upstream, kind: str, name: str, version: int) -> str:
    """The path of the page at Orchard, which now knows so many versions."""
    match kind:
        case "project":
            upstream.add_project(name, {f"{name}-{n}.0.tar.gz": b"\x1f\x8b x" for n in range(version)})
            return f"/pypi/simple/{name}/"
        case "list":
            names = ",".join(f'{{"name":"{name}v{number}"}}' for number in range(version))
            body = f'{{"meta":{{"api-version":"1.0"}},"projects":[{names}]}}'.encode()
            upstream.put("/simple/", Reply(body, JSON))
            return "/pypi/simple/"
        case "packument":
            publish(upstream, name, {f"{n}.0.0": {} for n in range(version)})
            return f"/npm/{name}"
        case "lines":
            for number in range(version):
                Registry(upstream).add(name, f"{number}.0.0")
            return f"/cargo/{Registry(upstream).index(name).split('/cargo/')[-1].lstrip('/')}"
    repository = Repository(upstream)
    if kind == "metadata":
        versions = [f"{number}.0" for number in range(version)]
        return "/maven/" + repository.add_metadata("org.demo", name, versions)
    jar = build_jar(f"x{version}")
    folder = repository.add_snapshot("org.demo", name, "1.0", version, jar).rpartition("/")[0]
    if kind == "snapshot metadata":
        return f"/maven/{folder}/maven-metadata.xml"
    return "/maven/" + repository.put(f"{folder}/{name}-1.0-SNAPSHOT.jar", jar)


def _lose(orchard: Cluster, protocol: str, how: str) -> None:
    if how == "emptied":
        orchard.cache.command("FLUSHALL")
        return
    answer = httpx.post(
        orchard.url("/api/v1/admin/cache/invalidate"),
        json={"protocol": protocol, "all": True},
        headers={"authorization": f"Bearer {ADMIN}"},
        timeout=30,
        trust_env=False,
    )
    assert answer.status_code == 200 and answer.json()["invalidated"], answer.text


def test_kinds__every_protocol_has_some() -> None:
    assert OF.keys() == {each.name for each in PROTOCOLS}


@pytest.mark.parametrize("how", ["invalidated", "emptied"])
@pytest.mark.parametrize(("protocol", "kind"), CASES)
def test_lost_page__upstream_slow__the_last_good_one_as_stale_and_then_the_new_one(
    orchard: Cluster, upstream: Upstream, protocol: str, kind: str, how: str
) -> None:
    name = f"lost{next(_numbers)}"
    path = _publish(upstream, kind, name, 1)
    before = orchard.get(path)
    assert before.status_code == 200, before.text
    _publish(upstream, kind, name, 2)
    upstream.fault("*", Fault(delay_seconds=2.5))
    _lose(orchard, protocol, how)
    for _ in range(2):
        answer = orchard.get(path)
        assert (answer.status_code, answer.headers["x-cache"]) == (200, "STALE"), answer.text
        assert answer.content == before.content
    upstream.heal()  # what was asked is answered late all the same
    wait_until(lambda: orchard.get(path).content != before.content, what="the new page")
