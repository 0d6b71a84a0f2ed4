"""An import takes no name from an upstream, and gives none away."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from tests.support.builders import build_wheel
from tests.support.orchard import JSON, Cluster, wait_until
from tests.support.stores import ROOT
from tests.support.upstream import Fault, Upstream

TOKEN = "operators-token-of-tests"


@pytest.fixture(scope="module")
def orchard_settings() -> dict[str, str]:
    return {
        "ORCHARD_ADMIN_TOKEN": TOKEN,
        "ORCHARD_CACHE_TTL_INDEX": "1",
        "ORCHARD_CACHE_TTL_NEGATIVE": "1",
    }


@pytest.fixture(autouse=True)
def known(orchard: Cluster, upstream: Upstream) -> None:
    """The upstream has something: a registry that has nothing at all is not believed that it lacks a name."""
    upstream.add_project("flask", {"flask-1.0-py3-none-any.whl": build_wheel("flask", "1.0")})
    orchard.page("flask")


def take(orchard: Cluster, folder: Path, project: str, version: str, *words: str) -> None:
    name = f"{project.replace('-', '_')}-{version}-py3-none-any.whl"
    folder.mkdir(exist_ok=True)
    (folder / name).write_bytes(build_wheel(project, version))
    done = subprocess.run(
        [sys.executable, "-m", "services.standalone.imports", str(folder), "--yes", *words],
        cwd=ROOT,
        env=orchard.environment(),
        capture_output=True,
        text=True,
        timeout=110,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def versions(orchard: Cluster, project: str) -> list[str]:
    """Of a page, or nothing where there is none at this moment."""
    try:
        answer = orchard.get(f"/pypi/simple/{project}/", headers={"Accept": JSON})
    except httpx.TransportError:  # broken off, for the sources or blocks have just changed
        return []
    files = answer.json()["files"] if answer.status_code == 200 else []
    return [each["filename"].split("-")[1] for each in files]


def test_name_that_an_upstream_has__stays_its_own(
    orchard: Cluster, upstream: Upstream, project: Callable[[], str], tmp_path: Path
) -> None:
    name = project()
    stem = name.replace("-", "_")
    upstream.add_project(name, {f"{stem}-1.0-py3-none-any.whl": build_wheel(name, "1.0")})
    take(orchard, tmp_path / "folder", name, "6.6")
    assert versions(orchard, name) == ["1.0"]


def test_name_that_no_upstream_has__is_served_and_pinned(
    orchard: Cluster, upstream: Upstream, project: Callable[[], str], tmp_path: Path
) -> None:
    name = project()
    take(orchard, tmp_path / "folder", name, "1.0")
    wait_until(lambda: versions(orchard, name) == ["1.0"], what="the imported page")
    stem = name.replace("-", "_")
    upstream.add_project(name, {f"{stem}-9.9-py3-none-any.whl": build_wheel(name, "9.9")})
    take(orchard, tmp_path / "folder", name, "1.1")  # has pages asked for anew
    wait_until(lambda: versions(orchard, name) == ["1.0", "1.1"], what="the new version, and no other")


def test_name_while_the_upstream_is_away__is_not_taken_for_the_imported_one(
    orchard: Cluster, upstream: Upstream, project: Callable[[], str], tmp_path: Path
) -> None:
    name = project()
    upstream.fault(f"/simple/{name}/", Fault(status=500))
    take(orchard, tmp_path / "folder", name, "1.0")
    answer = orchard.get(f"/pypi/simple/{name}/")
    assert answer.status_code == 503
    take(orchard, tmp_path / "folder", name, "1.0", f"--own=pypi/{name}")
    wait_until(lambda: versions(orchard, name) == ["1.0"], what="the bound name")


def test_rules__hold_for_what_was_imported_and_say_where_it_is_from(
    orchard: Cluster, project: Callable[[], str], tmp_path: Path
) -> None:
    name = project()
    take(orchard, tmp_path / "folder", name, "1.0", f"--own=pypi/{name}")
    take(orchard, tmp_path / "folder", name, "2.0")
    wait_until(lambda: versions(orchard, name) == ["1.0", "2.0"], what="both versions")
    path = orchard.file_path(name, f"{name.replace('-', '_')}-2.0-py3-none-any.whl")
    assert orchard.get(path).content == build_wheel(name, "2.0")
    operator = {"authorization": f"Bearer {TOKEN}"}
    body = {"protocol": "pypi", "name": name, "version": "2.0", "reason": "not ours"}
    blocked = httpx.post(
        orchard.url("/api/v1/admin/blocks"), json=body, headers=operator, timeout=30, trust_env=False
    )
    assert blocked.status_code == 201, blocked.text
    wait_until(lambda: versions(orchard, name) == ["1.0"], what="the page without the blocked version")
    wait_until(lambda: orchard.get(path).status_code == 403, what="the refusal of the file")
    why = orchard.get("/api/v1/why", params={"of": f"pkg:pypi/{name}@1.0"}).json()
    assert (why["source"], why["items"][0]["allowed"]) == ("import-own", True)
    listed = orchard.get("/api/v1/admin/upstreams?protocol=pypi", headers=operator).json()
    assert {"import", "import-own"} <= {each["name"] for each in listed["items"]}
