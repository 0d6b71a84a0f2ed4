"""Chains of installations in real processes: one before another works, a way back is refused in words."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from shared.http.via import names_in
from tests.support.orchard import JSON, Cluster, cluster, wait_until
from tests.support.upstream import Upstream

ADMIN = "operators-token-of-tests"
SETTINGS = {"ORCHARD_ADMIN_TOKEN": ADMIN, "ORCHARD_ANONYMOUS_READ": "true"}
CONTENT = b"PK\x03\x04 chained"
Names = Callable[[], str]


@pytest.fixture(scope="module")
def second(tmp_path_factory: pytest.TempPathFactory, upstream: Upstream) -> Iterator[Cluster]:
    with cluster(tmp_path_factory.mktemp("second"), upstream, extractors=0, **SETTINGS) as running:
        yield running


@pytest.fixture(scope="module")
def orchard(
    tmp_path_factory: pytest.TempPathFactory, upstream: Upstream, second: Cluster
) -> Iterator[Cluster]:
    """Its upstream is the second one."""
    registries = {
        f"ORCHARD_{name.upper()}_UPSTREAM": second.url(f"/{name}/{path}")
        for name, path in (("pypi", "simple/"), ("npm", ""), ("maven", ""))
    }
    folder = tmp_path_factory.mktemp("first")
    with cluster(folder, upstream, extractors=0, **SETTINGS, **registries) as running:
        yield running


def lead(orchard: Cluster, to: Cluster, pattern: str) -> None:
    """Add an upstream to an installation for projects of that pattern."""
    body: dict[str, Any] = {
        "protocol": "pypi",
        "name": pattern.rstrip("-*"),
        "url": to.url("/pypi/simple/"),
        "patterns": [pattern],
    }
    answer = httpx.post(
        orchard.url("/api/v1/admin/upstreams"),
        json=body,
        headers={"authorization": f"Bearer {ADMIN}"},
        trust_env=False,
    )
    assert answer.is_success, answer.text


def refused(orchard: Cluster, project: str) -> dict[str, Any]:
    """The problem document of a project's page, once the new upstream is known."""
    answer = None

    def known() -> bool:
        nonlocal answer
        answer = orchard.get(f"/pypi/simple/{project}/", headers={"Accept": JSON})
        return answer.status_code != 404

    wait_until(known, what="the new upstream")
    assert answer is not None
    return {"status": answer.status_code, **answer.json()}


def test_one_in_front_of_another__page_and_file_pass_and_both_are_named(
    orchard: Cluster, second: Cluster, upstream: Upstream, project: Names
) -> None:
    name = project()
    filename = f"{name.replace('-', '_')}-1-py3-none-any.whl"
    upstream.add_project(name, {filename: CONTENT})
    assert orchard.get(orchard.file_path(name, filename)).content == CONTENT
    for request in upstream.seen(f"/simple/{name}/"):
        own = names_in(request.headers["via"])
        assert len(set(own)) == 2, "the first one's name, then the second's"
    direct = project()
    upstream.add_project(direct, {})
    second.page(direct)
    (alone,) = [names_in(each.headers["via"]) for each in upstream.seen(f"/simple/{direct}/")]
    assert alone == own[1:]


def test_audit__through_both__names_both(orchard: Cluster, upstream: Upstream) -> None:
    path = "/-/npm/v1/security/advisories/bulk"
    upstream.put(f"/npm{path}", b"{}", "application/json")
    answer = httpx.post(orchard.url(f"/npm{path}"), json={}, timeout=30, trust_env=False)
    assert answer.status_code == 200
    (request,) = upstream.seen(f"/npm{path}")
    assert len(set(names_in(request.headers["via"]))) == 2


def test_upstream_is_itself__refused_in_one_line(orchard: Cluster) -> None:
    lead(orchard, orchard, "loop-self-*")
    told = refused(orchard, "loop-self-1")
    assert (told["status"], told["code"]) == (424, "upstream_refused")
    assert "answered 508" in told["detail"] and "leads back to it" in told["detail"]
    assert "\n" not in told["detail"]


def test_way_back_over_another__refused_in_one_line(orchard: Cluster, second: Cluster) -> None:
    lead(second, orchard, "loop-back-*")
    wait_until(
        lambda: second.get("/pypi/simple/loop-back-0/", headers={"Accept": JSON}).status_code == 424,
        what="the second's new upstream",
    )
    for way in (orchard, second):
        told = refused(way, "loop-back-1")
        assert (told["status"], told["code"]) == (424, "upstream_refused")
        assert "leads back to it" in told["detail"]
        assert "\n" not in told["detail"]


def test_gateway_started_without_the_database__knows_its_name(
    orchard: Cluster, second: Cluster, upstream: Upstream, project: Names
) -> None:
    name = project()
    upstream.add_project(name, {})
    orchard.page(name)
    (request,) = upstream.seen(f"/simple/{name}/")
    own, other = names_in(request.headers["via"])
    environment = {"ORCHARD_DATABASE_URL": "postgresql://nobody@127.0.0.1:9/none"}
    late = orchard.start("gateway", **environment)
    try:
        for via, status in ((own, 508), (other, 200)):
            answer = httpx.get(
                f"{late.base}/pypi/simple/{name}/", headers={"via": f"1.1 {via}"}, trust_env=False, timeout=30
            )
            assert answer.status_code == status
    finally:
        late.stop()
