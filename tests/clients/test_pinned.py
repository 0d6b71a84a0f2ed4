"""Locks made by real clients through one Orchard, ensured by the command on another one with an empty cache:
the same files with the same digests."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.clients.conftest import Tools
from tests.clients.test_projects import PYPROJECT
from tests.support.orchard import Cluster, cluster
from tests.support.stores import ROOT
from tests.support.upstream import Upstream


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory, upstream: Upstream) -> Iterator[Cluster]:
    """The Orchard that gets the locks: nobody has installed through it."""
    with cluster(tmp_path_factory.mktemp("empty"), upstream) as running:
        yield running


def ensured(orchard: Cluster, tools: Tools, path: Path) -> dict[str, Any]:
    """The lock that `orchard ensure` gets of a file."""
    command = [sys.executable, "-m", "services.cli", "ensure", "--json", str(path)]
    done = tools.run(command, cwd=ROOT, env=tools.environment(ORCHARD_URL=orchard.url("")))
    assert done.returncode == 0, done.stdout + done.stderr
    lock = dict(json.loads(done.stdout))
    assert lock["complete"] is True
    return lock


def files_of(lock: dict[str, Any], protocol: str) -> dict[str, str]:
    return {each["filename"]: each["sha256"] for each in lock["protocols"][protocol]["packages"]}


WHEELS = {
    "orchard-app": "orchard_app-1.0-py3-none-any.whl",
    "orchard-lib": "orchard_lib-1.1-py3-none-any.whl",
    "orchard-leaf": "orchard_leaf-2.0-py3-none-any.whl",
    "orchard-extra": "orchard_extra-0.1-py3-none-any.whl",
}
"""What the project needs."""


def sha256_at(upstream: Upstream, path: str) -> str:
    """Of a file as the upstream itself has it."""
    return hashlib.sha256(httpx.get(upstream.url + path, trust_env=False).content).hexdigest()


def python_files(upstream: Upstream) -> dict[str, str]:
    return {name: sha256_at(upstream, f"/files/{project}/{name}") for project, name in WHEELS.items()}


def python_project(folder: Path, more: str = "") -> Path:
    folder.mkdir()
    (folder / "pyproject.toml").write_text(PYPROJECT + more)
    return folder


def test_uv__lock_pylock_and_compiled_requirements(
    orchard: Cluster, empty: Cluster, upstream: Upstream, tools: Tools, tmp_path: Path
) -> None:
    index = f'[[tool.uv.index]]\nurl = "{orchard.url("/pypi/simple/")}"\ndefault = true\n'
    folder = python_project(tmp_path / "demo", index)
    uv, python = tools.command("uv"), tools.command("pip-newest")[0]
    for command in (
        ["lock", "--python", python],
        ["export", "--frozen", "--no-emit-project", "--format", "pylock.toml", "-o", "pylock.toml"],
        ["export", "--frozen", "--no-emit-project", "-o", "requirements.txt"],
    ):
        done = tools.run([*uv, *command], cwd=folder)
        assert done.returncode == 0, done.stderr
    wanted = python_files(upstream)
    for name in ("uv.lock", "pylock.toml"):
        assert files_of(ensured(empty, tools, folder / name), "pypi") == wanted, name
    assert files_of(ensured(empty, tools, folder / "requirements.txt"), "pypi") == wanted


def test_poetry(orchard: Cluster, empty: Cluster, upstream: Upstream, tools: Tools, tmp_path: Path) -> None:
    folder = python_project(tmp_path / "demo", "\n[tool.poetry]\npackage-mode = false\n")
    source = [*tools.command("poetry"), "source", "add", "--priority=primary", "orchard"]
    assert tools.run([*source, orchard.url("/pypi/simple/")], cwd=folder).returncode == 0
    done = tools.run([*tools.command("poetry"), "lock"], cwd=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    assert files_of(ensured(empty, tools, folder / "poetry.lock"), "pypi") == python_files(upstream)


def test_pip__lock(
    orchard: Cluster, empty: Cluster, upstream: Upstream, tools: Tools, tmp_path: Path
) -> None:
    command = [*tools.command("pip-newest"), "lock", "orchard-app[more]", "-o", str(tmp_path / "pylock.toml")]
    done = tools.run([*command, "--index-url", orchard.url("/pypi/simple/")])
    assert done.returncode == 0, done.stdout + done.stderr
    assert files_of(ensured(empty, tools, tmp_path / "pylock.toml"), "pypi") == python_files(upstream)
