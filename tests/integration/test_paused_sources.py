"""A source that is paused: nobody knows of its projects, and nothing is said to be missing."""

from __future__ import annotations

import itertools
from typing import Any

import httpx
import pytest

from shared.protocols import PROTOCOLS
from tests.support.builders import build_wheel
from tests.support.cargo_builders import Registry, index_path
from tests.support.maven_builders import Repository
from tests.support.npm_builders import publish
from tests.support.orchard import Cluster, problem, wait_until
from tests.support.upstream import Upstream

ADMIN = "operators-token-of-tests"
_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def orchard_settings() -> dict[str, str]:
    return {"ORCHARD_ADMIN_TOKEN": ADMIN}


def _admin(orchard: Cluster, method: str, path: str, body: Any = None) -> Any:
    answer = httpx.request(
        method,
        orchard.url(f"/api/v1/admin/{path}"),
        json=body,
        headers={"authorization": f"Bearer {ADMIN}"},
        timeout=30,
        trust_env=False,
    )
    assert answer.is_success, answer.text
    return answer.json()


def _publish(orchard: Cluster, upstream: Upstream, protocol: str) -> tuple[str, str, str]:
    """The paths of a page that is cached, of a file that is stored, and of one that is not."""
    name = f"paused{next(_numbers)}"
    match protocol:
        case "pypi":
            names = [f"{name}-{number}.0-py3-none-any.whl" for number in (1, 2)]
            upstream.add_project(name, {each: build_wheel(name, each.split("-")[1]) for each in names})
            page, files = f"/pypi/simple/{name}/", [orchard.file_path(name, each) for each in names]
        case "npm":
            publish(upstream, name, {"1.0.0": {}, "2.0.0": {}})
            page, files = f"/npm/{name}", [f"/npm/{name}/-/{name}-{number}.0.0.tgz" for number in (1, 2)]
        case "maven":
            Repository(upstream).add_metadata("org.demo", name, ["1.0", "2.0"])
            files = ["/maven/" + Repository(upstream).add("org.demo", name, each) for each in ("1.0", "2.0")]
            page = f"/maven/org/demo/{name}/maven-metadata.xml"
        case "cargo":
            for version in ("1.0.0", "2.0.0"):
                Registry(upstream).add(name, version)
            page = f"/cargo/{index_path(name)}"
            files = [f"/cargo/dl/{name}/{version}/download" for version in ("1.0.0", "2.0.0")]
        case _:
            raise AssertionError(f"how does one publish in {protocol}?")
    for path in (page, files[0]):
        answer = orchard.get(path)
        assert answer.status_code == 200, answer.text
    return page, files[0], files[1]


@pytest.mark.parametrize("protocol", [each.name for each in PROTOCOLS])
def test_only_source_paused__no_source_and_never_404__stored_files_stay(
    orchard: Cluster, upstream: Upstream, protocol: str
) -> None:
    page, stored, other = _publish(orchard, upstream, protocol)
    unknown = page.replace("paused", "pausedx")
    (source,) = _admin(orchard, "GET", f"upstreams?protocol={protocol}")["items"]
    _admin(orchard, "PATCH", f"upstreams/{source['id']}", {"enabled": False})
    wait_until(lambda: orchard.get(page).status_code != 200, what="the pause")
    told = {path: orchard.get(path) for path in (page, unknown, other)}
    assert orchard.get(stored).status_code == 200
    _admin(orchard, "PATCH", f"upstreams/{source['id']}", {"enabled": True})
    for path, answer in told.items():
        expected = 403 if path == other else 424
        assert (answer.status_code, answer.headers.get("retry-after")) == (expected, None), path + answer.text
        assert f"`orchard upstreams resume {protocol}/{source['name']}`" in problem(answer)["detail"]
    wait_until(lambda: orchard.get(page).status_code == 200, what="the end of the pause")
    assert orchard.get(unknown).status_code == 404
