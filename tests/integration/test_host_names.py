"""Whatever Host a request names, and whoever named others before, its answer leads back to that Host."""

from __future__ import annotations

import json
from collections.abc import Callable

import httpx
import pytest

from tests.support.npm_builders import publish
from tests.support.orchard import Cluster
from tests.support.upstream import Reply, Upstream

Names = Callable[[], str]

INVENTED = 40


@pytest.fixture(scope="module")
def orchard_settings() -> dict[str, str]:
    return {"ORCHARD_CACHE_TTL_INDEX": "3600", "ORCHARD_ALLOWED_HOSTS": "*"}


def tarballs(answer: httpx.Response) -> set[str]:
    assert answer.status_code == 200, answer.text
    return {each["dist"]["tarball"] for each in answer.json()["versions"].values()}


@pytest.mark.parametrize("spelling", ["host{}.example.com", "127.0.0.{}:9410", "[::{}]:80"])
def test_npm__many_invented_hosts__each_and_the_next_are_answered(
    orchard: Cluster, upstream: Upstream, project: Names, spelling: str
) -> None:
    name = project()
    publish(upstream, name, {"1.0.0": {}, "1.0.1": {}})
    tags = set()
    for number in range(1, INVENTED):
        host = spelling.format(number)
        answer = orchard.get(f"/npm/{name}", headers={"Host": host})
        assert tarballs(answer) == {f"http://{host}/npm/{name}/-/{name}-1.0.{each}.tgz" for each in (0, 1)}
        tags.add(answer.headers["etag"])
        again = {"Host": host, "If-None-Match": answer.headers["etag"]}
        assert orchard.get(f"/npm/{name}", headers=again).status_code == 304
    assert len(tags) == INVENTED - 1
    fresh = project()
    publish(upstream, fresh, {"2.0.0": {}})
    answer = orchard.get(f"/npm/{fresh}", headers={"Host": "registry.corp.example:8080"})
    assert tarballs(answer) == {f"http://registry.corp.example:8080/npm/{fresh}/-/{fresh}-2.0.0.tgz"}


def test_npm__large_document__an_invented_host_gets_it_whole(
    orchard: Cluster, upstream: Upstream, project: Names
) -> None:
    name = project()
    manifests = {f"1.0.{number}": {"description": "x" * 5000} for number in range(80)}
    publish(upstream, name, manifests, version_documents=False)
    for number in range(INVENTED):
        orchard.get("/npm/none-such", headers={"Host": f"fill{number}.example.com"})
    answer = orchard.get(f"/npm/{name}", headers={"Host": "large.example.com"})
    assert len(answer.content) > 256 * 1024
    assert len(tarballs(answer)) == len(manifests)
    assert all(url.startswith("http://large.example.com/npm/") for url in tarballs(answer))
    address = orchard.url(f"/npm/{name}")
    head = httpx.head(address, headers={"Host": "large.example.com"}, trust_env=False)
    assert head.status_code == 200


def test_pypi_legacy_json__many_invented_hosts__each_is_answered(
    orchard: Cluster, upstream: Upstream, project: Names
) -> None:
    name, digest = project(), "a" * 64
    entry = {
        "filename": f"{name}-1.0-py3-none-any.whl",
        "url": f"{upstream.url}/files/{name}/{name}-1.0-py3-none-any.whl",
        "digests": {"sha256": digest},
    }
    document = {"info": {"name": name, "version": "1.0"}, "releases": {"1.0": [entry]}, "urls": [entry]}
    upstream.put(f"/pypi/{name}/json", Reply(json.dumps(document).encode(), "application/json"))
    for number in range(INVENTED):
        host = f"host{number}.example.com"
        answer = orchard.get(f"/pypi/pypi/{name}/json", headers={"Host": host})
        assert answer.status_code == 200, answer.text
        assert answer.json()["urls"][0]["url"].startswith(f"http://{host}/pypi/files/{name}/{digest}/")


def test_forwarded_by_a_trusted_proxy__addresses_and_log_tell_what_the_client_used(
    orchard: Cluster, upstream: Upstream, project: Names
) -> None:
    name = project()
    publish(upstream, name, {"1.0.0": {}})
    plain = tarballs(orchard.get(f"/npm/{name}"))
    forwarded = {"X-Forwarded-Proto": "https", "X-Forwarded-Host": "o.example.com"}
    for _ in range(3):  # from memory, too
        assert tarballs(orchard.get(f"/npm/{name}")) == plain
        told = tarballs(orchard.get(f"/npm/{name}", headers=forwarded))
        assert told == {f"https://o.example.com/npm/{name}/-/{name}-1.0.0.tgz"}
        same_host = tarballs(orchard.get(f"/npm/{name}", headers={"X-Forwarded-Proto": "https"}))
        assert same_host == {url.replace("http://", "https://") for url in plain}
    assert "https://o.example.com/pypi/" in orchard.get("/", headers=forwarded).text
