"""npm's clients install through Orchard: cold, warm, from lock files, and with the upstream gone."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.clients.conftest import Tools, forget_breakers
from tests.clients.node import (
    EXPECTED,
    INSTALLERS,
    NPMS,
    PNPMS,
    TREE,
    command,
    environment,
    install,
    installed,
    project,
    publish_tree,
    renamed,
)
from tests.support.npm_builders import PREFIX, packument_path, publish, tarball_path
from tests.support.orchard import Cluster, cluster
from tests.support.stores import ROOT
from tests.support.upstream import Fault, Reply, Upstream

BULK = f"{PREFIX}/-/npm/v1/security/advisories/bulk"


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    with Upstream() as server:
        publish_tree(server)
        yield server


@pytest.fixture(scope="module")
def orchard(tmp_path_factory: pytest.TempPathFactory, upstream: Upstream) -> Iterator[Cluster]:
    with cluster(tmp_path_factory.mktemp("orchard"), upstream, ORCHARD_CACHE_TTL_INDEX="2") as running:
        yield running


@pytest.fixture(autouse=True)
def _healed(upstream: Upstream, orchard: Cluster) -> Iterator[None]:
    yield
    upstream.heal()
    forget_breakers(orchard)


@pytest.mark.parametrize("tool", INSTALLERS)
def test_install__cold_then_warm_then_upstream_gone__same_tree(
    orchard: Cluster, upstream: Upstream, tools: Tools, tool: str, tmp_path: Path
) -> None:
    stem = f"of-{tool}"
    tree, expected = renamed(stem)
    publish_tree(upstream, tree)
    for round_name in ("cold", "warm", "gone"):
        tools.forget()
        folder = project(tmp_path / round_name, {f"{stem}-app": "^1.0.0"})
        install(tools, tool, orchard.url("/npm/"), folder)
        assert installed(folder) == expected, round_name
        if round_name == "warm":
            assert all(
                upstream.count(tarball_path(n, v)) == 1
                for n, vs in tree.items()
                for v in vs
                if f"{n}@{v}" in expected
            )
            upstream.fault("*", Fault(reset=True, cut_at=0))


@pytest.mark.parametrize("tool", NPMS)
def test_npm_ci__lock_from_elsewhere_on_an_empty_orchard__no_packument_is_fetched(
    tmp_path_factory: pytest.TempPathFactory, tools: Tools, tool: str, tmp_path: Path
) -> None:
    command(tool)
    with Upstream() as own:
        publish_tree(own)
        folder = project(tmp_path / "demo")
        install(tools, tool, f"{own.url}{PREFIX}/", folder)
        lock = folder / "package-lock.json"
        written = lock.read_text()
        assert f"{own.url}{PREFIX}/orchard-leaf/-/" in written
        lock.write_text(written.replace(f"{own.url}{PREFIX}/", "https://registry.example.com/"))
        shutil.rmtree(folder / "node_modules")
        tools.forget()
        asked = {name: own.count(packument_path(name)) for name in TREE}
        with cluster(tmp_path_factory.mktemp("own"), own) as running:
            words = [*command(tool), "ci", "--replace-registry-host=always"]
            done = tools.run(words, cwd=folder, env=environment(tools, running.url("/npm/")))
            assert done.returncode == 0, done.stdout + done.stderr
        assert installed(folder) == EXPECTED
        assert {name: own.count(packument_path(name)) for name in TREE} == asked


@pytest.mark.parametrize(
    ("tool", "frozen"),
    [
        ("pnpm-10", "--frozen-lockfile"),
        ("pnpm-12", "--frozen-lockfile"),
        ("yarn-1", "--frozen-lockfile"),
        ("yarn-4", "--immutable"),
        ("bun-1", "--frozen-lockfile"),
        ("deno-2", "--frozen"),
    ],
)
def test_lock_file__made_through_orchard__installs_frozen(
    orchard: Cluster, tools: Tools, tool: str, frozen: str, tmp_path: Path
) -> None:
    folder = project(tmp_path / "demo")
    install(tools, tool, orchard.url("/npm/"), folder)
    shutil.rmtree(folder / "node_modules")
    tools.forget()
    install(tools, tool, orchard.url("/npm/"), folder, frozen)
    assert installed(folder) == EXPECTED


@pytest.mark.parametrize("tool", NPMS)
def test_install__upstream_sends_other_bytes__fails_and_keeps_nothing_then_succeeds(
    tmp_path_factory: pytest.TempPathFactory, tools: Tools, tool: str, tmp_path: Path
) -> None:
    command(tool)
    with Upstream() as own:
        publish_tree(own)
        own.fault(tarball_path("orchard-leaf", "2.0.0"), Fault(flip_at=90_000))
        with cluster(tmp_path_factory.mktemp("own"), own) as running:
            words = [*command(tool), "install", "--fetch-retries", "0"]
            env = environment(tools, running.url("/npm/"))
            assert tools.run(words, cwd=project(tmp_path / "broken"), env=env).returncode != 0
            own.heal()
            folder = project(tmp_path / "healed")
            again = [*command(tool), "install", "--fetch-retry-mintimeout", "1000"]
            done = tools.run([*again, "--fetch-retries", "8"], cwd=folder, env=env)
            assert done.returncode == 0, done.stdout + done.stderr
            assert installed(folder) == EXPECTED


@pytest.mark.parametrize("tool", ["yarn-4", *PNPMS])
def test_age_gate__upstream_tells_times__installs(
    orchard: Cluster, tools: Tools, tool: str, tmp_path: Path
) -> None:
    """yarn 4's gate is on by default; pnpm's is switched on here. Both need `time`."""
    options = ["--config.minimumReleaseAge=1440"] if tool.startswith("pnpm") else []
    folder = project(tmp_path / "demo")
    install(tools, tool, orchard.url("/npm/"), folder, *options)
    assert installed(folder) == EXPECTED


def test_age_gate__upstream_tells_no_times__new_to_orchard_is_too_young_and_the_gate_can_be_lowered(
    orchard: Cluster, upstream: Upstream, tools: Tools, tmp_path: Path
) -> None:
    publish(upstream, "orchard-undated", {"1.0.0": {}}, size_bytes=10, time={})
    folder = project(tmp_path / "demo", {"orchard-undated": "1.0.0"})
    refused = tools.run(
        [*command("yarn-4"), "install"], cwd=folder, env=environment(tools, orchard.url("/npm/"))
    )
    assert refused.returncode != 0
    assert "quarantine" in refused.stdout.lower()
    install(tools, "yarn-4", orchard.url("/npm/"), folder, YARN_NPM_MINIMAL_AGE_GATE="0")
    assert installed(folder) == {"orchard-undated@1.0.0"}


@pytest.mark.parametrize("tool", NPMS)
def test_unknown_package__npm_prints_orchards_words(
    orchard: Cluster, tools: Tools, tool: str, tmp_path: Path
) -> None:
    folder = project(tmp_path / "demo", {"orchard-no-such-thing": "1"})
    done = tools.run([*command(tool), "install"], cwd=folder, env=environment(tools, orchard.url("/npm/")))
    assert done.returncode != 0
    assert "E404" in done.stderr
    assert "not found: no upstream has orchard-no-such-thing" in done.stderr


@pytest.mark.parametrize("tool", NPMS)
def test_install__url_of_a_registry_at_its_hosts_root__goes_through_orchard(
    orchard: Cluster, tools: Tools, tool: str, tmp_path: Path
) -> None:
    """npm resolves the path of such an address against Orchard's host alone: without /npm."""
    address = "https://registry.example.com/orchard-leaf/-/orchard-leaf-1.0.0.tgz"
    folder = project(tmp_path / "demo", {"orchard-leaf": address})
    env = environment(
        tools,
        orchard.url("/npm/"),
        npm_config_replace_registry_host="registry.example.com",
        npm_config_allow_remote="all",  # npm 12 takes no such addresses unless it is told to
    )
    done = tools.run([*command(tool), "install"], cwd=folder, env=env)
    assert done.returncode == 0, done.stderr
    assert installed(folder) == {"orchard-leaf@1.0.0"}


@pytest.mark.parametrize("tool", NPMS)
@pytest.mark.parametrize("path", ["", "/npm", "/repository/npm-all"])
def test_ci__lock_of_a_registry_under_any_path__goes_through_orchard(
    orchard: Cluster, tools: Tools, tool: str, path: str, tmp_path: Path
) -> None:
    folder = project(tmp_path / "demo")
    install(tools, tool, orchard.url("/npm/"), folder)
    lock = folder / "package-lock.json"
    lock.write_text(lock.read_text().replace(orchard.url("/npm/"), f"https://registry.example.com{path}/"))
    shutil.rmtree(folder / "node_modules")
    env = environment(tools, orchard.url("/npm/"), npm_config_replace_registry_host="always")
    done = tools.run([*command(tool), "ci", "--cache", str(tmp_path / "empty")], cwd=folder, env=env)
    assert done.returncode == 0, done.stderr
    assert installed(folder) == EXPECTED


@pytest.mark.parametrize("tool", INSTALLERS)
@pytest.mark.parametrize("slashes", ["", "//"])
def test_install__registry_with_more_or_fewer_slashes__works(
    orchard: Cluster, tools: Tools, tool: str, slashes: str, tmp_path: Path
) -> None:
    folder = project(tmp_path / "demo")
    install(tools, tool, orchard.url("/npm") + slashes, folder)
    assert installed(folder) == EXPECTED


AUDITS = {
    "npm-10": ["audit", "--json"],
    "npm-11": ["audit", "--json"],
    "npm-12": ["audit", "--json"],
    "pnpm-10": ["audit", "--json"],
    "pnpm-12": ["audit", "--json"],
    "bun-1": ["audit", "--json"],
    "deno-2": ["audit"],
    "yarn-4": ["npm", "audit", "--recursive", "--json"],
}


@pytest.mark.parametrize("tool", AUDITS)
def test_audit__advisory_upstream__is_found(
    orchard: Cluster, upstream: Upstream, tools: Tools, tool: str, tmp_path: Path
) -> None:
    advisory = {
        "id": 1,
        "url": "https://advisories.example.com/1",
        "title": "leaf is bad",
        "severity": "high",
        "vulnerable_versions": "<2.0.0",
        "cwe": [],
        "cvss": {"score": 0, "vectorString": None},
    }
    found = json.dumps({"orchard-leaf": [advisory]}).encode()
    upstream.put(BULK, Reply(found, "application/json"))
    upstream.put(f"{PREFIX}/-/npm/v1/security/audits", Reply(b"", status=410))
    folder = project(tmp_path / "demo")
    install(tools, tool, orchard.url("/npm/"), folder)
    done = tools.run(
        [*command(tool), *AUDITS[tool]], cwd=folder, env=environment(tools, orchard.url("/npm/"))
    )
    assert upstream.count(BULK) or tool == "pnpm-10"
    if tool != "pnpm-10":  # it asks the older address, which has no advisories here
        assert "leaf is bad" in done.stdout, done.stdout + done.stderr
        assert done.returncode != 0


@pytest.mark.parametrize("tool", AUDITS)
def test_audit__nobody_audits__fails_and_installs_go_on(
    orchard: Cluster, upstream: Upstream, tools: Tools, tool: str, tmp_path: Path
) -> None:
    upstream.remove(BULK)
    upstream.remove(f"{PREFIX}/-/npm/v1/security/audits")
    folder = project(tmp_path / "demo")
    install(tools, tool, orchard.url("/npm/"), folder)
    done = tools.run(
        [*command(tool), *AUDITS[tool]], cwd=folder, env=environment(tools, orchard.url("/npm/"))
    )
    assert done.returncode != 0, done.stdout + done.stderr
    assert "found 0 vulnerabilities" not in done.stdout


@pytest.mark.parametrize("tool", NPMS)
def test_install__audits_by_default_and_nobody_audits__succeeds_without_a_verdict(
    orchard: Cluster, tools: Tools, tool: str, tmp_path: Path
) -> None:
    folder = project(tmp_path / "demo")
    env = {**environment(tools, orchard.url("/npm/")), "npm_config_audit": "true"}
    done = tools.run([*command(tool), "install"], cwd=folder, env=env)
    assert done.returncode == 0, done.stderr
    assert "added" in done.stdout
    assert "vulnerabilities" not in done.stdout


@pytest.mark.parametrize("tool", NPMS)
def test_ping_view_and_dist_tag__work(orchard: Cluster, tools: Tools, tool: str) -> None:
    env = environment(tools, orchard.url("/npm/"))
    for words, said in (
        (["ping"], ""),
        (["view", "orchard-leaf@1.0.0", "version"], "1.0.0"),
        (["dist-tag", "ls", "@orchard/lib"], "latest: 1.1.0"),
        (["outdated"], ""),
    ):
        done = tools.run([*command(tool), *words], env=env)
        assert done.returncode == 0, done.stdout + done.stderr
        assert said in done.stdout


def _documented(pattern: str, orchard: Cluster) -> list[str]:
    """The words of a line of the README, with the address of the Orchard under test."""
    found = re.search(pattern, (ROOT / "README.md").read_text())
    assert found, f"the README no longer says {pattern}"
    return shlex.split(found.group(0).replace("http://127.0.0.1:8080", orchard.url("").rstrip("/")))


@pytest.mark.parametrize("tool", [each for each in INSTALLERS if each != "yarn-4"])
def test_readme__registry_line__installs(orchard: Cluster, tools: Tools, tool: str, tmp_path: Path) -> None:
    env = {**tools.environment(), "npm_config_audit": "false"}
    client = "yarn" if tool == "yarn-1" else "npm"
    line = _documented(rf"{client} config set registry [^\s`]+", orchard)
    setter = command("yarn-1" if client == "yarn" else "npm-12")
    assert tools.run([*setter, *line[1:]], env=env).returncode == 0
    folder = project(tmp_path / "demo")
    done = tools.run([*command(tool), "install"], cwd=folder, env=env)
    assert done.returncode == 0, done.stdout + done.stderr
    assert installed(folder) == EXPECTED


def test_readme__yarn_4_lines__install(orchard: Cluster, tools: Tools, tmp_path: Path) -> None:
    env = {**tools.environment(), "YARN_ENABLE_TELEMETRY": "0", "YARN_NODE_LINKER": "node-modules"}
    folder = project(tmp_path / "demo")
    for pattern in (
        r"yarn config set npmRegistryServer [^\s`]+",
        r"yarn config set unsafeHttpWhitelist --json [^\s`]+",
    ):
        line = _documented(pattern, orchard)
        done = tools.run([*command("yarn-4"), *line[1:]], cwd=folder, env=env)
        assert done.returncode == 0, done.stdout + done.stderr
    done = tools.run([*command("yarn-4"), "install"], cwd=folder, env=env)
    assert done.returncode == 0, done.stdout + done.stderr
    assert installed(folder) == EXPECTED
