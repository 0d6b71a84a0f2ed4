"""Tokens that are good for some packages, from some addresses, for some time; one in the place of another."""

from __future__ import annotations

import hashlib
import itertools
import os
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import httpx
import pytest

from tests.absence.conftest import DOCUMENTS
from tests.support.orchard import Cluster, cluster, free_port, wait_until
from tests.support.upstream import Upstream

ADMIN = "operators-token-of-tests"
_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    with Upstream(port=free_port()) as server:
        yield server


@pytest.fixture(scope="module")
def orchard(tmp_path_factory: pytest.TempPathFactory, upstream: Upstream) -> Iterator[Cluster]:
    settings = {"ORCHARD_ANONYMOUS_READ": "false", "ORCHARD_ADMIN_TOKEN": ADMIN}
    with cluster(tmp_path_factory.mktemp("orchard"), upstream, extractors=0, **settings) as running:
        yield running


def ask(
    orchard: Cluster, path: str, token: str, method: str = "GET", json: Any = None, **fields: str
) -> httpx.Response:
    headers = {"authorization": f"Bearer {token}", **fields}
    return httpx.request(method, orchard.url(path), headers=headers, json=json, timeout=60, trust_env=False)


def made(orchard: Cluster, **bounds: Any) -> dict[str, Any]:
    value = {"name": f"t{next(_numbers)}", **bounds}
    answer = ask(orchard, "/api/v1/admin/tokens", ADMIN, "POST", json=value)
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


@pytest.mark.parametrize("view", ["", "/v/at-2100-01-01"], ids=["plain", "view"])
@pytest.mark.parametrize("kind", DOCUMENTS)
def test_bound_to_a_package__it_alone_is_served__cold_hot_by_head_and_in_parts(
    orchard: Cluster, upstream: Upstream, kind: str, view: str
) -> None:
    own, other = (
        replace(each, orchard=view + each.orchard)
        for each in (DOCUMENTS[kind](upstream), DOCUMENTS[kind](upstream))
    )
    protocol = kind.partition("_")[0]
    token = made(orchard, protocols=[protocol], names=[own.name])["token"]
    assert ask(orchard, other.orchard, token).status_code == 403, "cold"
    for _ in range(3):  # into the gateway's memory
        assert ask(orchard, own.orchard, token).status_code == 200
        assert ask(orchard, other.orchard, ADMIN).status_code == 200
    for method in ("GET", "HEAD"):
        assert ask(orchard, own.orchard, token, method).status_code == 200
        assert ask(orchard, other.orchard, token, method).status_code == 403, f"hot {method}"
    known = ask(orchard, other.orchard, ADMIN).headers["etag"]
    for field, value in (("range", "bytes=0-0"), ("range", "bytes=-1"), ("if-none-match", known)):
        assert ask(orchard, other.orchard, token, **{field: value}).status_code == 403, field


@pytest.mark.parametrize("kind", [each for each in DOCUMENTS if each.endswith("_page")])
def test_bound_to_a_protocol__no_other_one_and_nothing_but_packages(
    orchard: Cluster, upstream: Upstream, kind: str
) -> None:
    token = made(orchard, protocols=[kind.partition("_")[0]])["token"]
    for each, publish in DOCUMENTS.items():
        expected = 200 if each.partition("_")[0] == kind.partition("_")[0] else 403
        assert ask(orchard, publish(upstream).orchard, token).status_code == expected, each
    paths = ["/api/v1/queues", "/api/v1/search?q=thing", "/api/v1/packages/pypi", "/api/v1/admin/tokens"]
    paths += ["/api/v1/statements?of=pkg:pypi/thing@1", f"/api/v1/statements/sha256/{'0' * 64}"]
    for path in paths:
        assert ask(orchard, path, token).status_code == 403, path


def test_bound_to_a_package__others_bytes_are_not_had_by_their_digest(
    orchard: Cluster, upstream: Upstream
) -> None:
    own, other = DOCUMENTS["pypi_file"](upstream), DOCUMENTS["pypi_file"](upstream)
    token = made(orchard, names=[own.name])["token"]
    for document, expected in ((own, 200), (other, 404)):  # it does not tell whether it is stored
        sha256 = document.orchard.split("/")[4]
        assert ask(orchard, document.orchard, ADMIN).status_code == 200
        wait_until(
            lambda sha256=sha256: ask(orchard, f"/cas/sha256/{sha256}", ADMIN).status_code == 200,  # type: ignore[misc]
            what="the row of the file",
        )
        assert ask(orchard, f"/cas/sha256/{sha256}", token).status_code == expected


def test_one_s_bytes_under_another_s_name_too__by_digest_for_who_may_read_the_one(
    orchard: Cluster, upstream: Upstream
) -> None:
    data = os.urandom(1000)
    projects = [f"twin-{next(_numbers)}" for _ in range(2)]
    for project in projects:
        upstream.add_project(project, {f"{project}-1.0.tar.gz": data})
        path = f"/pypi/files/{project}/{hashlib.sha256(data).hexdigest()}/{project}-1.0.tar.gz"
        assert ask(orchard, path, ADMIN).status_code == 200
    by_digest = f"/cas/sha256/{hashlib.sha256(data).hexdigest()}"
    wait_until(lambda: ask(orchard, by_digest, ADMIN).status_code == 200, what="the rows")
    for names, expected in ((projects[:1], 200), (projects[1:], 200), (["else-*"], 404)):
        token = made(orchard, names=names)["token"]
        for _ in range(3):
            assert ask(orchard, by_digest, token).status_code == expected, names


def test_bound_to_addresses__good_from_these_alone(orchard: Cluster, upstream: Upstream) -> None:
    page = DOCUMENTS["pypi_page"](upstream)
    here, elsewhere = made(orchard, networks=["127.0.0.0/8"]), made(orchard, networks=["192.0.2.0/24"])
    assert ask(orchard, page.orchard, here["token"]).status_code == 200
    assert ask(orchard, page.orchard, elsewhere["token"]).status_code == 403
    assert ask(orchard, "/api/v1/queues", here["token"]).status_code == 200
    assert ask(orchard, "/api/v1/queues", elsewhere["token"]).status_code == 403


def test_rotated__the_old_one_is_refused_and_the_bounds_stay(orchard: Cluster, upstream: Upstream) -> None:
    own, other = DOCUMENTS["npm_page"](upstream), DOCUMENTS["npm_page"](upstream)
    first = made(orchard, names=[own.name], owner="team", expires="7d")
    path = f"/api/v1/admin/tokens/{first['id']}/rotate"
    second = ask(orchard, path, ADMIN, "POST", json={"expires": "30d"}).json()
    assert second["expires_at"] > first["expires_at"]
    assert ask(orchard, own.orchard, first["token"]).status_code == 401
    assert ask(orchard, own.orchard, second["token"]).status_code == 200
    assert ask(orchard, other.orchard, second["token"]).status_code == 403
    listed = ask(orchard, "/api/v1/admin/tokens", ADMIN).json()["items"]
    (entry,) = [each for each in listed if each["id"] == first["id"]]
    assert (entry["owner"], entry["names"], entry["name"]) == ("team", [own.name], first["name"])
    third = ask(orchard, path, ADMIN, "POST", json={}).json()
    assert third["expires_at"] == second["expires_at"]  # its end stays, too
    assert ask(orchard, path.replace(str(first["id"]), "99999"), ADMIN, "POST", json={}).status_code == 404


@pytest.mark.parametrize(
    "bounds",
    [
        {"expires": "soon"},
        {"expires": "2001-01-01"},
        {"networks": ["10.0.0.0/33"]},
        {"networks": ["example.com"]},
        {"protocols": ["ftp"]},
        {"names": ["no spaces here"]},
        {"owner": "two\nlines"},
        {"owner": "x" * 300},
        {"scope": "admin", "names": ["corp-*"]},
        {"unknown": True},
        {"networks": ["fe80::1%eth0"]},
        {"names": ["pypi/flask"]},
        {"name": "ORCHARD_ADMIN_TOKEN"},
    ],
    ids=str,
)
def test_bounds_that_mean_nothing__refused_by_name_and_no_token_is_made(
    orchard: Cluster, bounds: dict[str, Any]
) -> None:
    answer = ask(orchard, "/api/v1/admin/tokens", ADMIN, "POST", json={"name": "wrong", **bounds})
    assert answer.status_code == 400, answer.text
    listed = ask(orchard, "/api/v1/admin/tokens", ADMIN).json()["items"]
    assert "wrong" not in [each["name"] for each in listed]
