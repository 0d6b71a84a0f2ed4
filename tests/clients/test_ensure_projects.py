"""Ensure files that say more than requirements: npm's own lock of the exported package.json as the oracle of
ours, and `npm ci` on both while the upstream is away."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.clients import node
from tests.clients.conftest import Tools
from tests.support.npm_builders import integrity, publish, tarball_path
from tests.support.orchard import Cluster, cluster, wait_until
from tests.support.stores import ROOT
from tests.support.upstream import Fault, Upstream

OVERRIDES = """
[npm]
dependencies = {orchard-app = "^1.0.0", orchard-leaf = "^2.0.0", orchard-tool = "*"}

[npm.overrides]
orchard-leaf = "$orchard-leaf"
"orchard-deep@^1" = "2.0.0"
orchard-tool = {orchard-deep = "3.0.0"}
"""

MANIFEST = json.dumps(
    {
        "name": "@acme/site",
        "version": "1.2.3",
        "private": True,
        "license": {"type": "MIT"},
        "funding": "https://example.com/fund",
        "engines": {"node": ">=4"},
        "bin": "./index.js",
        "scripts": {"postinstall": "node --version", "test": "exit 1"},
        "workspaces": [],
        "dependencies": {"orchard-app": "^1.0.0", "orchard-leaf": "1", "orchard-extra": "0.1.0"},
        "optionalDependencies": {"orchard-extra": "0.1.0", "orchard-opt": "*"},
        "devDependencies": {"orchard-leaf": "^2.0.0", "orchard-mid": "1", "orchard-unit": "*"},
        "peerDependencies": {"orchard-host": "*", "orchard-absent": "*", "orchard-leaf": "*"},
        "peerDependenciesMeta": {"orchard-absent": {"optional": True}},
        "overrides": {"orchard-deep": "2.0.0"},
    }
)
"""A project's own package.json, with dependencies of all kinds and one name in three groups."""

MEMBERS: dict[str, Any] = {
    "": {
        "name": "shop",
        "private": True,
        "workspaces": ["packages/@acme/*", "packages/web", "tools"],
        "dependencies": {"orchard-app": "^1.0.0"},
        "devDependencies": {"orchard-leaf": "1"},
    },
    "packages/@acme/ui": {
        "name": "@acme/ui",
        "version": "1.0.0",
        "license": "MIT",
        "bin": {"ui": "index.js"},
        "peerDependencies": {"orchard-host": "*"},
        "dependencies": {"orchard-leaf": "^2.0.0", "orchard-deep": "^1"},
    },
    "packages/web": {
        "name": "web",
        "dependencies": {"@acme/ui": "^1.0.0", "orchard-deep": "^2"},
        "devDependencies": {"orchard-unit": "*"},
    },
    "tools": {
        "name": "shop-tools",
        "version": "0.1.0",
        "optionalDependencies": {"orchard-opt": "*", "web": "*"},
    },
}
"""A project of members: one that others depend on, versions that exclude one another, development tools."""

OWN_LOCKS = """
[npm]
dependencies = {orchard-three = "*", orchard-one = "*", orchard-bundler = "*"}
"""


def publish_own_locks(server: Upstream) -> None:
    """Packages that bring an npm-shrinkwrap.json, in two forms of it, and one that bundles as well."""
    about = {"license": "MIT", "engines": {"node": ">=4"}, "bin": {"deep": "index.js"}}
    deep = publish(server, "orchard-below", {"1.0.0": about, "1.1.0": {}, "2.0.0": about})
    needs = {"dependencies": {"orchard-below": "^2"}}
    side = publish(server, "orchard-side", {"1.0.0": needs, "1.5.0": {}})

    def entry(name: str, version: str, algorithm: str = "sha512", **more: Any) -> dict[str, Any]:
        data = {"orchard-below": deep, "orchard-side": side}[name][version]
        told = {"version": version, "resolved": server.url + tarball_path(name, version)}
        return told | {"integrity": integrity(data, algorithm), **more}

    three = {
        "": {"name": "orchard-three", "version": "1.0.0", **needs},
        "node_modules/orchard-below": entry("orchard-below", "1.0.0", **about),
        "node_modules/orchard-side": entry("orchard-side", "1.0.0", **needs),
        "node_modules/orchard-side/node_modules/orchard-below": entry("orchard-below", "2.0.0", **about),
    }
    one = {
        "orchard-below": entry("orchard-below", "1.0.0", "sha1"),
        "orchard-side": entry(
            "orchard-side",
            "1.0.0",
            requires={"orchard-below": "^2"},
            dependencies={"orchard-below": entry("orchard-below", "2.0.0", optional=True)},
        ),
    }
    both = {"orchard-below": "^1", "orchard-side": "*"}
    for name, told in (
        ("orchard-three", {"lockfileVersion": 3, "packages": three}),
        ("orchard-one", {"lockfileVersion": 1, "dependencies": one}),
    ):
        inner = {"name": name, "version": "1.0.0", "requires": True, **told}
        manifest = {"dependencies": both, "_hasShrinkwrap": True}
        more = {"npm-shrinkwrap.json": json.dumps(inner).encode()}
        publish(server, name, {"1.0.0": manifest}, more=more)
    bundled = {
        "node_modules/orchard-below": {"version": "1.0.0", "inBundle": True, **about},
        "node_modules/orchard-side": entry("orchard-side", "1.5.0"),
    }
    publish(
        server,
        "orchard-bundler",
        {
            "1.0.0": {
                "dependencies": both,
                "bundleDependencies": ["orchard-below"],
                "_hasShrinkwrap": True,
            }
        },
        more={
            "npm-shrinkwrap.json": json.dumps({"lockfileVersion": 3, "packages": bundled}).encode(),
            "node_modules/orchard-below/package.json": json.dumps(
                {"name": "orchard-below", "version": "1.0.0", **about}
            ).encode(),
            "node_modules/orchard-below/index.js": b"",
        },
    )


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    with Upstream() as server:
        node.publish_tree(server)
        publish(server, "orchard-deep", {"1.0.0": {}, "2.0.0": {}, "3.0.0": {}})
        publish(server, "orchard-mid", {"1.0.0": {"dependencies": {"orchard-deep": "^1"}}})
        needs = {"orchard-deep": "^1", "orchard-leaf": "1"}
        publish(server, "orchard-tool", {"1.0.0": {"dependencies": needs}})
        app = node.TREE["orchard-app"]["1.0.0"]["dependencies"]
        more = {"1.1.0": {"dependencies": {**app, "orchard-mid": "1", "orchard-deep": "^1"}}}
        publish(server, "orchard-app", node.TREE["orchard-app"] | more)
        publish_own_locks(server)
        publish(server, "orchard-both", {"1.0.0": {}})
        publish(server, "orchard-opt", {"1.0.0": {"dependencies": {"orchard-both": "*"}}})
        publish(server, "orchard-unit", {"1.0.0": {"dependencies": {"orchard-both": "*"}}})
        publish(server, "orchard-host", {"1.0.0": {"dependencies": {"orchard-side": "1.5.0"}}})
        yield server


@pytest.fixture(scope="module")
def orchard(tmp_path_factory: pytest.TempPathFactory, upstream: Upstream) -> Iterator[Cluster]:
    with cluster(tmp_path_factory.mktemp("orchard"), upstream, ORCHARD_CACHE_TTL_INDEX="1") as running:
        yield running


Exports = dict[str, bytes]


@pytest.fixture(scope="module")
def exported(orchard: Cluster, upstream: Upstream) -> dict[str, Exports]:
    """Both files of each ensure file; afterwards the upstream is away."""
    found = {name: exports_of(orchard, file) for name, file in FILES.items()}
    upstream.fault("*", Fault(reset=True, cut_at=0))
    return found


FILES = {
    "overrides": OVERRIDES,
    "own locks": OWN_LOCKS,
    "package.json": MANIFEST,
    "members": json.dumps({"packages": MEMBERS}),
}


def exports_of(orchard: Cluster, file: str) -> Exports:
    own = file.startswith("{")
    path = "/api/v1/ensure" + ("?name=package.json" if own else "")
    answer = httpx.post(orchard.url(path), content=file, timeout=30, trust_env=False)
    if answer.status_code == 202:
        location = answer.json()["location"]
        wait_until(lambda: orchard.get(location).status_code != 202, seconds=60, what="the ensure")
        answer = orchard.get(location)
    lock = answer.json()
    assert lock["complete"] is True, lock
    names = ("package.json", "package-lock.json")
    found = {name: orchard.get(f"/api/v1/ensures/{lock['key']}/exports/{name}").content for name in names}
    if own:
        if "packages" in json.loads(file):
            return found
        again = httpx.post(orchard.url(path), content=found["package.json"], timeout=30, trust_env=False)
        assert again.json()["key"] == lock["key"]  # what is exported asks for the same
        found["package.json"] = file.encode()
    return found


def installed(
    orchard: Cluster, tools: Tools, exports: Exports, tool: str, folder: Path
) -> dict[str, dict[str, Any]]:
    """The places of a lock, after `npm ci` has installed all of them."""
    for name, body in exports.items():
        (folder / name).write_bytes(body)
    environment = node.environment(tools, orchard.url("/npm/"))
    # npm reads own locks out of the tarballs again, and replaces the public registry's address there unasked.
    command = [*node.command(tool), "ci", "--replace-registry-host=always"]
    done = tools.run(command, cwd=folder, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    places: dict[str, dict[str, Any]] = json.loads(exports["package-lock.json"])["packages"]
    for place, entry in places.items():
        assert json.loads((folder / place / "package.json").read_text())["version"] == entry["version"]
    listed = tools.run([*node.command(tool), "ls", "--all"], cwd=folder, env=environment)
    assert listed.returncode == 0, listed.stdout + listed.stderr
    return places


@pytest.mark.parametrize("tool", ["npm-11", "npm-12"])  # npm 10 refuses its own lock of a rule inside another
def test_overrides__npm_ci__upstream_away__the_tree_that_they_ask_for(
    orchard: Cluster, tools: Tools, exported: dict[str, Exports], tool: str, tmp_path: Path
) -> None:
    places = installed(orchard, tools, exported["overrides"], tool, tmp_path)
    deep = [entry["version"] for place, entry in places.items() if place.endswith("/orchard-deep")]
    assert set(deep) == {"2.0.0", "3.0.0"}


@pytest.mark.parametrize("tool", node.NPMS)
def test_packages_with_a_lock_of_their_own__npm_ci__upstream_away__as_those_say(
    orchard: Cluster, tools: Tools, exported: dict[str, Exports], tool: str, tmp_path: Path
) -> None:
    places = installed(orchard, tools, exported["own locks"], tool, tmp_path)
    assert places["node_modules/orchard-three/node_modules/orchard-below"]["version"] == "1.0.0"
    assert places["node_modules/orchard-one/node_modules/orchard-below"]["version"] == "1.0.0"
    assert places["node_modules/orchard-bundler/node_modules/orchard-below"]["inBundle"] is True
    assert not any(place.count("/") == 1 and "orchard-side" in place for place in places)


@pytest.mark.parametrize("tool", node.NPMS)
def test_package_json__npm_ci__upstream_away__all_that_it_asks_for(
    orchard: Cluster, tools: Tools, exported: dict[str, Exports], tool: str, tmp_path: Path
) -> None:
    places = installed(orchard, tools, exported["package.json"], tool, tmp_path)
    assert places["node_modules/orchard-leaf"]["dev"] is True
    assert places["node_modules/orchard-both"]["devOptional"] is True
    assert places["node_modules/orchard-host"]["peer"] is True
    assert places["node_modules/orchard-deep"]["version"] == "2.0.0"


@pytest.mark.parametrize(
    ("file", "tool"),
    [
        *(("package.json", tool) for tool in node.NPMS),
        *(("overrides", tool) for tool in node.NPMS),
        *(("own locks", tool) for tool in ("npm-10", "npm-11")),  # npm 12 looks into no tarball for a lock
    ],
)
def test_package_lock__what_npm_itself_writes(
    orchard: Cluster,
    upstream: Upstream,
    tools: Tools,
    exported: dict[str, Exports],
    tool: str,
    file: str,
    tmp_path: Path,
) -> None:
    (tmp_path / "package.json").write_bytes(exported[file]["package.json"])
    environment = node.environment(tools, orchard.url("/npm/"))
    command = [*node.command(tool), "install", "--package-lock-only"]
    done = tools.run(command, cwd=tmp_path, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    # An own lock's addresses are those of the registry where it was made: Orchard writes its own there.
    written = (tmp_path / "package-lock.json").read_text().replace(upstream.url, orchard.url(""))
    assert json.loads(exported[file]["package-lock.json"]) == json.loads(written)


def write_members(folder: Path) -> None:
    for place, about in MEMBERS.items():
        (folder / place).mkdir(parents=True, exist_ok=True)
        (folder / place / "package.json").write_text(json.dumps(about))
        (folder / place / "index.js").touch()


@pytest.mark.parametrize("tool", node.NPMS)
def test_workspaces__the_lock_that_npm_itself_writes(
    orchard: Cluster, tools: Tools, exported: dict[str, Exports], tool: str, tmp_path: Path
) -> None:
    write_members(tmp_path)
    environment = node.environment(tools, orchard.url("/npm/"))
    command = [*node.command(tool), "install", "--package-lock-only"]
    done = tools.run(command, cwd=tmp_path, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    written = json.loads((tmp_path / "package-lock.json").read_text())
    assert json.loads(exported["members"]["package-lock.json"]) == written


@pytest.mark.parametrize("tool", node.NPMS)
def test_workspaces__npm_ci__upstream_away__members_linked_and_all_that_they_ask_for(
    orchard: Cluster, tools: Tools, exported: dict[str, Exports], tool: str, tmp_path: Path
) -> None:
    write_members(tmp_path)
    (tmp_path / "package-lock.json").write_bytes(exported["members"]["package-lock.json"])
    environment = node.environment(tools, orchard.url("/npm/"))
    done = tools.run([*node.command(tool), "ci"], cwd=tmp_path, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "node_modules" / "@acme" / "ui").resolve() == tmp_path / "packages" / "@acme" / "ui"
    places = json.loads(exported["members"]["package-lock.json"])["packages"]
    assert places["node_modules/web"] == {"resolved": "packages/web", "link": True}
    versions = {entry["version"] for place, entry in places.items() if place.endswith("/orchard-leaf")}
    assert versions == {"1.0.0", "2.0.0"}


def test_orchard_ensure__members_found_on_disk__the_lock_of_the_posted_whole(
    orchard: Cluster, tools: Tools, exported: dict[str, Exports], tmp_path: Path
) -> None:
    write_members(tmp_path)
    out = tmp_path / "out"
    out.mkdir()
    command = [sys.executable, "-m", "services.cli", "ensure", "--export", "package-lock.json"]
    command += ["--export-dir", str(out), str(tmp_path / "package.json")]
    done = tools.run(command, cwd=ROOT, env=tools.environment(ORCHARD_URL=orchard.url("")))
    assert done.returncode == 0, done.stdout + done.stderr
    assert (out / "package-lock.json").read_bytes() == exported["members"]["package-lock.json"]
    assert json.loads((tmp_path / "orchard.lock.json").read_text())["complete"] is True
