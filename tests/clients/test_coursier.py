"""coursier through Orchard, set up by the README's line and by `orchard client-config`."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.clients.conftest import Tools, forget_breakers
from tests.clients.jvm import GROUP, require
from tests.services.cli.conftest import Command
from tests.support.client_environments import CLIENTS
from tests.support.maven_builders import Dep, Repository
from tests.support.orchard import Cluster, cluster
from tests.support.stores import ROOT
from tests.support.upstream import Fault, Upstream

require("mvn")  # which brings it
ADMIN = "operators-token-of-tests"


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    with Upstream() as server:
        repository = Repository(server)
        repository.add(GROUP, "leaf", "2.0", size_bytes=300_000)
        repository.add(GROUP, "lib", "1.0", [Dep(GROUP, "leaf", "2.0")])
        repository.add(GROUP, "lib", "1.10", [Dep(GROUP, "leaf", "2.0")])
        repository.add_metadata(GROUP, "lib", ["1.0", "1.10"])
        yield server


@pytest.fixture(scope="module")
def orchard(tmp_path_factory: pytest.TempPathFactory, upstream: Upstream) -> Iterator[Cluster]:
    folder = tmp_path_factory.mktemp("orchard")
    settings = {"ORCHARD_ADMIN_TOKEN": ADMIN, "ORCHARD_CACHE_TTL_INDEX": "1"}
    with cluster(folder, upstream, gateways=0, extractors=0, **settings) as running:
        running.start("gateway", ORCHARD_ANONYMOUS_READ="false")
        running.start("gateway", ORCHARD_ANONYMOUS_READ="true")
        yield running


def _fetch(tools: Tools, folder: Path, version: str, variables: list[str]) -> tuple[set[str], str]:
    """The jars of a library with its dependencies, fetched with nothing kept from before; what was said."""
    jars = CLIENTS / "coursier-2"
    if not (jars / ".installed").exists():
        pytest.fail("coursier is not installed: run 'make client-tools'")
    command = ["java", "-cp", f"{jars}/*", "coursier.cli.Coursier", "fetch", f"{GROUP}:lib:{version}"]
    script = "\n".join([*variables, 'exec "$@"'])
    shutil.rmtree(folder, ignore_errors=True)
    env = tools.environment(COURSIER_CACHE=str(folder))
    done = tools.run(["sh", "-c", script, "sh", *command], env=env)
    found = done.stdout.split() if done.returncode == 0 else []
    return {Path(each).name for each in found}, done.stdout + done.stderr


def test_readme_line__cold_then_warm_then_upstream_gone__same_jars(
    orchard: Cluster, upstream: Upstream, tools: Tools, tmp_path: Path
) -> None:
    found = re.search(r"export COURSIER_REPOSITORIES=[^\s`]+", (ROOT / "README.md").read_text())
    assert found, "the README no longer says how coursier is set up"
    base = orchard.all_of("gateway")[1].base
    line = found[0].replace("http://127.0.0.1:8080", base)
    for round_name in ("cold", "warm", "gone"):
        jars, said = _fetch(tools, tmp_path / "cache", "latest.release", [line])
        assert jars == {"lib-1.10.jar", "leaf-2.0.jar"}, f"{round_name}: {said}"
        if round_name == "warm":
            assert upstream.count(f"/maven/{GROUP.replace('.', '/')}/leaf/2.0/leaf-2.0.jar") == 1
            upstream.fault("*", Fault(reset=True, cut_at=0))
    upstream.heal()
    forget_breakers(orchard)


def test_client_config__variables_with_a_token__coursier_sends_it(
    orchard: Cluster, tools: Tools, tmp_path: Path
) -> None:
    command = Command(tmp_path, ORCHARD_URL=orchard.all_of("gateway")[0].base)
    token = command.json("tokens", "create", "ci", ORCHARD_ADMIN_TOKEN=ADMIN)["token"]
    lines = command.json("client-config", "coursier", ORCHARD_TOKEN=token)["variables"]
    assert token not in "".join(lines)
    jars, said = _fetch(tools, tmp_path / "cache", "1.0", [f"ORCHARD_TOKEN={token}", *lines])
    assert jars == {"lib-1.0.jar", "leaf-2.0.jar"}, said
    jars, said = _fetch(tools, tmp_path / "cache", "1.0", lines[:1])
    assert jars == set() and "nauthorized" in said
