"""`python -m bench.resolution_oracle --protocol npm`: resolutions of real roots beside npm's own lock.

Both ask one Orchard, which asks this machine's own registry. npm runs as `install --package-lock-only`
in an empty folder with an empty cache; compared are packages, versions and the folders they are put in.
What lies inside a package's own tarball (bundled dependencies) is no registry's to resolve and left out.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx
import msgspec

from bench.harness.oracle import asked

ROOTS = (
    "express", "react", "react-dom", "eslint", "vite", "webpack", "jest", "typescript", "next", "vue",
    "svelte",
    "@babel/core", "@babel/preset-env", "rollup", "prettier", "axios", "lodash", "fastify", "socket.io",
    "mongoose", "@angular/cli", "nuxt", "gatsby-cli", "mocha", "@nestjs/core", "tailwindcss", "postcss-cli",
    "eslint-config-airbnb", "@storybook/react", "react-scripts", "@vue/cli-service", "vitest", "esbuild",
    "sass", "electron", "prisma", "@typescript-eslint/eslint-plugin", "eslint-plugin-react", "express@^4",
    "webpack-dev-server", "@mui/material", "antd", "puppeteer", "knex", "sequelize", "gulp", "karma", "lerna",
)  # fmt: skip
NPM = Path(__file__).resolve().parents[1] / ".cache" / "clients" / "npm-11" / "node_modules" / ".bin" / "npm"
NPM_SECONDS = 300
ORCHARD_SECONDS = 180

Tree = dict[str, str]
"""Folder → name@version."""


class Compared(msgspec.Struct):
    """One root's outcome. `npm` is None where npm refused, `ours` where Orchard did."""

    root: str
    npm: Tree | None
    ours: Tree | None
    said: str = ""
    bundled: int = 0
    cold_seconds: float = 0.0
    again_seconds: float = 0.0  # another key, all documents known
    npm_seconds: float = 0.0

    @property
    def agrees(self) -> bool:
        return self.npm == self.ours

    @property
    def same_set(self) -> bool:
        """Whether at least the packages and versions are the same."""
        if self.npm is None or self.ours is None:
            return self.npm is self.ours
        return set(self.npm.values()) == set(self.ours.values())


def node_environment() -> str:
    """Orchard's name for the machine that npm runs on here."""
    version = subprocess.run(["node", "--version"], capture_output=True, text=True, check=True).stdout.strip()
    return f"node{version.removeprefix('v')}-linux-x64-glibc"


def split(root: str) -> tuple[str, str]:
    """Name and range of a requirement."""
    name, _, wanted = root[1:].partition("@")
    return root[0] + name, wanted or "*"


def by_npm(registry: str, roots: Sequence[str], home: Path) -> tuple[Tree | None, int, str]:
    """The lock's folders, how many are bundled, and what npm said when it failed."""
    project = home / "project"
    shutil.rmtree(home, ignore_errors=True)
    project.mkdir(parents=True)
    manifest = {"name": "oracle", "version": "1.0.0", "dependencies": dict(map(split, roots))}
    (project / "package.json").write_text(json.dumps(manifest))
    command = [
        str(NPM), "install", "--package-lock-only", "--ignore-scripts", "--no-audit", "--no-fund",
        "--no-update-notifier", "--registry", registry, "--cache", str(home / "cache"),
    ]  # fmt: skip
    clean = {"PATH": os.environ["PATH"], "HOME": str(home), "LANG": "C.UTF-8"}
    try:
        done = subprocess.run(
            command, cwd=project, env=clean, capture_output=True, text=True, timeout=NPM_SECONDS
        )
    except subprocess.TimeoutExpired:
        return None, 0, f"npm took longer than {NPM_SECONDS} s"
    lock = project / "package-lock.json"
    if done.returncode or not lock.exists():
        errors = [line for line in done.stderr.splitlines() if line.startswith("npm error")]
        return None, 0, " / ".join(errors[:8])[:600]
    tree: Tree = {}
    bundled = 0
    for folder, entry in json.loads(lock.read_bytes())["packages"].items():
        if not folder:
            continue
        if entry.get("inBundle"):
            bundled += 1
            continue
        if entry.get("link"):
            tree[folder] = "link"
            continue
        name = entry.get("name") or folder.rpartition("node_modules/")[2]
        tree[folder] = f"{name}@{entry.get('version')}"
    return tree, bundled, ""


def by_orchard(base: str, roots: Sequence[str], **options: Any) -> tuple[dict[str, Any] | None, str, float]:
    """The resolution, or why there is none, and seconds."""
    started = time.monotonic()
    while time.monotonic() - started < ORCHARD_SECONDS:
        answer = httpx.post(
            f"{base}/api/v1/resolve",
            json={"protocol": "npm", "requirements": list(roots), **options},
            timeout=60,
            trust_env=False,
        )
        if answer.status_code == 200:
            return answer.json(), "", time.monotonic() - started
        if answer.status_code not in (202, 503):
            return None, answer.json()["detail"][:900], time.monotonic() - started
    return None, f"not ready in {ORCHARD_SECONDS} s", time.monotonic() - started


def compare(base: str, root: str, home: Path, environment: str) -> Compared:
    """One entry of the list: one root, or several joined by blanks."""
    roots = root.split()
    graph, refused, cold = by_orchard(base, roots, environment=environment)
    _, _, again = by_orchard(base, roots, environment=environment, max_depth=49)
    started = time.monotonic()
    tree, bundled, said = by_npm(f"{base}/npm/", roots, home)
    seconds = time.monotonic() - started
    ours = None
    if graph is not None:
        ours = {
            folder: f"{node['name']}@{node['version']}"
            for node in graph["nodes"]
            for folder in node["locations"]
            if "inBundle" not in node.get("entries", {}).get(folder, {})
        }
        left_out = [f"{each['name']}: {each['reason']}" for each in graph["unresolved"]]
        refused = "; ".join(left_out)[:300] + ("" if graph["complete"] else " (incomplete)")
    shown = " | ".join(each for each in (refused and f"orchard: {refused}", said and f"npm: {said}") if each)
    return Compared(root, tree, ours, shown, bundled, cold, again, seconds)


def differences(npm: Tree, ours: Tree) -> list[str]:
    """One line for each folder in which the two differ."""
    return [
        f"{folder}: npm {npm.get(folder, 'nothing')}, orchard {ours.get(folder, 'nothing')}"
        for folder in sorted({*npm, *ours})
        if npm.get(folder) != ours.get(folder)
    ]


def show(one: Compared) -> None:
    """One root's line, and one for each difference."""
    word = "agrees " if one.agrees else "PLACES " if one.same_set else "DIFFERS"
    bundled = f"  {one.bundled} bundled left out" if one.bundled else ""
    print(
        f"{word} {one.root:34} {len(one.ours or {}):4} folders  cold {one.cold_seconds:6.2f} s"
        f"  known documents {one.again_seconds:5.2f} s  npm {one.npm_seconds:6.2f} s{bundled}",
        flush=True,
    )
    if one.said:
        print("          " + one.said.replace("\n", "\n          "))
    if not one.agrees and one.npm is not None and one.ours is not None:
        for line in differences(one.npm, one.ours):
            print(f"          {line}", flush=True)


def run(roots: Sequence[str], *, at: str, keep: bool) -> int:
    """Exit code: 1 when fewer than nine roots in ten agree, packages and folders alike."""
    if not NPM.exists() or shutil.which("node") is None:
        print("npm is not installed: install node and run 'make client-tools'", file=sys.stderr)
        return 2
    environment = node_environment()
    compared: list[Compared] = []
    with asked("npm", environment, at=at, keep=keep) as (base, work):
        for root in roots or ROOTS:
            compared.append(compare(base, root, work / "npm", environment))
            show(compared[-1])
    agreed = sum(one.agrees for one in compared)
    same = sum(one.same_set for one in compared)
    total = len(compared)
    print(
        f"{agreed} of {total} roots agree with npm in packages and folders ({100 * agreed / total:.0f} %),"
        f" {same} in packages"
    )
    return 0 if agreed >= 0.9 * total else 1
