"""`X-Cache` stands on every answer of a package path, whoever gives it: pages, files, redirects, refusals."""

from __future__ import annotations

import hashlib

import httpx
import pytest

from shared.telemetry.metrics import RESULTS
from tests.support import npm_builders
from tests.support.builders import build_wheel
from tests.support.cargo_builders import Registry
from tests.support.maven_builders import Repository
from tests.support.orchard import Cluster
from tests.support.upstream import Upstream

TOKEN = "an-operators-token"
WHEEL = "demo-1.0-py3-none-any.whl"
FILE = f"/pypi/files/demo/{{}}/{WHEEL}"
JAR = "/maven/org/demo/lib/1.0/lib-1.0.jar"


@pytest.fixture(scope="module")
def orchard_settings(upstream: Upstream) -> dict[str, str]:
    wheel = build_wheel("demo", "1.0")
    upstream.add_project("demo", {WHEEL: wheel})
    upstream.add_project("bad", {"bad-1.0-py3-none-any.whl": build_wheel("bad", "1.0")})
    npm_builders.publish(upstream, "demo", {"1.0.0": {}})
    Repository(upstream).add("org.demo", "lib", "1.0")
    Registry(upstream).add("demo", "1.0.0")
    return {"ORCHARD_ADMIN_TOKEN": TOKEN, "ORCHARD_ANONYMOUS_READ": "false", "ORCHARD_WRONG_TOKENS": "0"}


def ask(orchard: Cluster, method: str, path: str, *, token: str = TOKEN, body: bytes = b"") -> httpx.Response:
    headers = {"authorization": f"Bearer {token}"} if token else {}
    return httpx.request(
        method, orchard.url(path), headers=headers, content=body, timeout=30, trust_env=False
    )


FOUND = [
    "/pypi/simple/demo/", "/npm/demo", "/npm/demo/-/demo-1.0.0.tgz", JAR, JAR + ".sha1",
    "/cargo/config.json", "/cargo/de/mo/demo", "/cargo/dl/demo/1.0.0/download",
]  # fmt: skip
LACKING = [
    "/pypi/simple/nowhere/", "/npm/nowhere", "/maven/org/demo/lib/9/lib-9.jar",
    "/maven/org/nowhere/maven-metadata.xml", "/cargo/no/wh/nowhere", "/cargo/dl/demo/9.0.0/download",
]  # fmt: skip
REFUSED = [
    "/pypi/nothing", "/pypi/", "/npm/a%00b", "/npm/demo/-/other-1.0.0.tgz", "/maven/a/%2e%2e/b",
    "/maven/a//b/1/b-1.jar", "/v/view/pypi/simple/demo/", "/pypi/files/a/b/c/d",
    "/cargo/", "/cargo/de/mo/other", "/cargo/De/mo/Demo", "/cargo/dl/demo/one/download",
]  # fmt: skip
MOVED = ["/pypi/simple/Demo/", "/pypi/simple/demo"]


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("path", [*FOUND, *LACKING, *REFUSED, *MOVED])
def test_package_path__every_answer_says_how_it_was_found(orchard: Cluster, path: str, method: str) -> None:
    for _ in range(2):
        answer = ask(orchard, method, path)
        assert answer.headers.get("x-cache") in RESULTS, (answer.status_code, answer.headers)
    if path in MOVED:
        assert (answer.is_redirect, answer.headers["x-cache"]) == (True, "NONE")
    if path in FOUND:
        assert answer.headers["x-cache"] == "HIT" or method == "HEAD"
    if path in LACKING:
        assert answer.status_code == 404 and answer.headers["x-cache"] != "NONE"


@pytest.mark.parametrize("path", [*FOUND, *LACKING, *REFUSED, *MOVED])
def test_package_path__without_a_token__401_and_nobody_was_asked(orchard: Cluster, path: str) -> None:
    for token in ("", "wrong"):
        answer = ask(orchard, "GET", path, token=token)
        assert (answer.status_code, answer.headers.get("x-cache")) == (401, "NONE")


@pytest.mark.parametrize("mount", ["/pypi/simple/demo/", "/npm/demo", JAR])
@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS"])
def test_package_path__method_that_nobody_answers__none(orchard: Cluster, mount: str, method: str) -> None:
    answer = ask(orchard, method, mount, body=b"x" if method != "OPTIONS" else b"")
    assert (answer.status_code, answer.headers.get("x-cache")) == (405, "NONE")


@pytest.mark.parametrize("mount", ["/pypi", "/maven", "/cargo"])
def test_mount_point__opened_by_a_person__leads_to_the_home_page(orchard: Cluster, mount: str) -> None:
    for path in (mount, f"{mount}/"):
        answer = ask(orchard, "GET", path)
        assert (answer.status_code, answer.headers["x-cache"]) == (302, "NONE")
        assert httpx.URL(orchard.url(path)).join(answer.headers["location"]) == orchard.url("/")
    assert ask(orchard, "GET", "/npm").json() == {}  # `npm ping` asks there


def test_blocked__403_and_nobody_was_asked(orchard: Cluster) -> None:
    made = httpx.post(
        orchard.url("/api/v1/admin/blocks"),
        json={"protocol": "pypi", "name": "bad", "reason": "test"},
        headers={"authorization": f"Bearer {TOKEN}"},
        trust_env=False,
    )
    assert made.is_success, made.text
    answer = ask(orchard, "GET", "/pypi/simple/bad/")
    assert (answer.status_code, answer.headers.get("x-cache")) == (403, "NONE")


def test_own_paths__have_none(orchard: Cluster) -> None:
    for path in ("/", "/health/live", "/metrics", "/api/v1/queues"):
        assert "x-cache" not in ask(orchard, "GET", path).headers, path


def test_resolution_of_an_artifact__says_so_where_it_comes_from_memory(orchard: Cluster) -> None:
    file = FILE.format(hashlib.sha256(build_wheel("demo", "1.0")).hexdigest())
    digest = hashlib.sha256(ask(orchard, "GET", file).content).hexdigest()
    said = [ask(orchard, "GET", f"/api/v1/artifacts/{digest}/resolution") for _ in range(2)]
    assert [(each.status_code, each.headers.get("x-cache")) for each in said] == [(200, None), (200, "HIT")]


def test_metrics__memory_of_the_gateway_is_counted(orchard: Cluster) -> None:
    before = orchard.metric(orchard.gateway, "orchard_l1_lookups_total")
    for path in FOUND * 3:
        ask(orchard, "HEAD", path)
    assert orchard.metric(orchard.gateway, "orchard_l1_lookups_total") > before
    assert orchard.metric(orchard.gateway, "orchard_l1_bytes") > 0
    assert orchard.metric(orchard.gateway, "orchard_l1_evictions_total") == 0
