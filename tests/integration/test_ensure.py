"""Ensure files through every service: resolved, fetched, locked for ever, exported."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import httpx
import pytest

from tests.support.builders import build_sdist, build_wheel, core_metadata
from tests.support.orchard import Cluster, problem, wait_until
from tests.support.upstream import Fault, Upstream

Names = Callable[[], str]
TOKEN = "an-operators-token"


@pytest.fixture(scope="module")
def orchard_settings() -> dict[str, str]:
    return {"ORCHARD_ADMIN_TOKEN": TOKEN}


def publish(upstream: Upstream, name: str, versions: Mapping[str, Sequence[str]]) -> dict[str, bytes]:
    """Wheels of one project with the requirements of each version; their bytes by file name."""
    files, metadata = {}, {}
    for version, requires in versions.items():
        filename = f"{name.replace('-', '_')}-{version}-py3-none-any.whl"
        metadata[filename] = core_metadata(name, version, requires=requires)
        files[filename] = build_wheel(name, version, metadata=metadata[filename])
    upstream.add_project(name, files, metadata=metadata)
    return files


def post(orchard: Cluster, text: str, *, token: str = "", **query: str) -> httpx.Response:
    return httpx.post(
        orchard.url("/api/v1/ensure"),
        content=text,
        params=query,
        headers={"content-type": "application/toml"} | ({"authorization": f"Bearer {token}"} if token else {}),
        timeout=30,
        trust_env=False,
    )


def ensured(orchard: Cluster, text: str, **options: str) -> httpx.Response:
    """The end of an ensure: its lock, or its error."""
    answer = post(orchard, text, **options)
    if answer.status_code == 202:
        location = answer.headers["location"]
        wait_until(lambda: orchard.get(location).status_code != 202, seconds=60, what="the end of the ensure")
        answer = orchard.get(location)
    return answer


def lock_of(orchard: Cluster, text: str) -> dict[str, Any]:
    answer = ensured(orchard, text)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def toml(*requirements: str, **options: str) -> str:
    lines = [f"requirements = {list(requirements)!r}", *(f"{key} = {text}" for key, text in options.items())]
    return "\n".join(["[pypi]", *lines])


def test_cold__every_file_stored_and_named__then_the_same_bytes_for_ever(
    orchard: Cluster, upstream: Upstream, project: Names
) -> None:
    top, left, source = project(), project(), project()
    files = publish(upstream, top, {"1.0": [left, source]})
    publish(upstream, left, {"1.0": [], "2.0": []})
    upstream.add_project(source, {f"{source}-1.0.tar.gz": build_sdist(source, "1.0")})
    answer = ensured(orchard, toml(top, f"{left}<2"))
    assert answer.status_code == 200, answer.text
    lock = answer.json()
    assert lock["complete"] is True and lock["missing"] == [] and lock["files"] == 3
    packages = {each["name"]: each for each in lock["protocols"]["pypi"]["packages"]}
    assert {name: each["version"] for name, each in packages.items()} == {
        top: "1.0", left: "1.0", source: "1.0"
    }  # fmt: skip
    (wheel,) = files.values()
    assert packages[top]["sha256"] == hashlib.sha256(wheel).hexdigest()
    assert packages[top]["size_bytes"] == len(wheel)
    assert packages[top]["dependencies"] == sorted([f"pkg:pypi/{left}@1.0", f"pkg:pypi/{source}@1.0"])
    assert lock["protocols"]["pypi"]["roots"] == sorted([f"pkg:pypi/{left}@1.0", f"pkg:pypi/{top}@1.0"])

    publish(upstream, left, {"1.0": [], "1.5": []})  # what comes later changes nothing
    upstream.fault("*", Fault(status=503))
    for redis_server in (orchard.cache, None):
        if redis_server is not None:
            with orchard.client(redis_server) as redis:
                redis.flushall()
        asked = len(upstream.requests)
        respelt = toml(f"{left} < 2", top.upper())
        assert post(orchard, respelt).content == answer.content
        assert orchard.get(f"/api/v1/ensures/{lock['key']}").content == answer.content
        for package in packages.values():
            body = orchard.get(package["path"])
            assert hashlib.sha256(body.content).hexdigest() == package["sha256"]
        assert len(upstream.requests) == asked
    exported = orchard.get(f"/api/v1/ensures/{lock['key']}/exports/requirements.txt")
    assert f"{top}==1.0 \\\n    --hash=sha256:{packages[top]['sha256']}" in exported.text
