"""What `make client-majors` makes of what registries tell: real npm and pip ask an Orchard."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.clients.conftest import Tools
from tests.clients.majors import CannotTell, Row, ask_npm, major, matrix, of_npm, of_pip
from tests.support.builders import build_wheel
from tests.support.npm_builders import publish
from tests.support.orchard import Cluster, cluster
from tests.support.stores import ROOT
from tests.support.upstream import Upstream


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    """All clients at the versions that are tested."""
    with Upstream() as server:
        for name, versions in matrix()["pip"].items():
            files = {f"{name}-{each}-py3-none-any.whl": build_wheel(name, each) for each in versions}
            server.add_project(name, files)
        for name, versions in matrix()["npm"].items():
            publish(server, name, {each: {} for each in versions})
        yield server


@pytest.fixture(scope="module")
def orchard(tmp_path_factory: pytest.TempPathFactory, upstream: Upstream) -> Iterator[Cluster]:
    folder = tmp_path_factory.mktemp("orchard")
    with cluster(folder, upstream, extractors=0, ORCHARD_CACHE_TTL_INDEX="1") as running:
        yield running


@pytest.mark.parametrize(
    ("version", "expected"), [("12.2.2", "12"), ("0.13.9", "0.13"), ("4.0.0-rc-4", "4"), ("26.3", "26")]
)
def test_major__what_a_change_of_breaks(version: str, expected: str) -> None:
    assert major(version) == expected


def test_row__newest_major_that_no_test_runs__or_that_nobody_tells__is_untested() -> None:
    assert Row("npm", "12.9.0", ("11.1.0", "12.2.2")).is_tested
    assert not Row("npm", "13.0.0", ("11.1.0", "12.2.2")).is_tested
    assert not Row("uv", "0.14.0", ("0.13.9",)).is_tested
    assert not Row("npm", "", ("12.2.2",)).is_tested


def test_lists__scoped_packages_and_requirements_with_extras_are_read() -> None:
    assert list(of_npm("yarn-4 @yarnpkg/cli-dist@4.18.1\n")) == [("@yarnpkg/cli-dist", "4.18.1")]
    assert list(of_pip("pdm[x]\nhishel<2\n", "hishel==1.4.0 \\\npdm==2.29.4 ; a\n")) == [("pdm", "2.29.4")]


def test_matrix__every_client_of_the_lists_is_asked_about() -> None:
    found = matrix()
    assert {"npm", "pnpm", "yarn", "bun", "deno", "corepack"} < found["npm"].keys()
    assert {"pip", "uv", "poetry", "pdm", "hatch", "pipx"} == found["pip"].keys()
    assert {"org.apache.maven:apache-maven", "io.get-coursier:coursier-cli_2.13"} == found["mvn"].keys()
    assert len(found["npm"]["npm"]) > 1 and len(found["pip"]["pip"]) > 1


def test_command__asks_as_the_clients_are_set_up__fails_when_a_newer_major_came(
    orchard: Cluster, upstream: Upstream, tools: Tools
) -> None:
    if shutil.which("npm") is None:
        pytest.skip("npm is not installed: nobody can be asked through it")
    env = tools.environment(
        npm_config_registry=orchard.url("/npm/"), PIP_INDEX_URL=orchard.url("/pypi/simple/")
    )

    def said(*askers: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "tests.clients.majors", *askers]
        return tools.run(command, cwd=ROOT, env=env)

    done = said("npm", "pip")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "UNTESTED" not in done.stdout
    publish(upstream, "deno", {"99.0.0": {}})
    del env["PIP_INDEX_URL"]
    env["npm_config_registry"] = f"{upstream.url}/npm/"
    done = said("npm")
    assert done.returncode == 1, done.stdout + done.stderr
    (line,) = [each for each in done.stdout.splitlines() if "UNTESTED" in each]
    assert line.split()[0] == "deno" and line.endswith("UNTESTED: 99")
    assert said("yum").returncode == 2


def test_registry_away__said_to_be_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    if shutil.which("npm") is None:
        pytest.skip("npm is not installed: nobody can be asked through it")
    monkeypatch.setenv("npm_config_registry", "http://127.0.0.1:1/")
    monkeypatch.setenv("npm_config_fetch_retries", "0")
    with pytest.raises(CannotTell, match="npm could not ask"):
        ask_npm("npm")
