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

from tests.clients import node, rust
from tests.clients.conftest import Tools, publish_tree
from tests.clients.rust import LOCKED, Cargo
from tests.clients.test_projects import PYPROJECT
from tests.support.cargo_builders import Registry
from tests.support.npm_builders import base_name, tarball_path
from tests.support.orchard import Cluster, cluster
from tests.support.stores import ROOT
from tests.support.upstream import Upstream


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    with Upstream() as server:
        publish_tree(server)
        node.publish_tree(server)
        rust.publish_tree(Registry(server))
        yield server


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


def npm_files(upstream: Upstream) -> dict[str, str]:
    """Of the tree of npm's clients."""
    found = {}
    for each in node.EXPECTED:
        name, _, version = each.rpartition("@")
        found[base_name(name, version)] = sha256_at(upstream, tarball_path(name, version))
    return found


@pytest.mark.parametrize(
    ("tool", "command", "lock"),
    [
        ("npm-10", ["install", "--package-lock-only"], "package-lock.json"),
        ("npm-10", ["install", "--package-lock-only", "--lockfile-version=1"], "package-lock.json"),
        ("npm-11", ["install", "--package-lock-only", "--lockfile-version=2"], "package-lock.json"),
        ("npm-11", ["shrinkwrap"], "npm-shrinkwrap.json"),
        ("pnpm-10", ["install", "--lockfile-only"], "pnpm-lock.yaml"),
        ("yarn-1", ["install", "--ignore-scripts"], "yarn.lock"),
        ("yarn-4", ["install", "--mode=update-lockfile"], "yarn.lock"),
    ],
)
def test_clients_of_npm(
    orchard: Cluster,
    empty: Cluster,
    upstream: Upstream,
    tools: Tools,
    tmp_path: Path,
    tool: str,
    command: list[str],
    lock: str,
) -> None:
    folder = node.project(tmp_path / "demo")
    env = node.environment(tools, orchard.url("/npm/"), YARN_ENABLE_IMMUTABLE_INSTALLS="false")
    if tool == "npm-11" and command == ["shrinkwrap"]:
        tools.run([*node.command(tool), "install", "--package-lock-only"], cwd=folder, env=env)
    done = tools.run([*node.command(tool), *command], cwd=folder, env=env)
    assert done.returncode == 0, done.stdout + done.stderr
    assert files_of(ensured(empty, tools, folder / lock), "npm") == npm_files(upstream)


@pytest.mark.parametrize("form", ["cyclonedx", "spdx"])
def test_npm_sbom(
    orchard: Cluster, empty: Cluster, upstream: Upstream, tools: Tools, tmp_path: Path, form: str
) -> None:
    folder = node.project(tmp_path / "demo")
    env = node.environment(tools, orchard.url("/npm/"))
    npm = node.command("npm-11")
    assert tools.run([*npm, "install", "--package-lock-only"], cwd=folder, env=env).returncode == 0
    done = tools.run([*npm, "sbom", "--package-lock-only", "--sbom-format", form], cwd=folder, env=env)
    assert done.returncode == 0, done.stderr
    (folder / "bom.json").write_text(done.stdout)
    assert files_of(ensured(empty, tools, folder / "bom.json"), "npm") == npm_files(upstream)


def test_cargo(orchard: Cluster, empty: Cluster, upstream: Upstream, tmp_path: Path, tools: Tools) -> None:
    cargo = Cargo(tmp_path, orchard.url("/cargo/"))
    cargo.write('app-lib = "1"')
    cargo.run("generate-lockfile")
    found = ensured(empty, tools, cargo.project / "Cargo.lock")["protocols"]["cargo"]["packages"]
    assert sorted(f"{each['name']} {each['version']}" for each in found) == sorted(map(str.lower, LOCKED))
    assert all(f'checksum = "{each["sha256"]}"' in cargo.lock for each in found)
