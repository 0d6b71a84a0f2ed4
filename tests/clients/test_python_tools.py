"""pdm, hatch and pipx, set up by the README's lines, install through Orchard: cold, warm, from their locks,
and with the upstream gone."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.clients.conftest import Tools, forget_breakers
from tests.clients.python_tools import KINDS, Project, publish_app, publish_pip
from tests.support.orchard import Cluster, cluster
from tests.support.stores import ROOT
from tests.support.upstream import Fault, Upstream


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    with Upstream() as server:
        publish_pip(server)
        yield server


@pytest.fixture(scope="module")
def orchard(tmp_path_factory: pytest.TempPathFactory, upstream: Upstream) -> Iterator[Cluster]:
    with cluster(tmp_path_factory.mktemp("orchard"), upstream, ORCHARD_CACHE_TTL_INDEX="1") as running:
        yield running


@pytest.fixture
def env(orchard: Cluster, tools: Tools, tool: str) -> dict[str, str]:
    """A home set up by the README's line for a tool."""
    found = re.search(KINDS[tool].line, (ROOT / "README.md").read_text())
    assert found, f"the README no longer says {KINDS[tool].line}"
    env = KINDS[tool].environment(tools)
    words = found[0].replace("http://127.0.0.1:8080", orchard.url("").rstrip("/")).split()
    command = tools.command("pip-newest" if words[0] == "pip" else words[0])
    done = tools.run([*command, *words[1:]], env=env)
    assert done.returncode == 0, done.stdout + done.stderr
    return env


@pytest.mark.parametrize("tool", KINDS)
def test_install__cold_then_warm_then_upstream_gone__same_tree(
    orchard: Cluster, upstream: Upstream, tools: Tools, env: dict[str, str], tool: str, tmp_path: Path
) -> None:
    files = publish_app(upstream, stem := f"of-{tool}")
    for round_name in ("cold", "warm", "gone"):
        shutil.rmtree(Path(env["HOME"]) / ".cache", ignore_errors=True)
        project: Project = KINDS[tool](tools, tmp_path / round_name, stem)
        project.install(env)
        assert project.installed() == project.expected, round_name
        asked = [upstream.count(path) for path in files]
        if round_name == "cold":
            once = asked
        elif round_name == "warm":
            assert asked == once
            upstream.fault("*", Fault(reset=True, cut_at=0))
    upstream.heal()
    forget_breakers(orchard)


@pytest.mark.parametrize("tool", [each for each in KINDS if KINDS[each].lock])
def test_lock__made_through_orchard__installs_the_same_though_newer_ones_came(
    orchard: Cluster, upstream: Upstream, tools: Tools, env: dict[str, str], tool: str, tmp_path: Path
) -> None:
    publish_app(upstream, stem := f"lock-{tool}")
    first = KINDS[tool](tools, tmp_path / "first", stem)
    first.locked(env)
    lock = (first.folder / first.lock).read_text()
    assert f"{stem}-leaf" in lock
    second = KINDS[tool](tools, tmp_path / "second", stem)
    (second.folder / first.lock).write_text(lock)
    shutil.rmtree(Path(env["HOME"]) / ".cache", ignore_errors=True)
    second.locked(env)
    assert (second.folder / first.lock).read_text() == lock
    assert second.installed() == second.expected


@pytest.mark.parametrize("tool", KINDS)
def test_unknown_package__client_fails(tools: Tools, env: dict[str, str], tool: str, tmp_path: Path) -> None:
    project = KINDS[tool](tools, tmp_path / "demo", "orchard-no-such")
    with pytest.raises(AssertionError, match="orchard-no-such"):
        project.install(env)
    assert project.installed() == set()
