"""The set-up lines of the README, run with the real clients as they stand there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.clients.conftest import Tools, installed
from tests.support.orchard import Cluster
from tests.support.stores import ROOT

README = (ROOT / "README.md").read_text()
DOCUMENTED = "http://127.0.0.1:8080"


def _documented(pattern: str, orchard: Cluster) -> list[str]:
    """The words of a line of the README, with the address of the Orchard under test."""
    found = re.search(pattern, README)
    assert found, f"the README no longer says {pattern}"
    return found.group(0).replace(DOCUMENTED, orchard.url("").rstrip("/")).split()


@pytest.mark.parametrize("tool", ["pip-23.2", "pip-newest"])
def test_pip__index_url_option(orchard: Cluster, tools: Tools, tool: str, tmp_path: Path) -> None:
    line = _documented(r"pip install --index-url \S+ flask", orchard)
    options = [word if word != "flask" else "orchard-leaf" for word in line[1:]]
    done = tools.run([*tools.command(tool), *options, "--target", str(tmp_path / "out")])
    assert done.returncode == 0, done.stderr
    assert installed(tmp_path / "out") == {"orchard_leaf-2.0"}


@pytest.mark.parametrize("tool", ["pip-23.2", "pip-newest"])
def test_pip__config_set(orchard: Cluster, tools: Tools, tool: str, tmp_path: Path) -> None:
    env = tools.environment()
    del env["PIP_CONFIG_FILE"]  # the user's own configuration file is what the line writes
    line = _documented(r"pip config set global\.index-url [^\s`]+", orchard)
    assert tools.run([*tools.command(tool), *line[1:]], env=env).returncode == 0
    command = [*tools.command(tool), "install", "--target", str(tmp_path / "out"), "orchard-leaf"]
    done = tools.run(command, env=env)
    assert done.returncode == 0, done.stderr
    assert orchard.url("/pypi/simple") in done.stdout


def test_pip__extra_index_unset(orchard: Cluster, tools: Tools) -> None:
    env = tools.environment()
    del env["PIP_CONFIG_FILE"]
    pip = tools.command("pip-newest")
    assert (
        tools.run(
            [*pip, "config", "set", "global.extra-index-url", "https://example.com/simple/"], env=env
        ).returncode
        == 0
    )
    line = _documented(r"pip config unset global\.extra-index-url", orchard)
    assert tools.run([*pip, *line[1:]], env=env).returncode == 0
    assert "extra-index-url" not in tools.run([*pip, "config", "list"], env=env).stdout


def test_uv__default_index_variable(orchard: Cluster, tools: Tools, tmp_path: Path) -> None:
    name, _, value = _documented(r"export UV_DEFAULT_INDEX=[^\s`]+", orchard)[1].partition("=")
    command = [*tools.command("uv"), "pip", "install", "--python", tools.command("pip-newest")[0]]
    done = tools.run(
        [*command, "--target", str(tmp_path / "out"), "orchard-leaf"], env=tools.environment(**{name: value})
    )
    assert done.returncode == 0, done.stderr
    assert installed(tmp_path / "out") == {"orchard_leaf-2.0"}
