"""An address of an upstream that no client of HTTP takes: its upstream's fault, never ours, no absence."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from tests.support.builders import build_wheel
from tests.support.cargo_builders import Registry, index_path
from tests.support.npm_builders import packument_path, publish
from tests.support.orchard import Cluster, problem
from tests.support.upstream import Fault, Upstream

_numbers = itertools.count(1)
TOKEN = "an-operators-token"


@pytest.fixture(scope="module")
def orchard_settings(upstream: Upstream) -> dict[str, str]:
    Registry(upstream)
    return {"ORCHARD_ADMIN_TOKEN": TOKEN, "ORCHARD_ANONYMOUS_READ": "true"}


BAD = [
    "http://127.0.0.1/crates\r\nX: y", "http://127.0.0.1/{crate}\x01", "http://xn--/x", "http://☃.com/",
    "http://ä\0b/x", "http://127.0.0.1/" + "a" * 70_000,
]  # fmt: skip
LOCATIONS = ["http://xn--/x", "http://127.0.0.1/\x01", "http://127.0.0.1/" + "a" * 9_000, "http://[::g]/"]


OTHERWISE = [b"<html>sign in</html>", b"{}", b'{"dl": "ftp://example.com/crates"}', b""]


def operate(orchard: Cluster, method: str, path: str, **options: Any) -> httpx.Response:
    headers = {"authorization": f"Bearer {TOKEN}"}
    return httpx.request(method, orchard.url(path), headers=headers, timeout=30, trust_env=False, **options)


def added(orchard: Cluster, upstream: Upstream, name: str) -> str:
    """A source of its own for all `{name}-*`; where it is tested."""
    source = {"protocol": "cargo", "name": name, "url": f"{upstream.url}/{name}/", "patterns": [f"{name}-*"]}
    made = operate(orchard, "POST", "/api/v1/admin/upstreams", json=source)
    assert made.status_code == 201, made.text
    return f"/api/v1/admin/upstreams/{made.json()['id']}/test"


@pytest.mark.parametrize(
    "config",
    [*(json.dumps({"dl": dl}).encode() for dl in BAD), *OTHERWISE],
    ids=lambda text: ascii(text)[:40],
)
def test_config_of_a_cargo_source__its_fault_for_all_of_it__and_the_test_of_it_says_so(
    orchard: Cluster, upstream: Upstream, config: bytes
) -> None:
    name = f"corp{next(_numbers)}"
    registry = Registry(upstream, prefix=f"/{name}")
    registry.add(f"{name}-a", "1.0.0")
    upstream.put(f"/{name}/config.json", config, "application/json")
    test = added(orchard, upstream, name)
    page = orchard.get(f"/cargo/{index_path(f'{name}-a')}")
    file = orchard.get(f"/cargo/dl/{name}-a/1.0.0/download")
    for answer, status in ((page, 424), (file, 403)):
        assert (answer.status_code, problem(answer)["code"]) == (status, "upstream_invalid"), answer.text
    told = operate(orchard, "POST", test).json()
    assert (told["ok"], told["status"]) == (False, 200) and "config.json" in told["detail"]
    upstream.put(f"/{name}/config.json", json.dumps({"dl": f"{upstream.url}/crates"}).encode())
    told = operate(orchard, "POST", test).json()
    assert (told["ok"], told["status"]) == (True, 200)


def test_config_of_a_cargo_source__is_not_there__the_test_of_it_says_so(
    orchard: Cluster, upstream: Upstream
) -> None:
    told = operate(orchard, "POST", added(orchard, upstream, f"corp{next(_numbers)}")).json()
    assert (told["ok"], told["status"]) == (False, 404) and "describes itself" in told["detail"]


PLACES: dict[str, Callable[[Upstream, str], tuple[str, str]]] = {}


def place(make: Callable[[Upstream, str], tuple[str, str]]) -> Callable[[Upstream, str], tuple[str, str]]:
    PLACES[make.__name__] = make
    return make


@place
def pypi_page(upstream: Upstream, name: str) -> tuple[str, str]:
    upstream.add_project(name, {f"{name}-1.0-py3-none-any.whl": build_wheel(name, "1.0")})
    return f"/simple/{name}/", f"/pypi/simple/{name}/"


@place
def npm_page(upstream: Upstream, name: str) -> tuple[str, str]:
    publish(upstream, name, {"1.0.0": {}})
    return packument_path(name), f"/npm/{name}"


@place
def maven_file(upstream: Upstream, name: str) -> tuple[str, str]:
    return f"/maven/org/demo/{name}/1.0/{name}-1.0.jar", f"/maven/org/demo/{name}/1.0/{name}-1.0.jar"


@place
def cargo_page(upstream: Upstream, name: str) -> tuple[str, str]:
    registry = Registry(upstream)
    registry.add(name, "1.0.0")
    return registry.index(name), f"/cargo/{index_path(name)}"


@place
def cargo_file(upstream: Upstream, name: str) -> tuple[str, str]:
    registry = Registry(upstream)
    registry.add(name, "1.0.0")
    return registry.file(name, "1.0.0"), f"/cargo/dl/{name}/1.0.0/download"


@pytest.mark.parametrize("location", LOCATIONS, ids=lambda text: ascii(text)[:30])
@pytest.mark.parametrize("at", PLACES)
def test_redirect_to_it__lasting_and_named(
    orchard: Cluster, upstream: Upstream, at: str, location: str
) -> None:
    asked, path = PLACES[at](upstream, f"demo{next(_numbers)}")
    upstream.fault(asked, Fault(status=302, headers={"location": location}))
    answer = orchard.get(path)
    code = problem(answer)["code"]
    assert answer.status_code == (403 if at.endswith("file") else 424), answer.text
    assert code in ("upstream_invalid", "upstream_blocked"), answer.text


def test_file_of_a_pypi_page_there__is_dropped_and_the_rest_served(
    orchard: Cluster, upstream: Upstream
) -> None:
    name = f"demo{next(_numbers)}"
    good, bad = f"{name}-1.0-py3-none-any.whl", f"{name}-2.0-py3-none-any.whl"
    page = {
        "meta": {"api-version": "1.1"},
        "name": name,
        "files": [
            {"filename": good, "url": f"{upstream.url}/files/{name}/{good}", "hashes": {}},
            {"filename": bad, "url": f"http://xn--/{bad}", "hashes": {}},
        ],
    }
    upstream.put(f"/simple/{name}/", json.dumps(page).encode(), "application/vnd.pypi.simple.v1+json")
    upstream.put(f"/files/{name}/{good}", build_wheel(name, "1.0"))
    assert [each["filename"] for each in orchard.page(name)["files"]] == [good]
