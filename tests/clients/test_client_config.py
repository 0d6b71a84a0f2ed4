"""`orchard client-config TOOL --write`, then the real client: it reads what was written, and only that.

One gateway is closed: there every client must send the token, which stands in a variable alone. The other
is open, for clients without one.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from shared.default_upstreams import default_upstream
from tests.clients import node
from tests.clients.conftest import Tools, installed, publish_tree
from tests.clients.jvm import GOAL, maven_command
from tests.clients.python_tools import KINDS, publish_app, publish_pip
from tests.services.cli.conftest import Command
from tests.support.maven_builders import Dep, Repository, build_pom
from tests.support.orchard import Cluster, cluster
from tests.support.upstream import Upstream

GROUP = "org.orchard.demo"
ADMIN = "an-operators-token"
ABOUT = """\
[project]
name = "demo"
version = "1"
requires-python = ">=3.11"
dependencies = ["orchard-app"]
"""


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    with Upstream() as server:
        publish_tree(server)
        publish_app(server, "tools")
        publish_pip(server)
        node.publish_tree(server)
        repository = Repository(server)
        repository.add(GROUP, "leaf", "2.0")
        repository.add(GROUP, "lib", "1.0", [Dep(GROUP, "leaf", "2.0")])
        yield server


@pytest.fixture(scope="module")
def orchard(tmp_path_factory: pytest.TempPathFactory, upstream: Upstream) -> Iterator[Cluster]:
    # mvn resolves nothing without its plugins: they come from this machine's own repository.
    default, _ = default_upstream("maven", os.environ, 0)
    settings = {"ORCHARD_MAVEN_UPSTREAM": f"{upstream.url}/maven/,{default}", "ORCHARD_ADMIN_TOKEN": ADMIN}
    with cluster(tmp_path_factory.mktemp("orchard"), upstream, gateways=0, **settings) as running:
        running.start("gateway", ORCHARD_ANONYMOUS_READ="false")
        running.start("gateway", ORCHARD_ANONYMOUS_READ="true")
        yield running


@pytest.fixture(scope="module")
def token(orchard: Cluster, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Made as an operator does."""
    operator = Command(tmp_path_factory.mktemp("operator"), ORCHARD_URL=orchard.url(""))
    return str(operator.json("tokens", "create", "ci", ORCHARD_ADMIN_TOKEN=ADMIN)["token"])


class Configured:
    """A client's home and project folder, set up by the command. Without `token`: for the open gateway."""

    def __init__(self, tools: Tools, orchard: Cluster, token: str) -> None:
        self.tools = tools
        self.project = tools.folder / "project"
        self.project.mkdir()
        self.env = {**tools.environment(), "npm_config_audit": "false", "npm_config_update_notifier": "false"}
        self.env |= {"YARN_ENABLE_TELEMETRY": "0", "YARN_NODE_LINKER": "node-modules"}
        self.env["FAKEROOTKEY"] = "1"  # else yarn 1 as root reads the whole machine's file
        del self.env["PIP_CONFIG_FILE"]  # the user's own file is what is written
        self.token = token
        self.env |= {"ORCHARD_TOKEN": token} if token else {}
        self.variables: list[str] = []
        closed, opened = orchard.all_of("gateway")
        self.command = Command(self.project, **self.env, ORCHARD_URL=(closed if token else opened).base)

    def write(self, *words: str) -> list[Path]:
        """`client-config … --write`; the files that it changed."""
        said = self.command.json("client-config", *words, "--write")
        self.variables = said["variables"]
        assert not self.token or self.token not in json.dumps(said)
        changed = [Path(each["path"]) for each in said["files"] if each["changed"]]
        assert changed
        assert not self.token or all(self.token not in path.read_text() for path in changed)
        return changed

    def environment(self) -> dict[str, str]:
        """With the variables that the command named."""
        done = self.tools.run(["sh", "-c", "\n".join([*self.variables, "env -0"])], env=self.env)
        return dict(each.split("=", 1) for each in done.stdout.split("\0") if each)

    def run(self, command: list[str]) -> subprocess.CompletedProcess[str]:
        """The client in the project's folder. Fails the test if it fails."""
        done = self.tools.run(command, cwd=self.project, env=self.environment())
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
        return done


@pytest.fixture
def configured(tools: Tools, orchard: Cluster, token: str) -> Configured:
    """With a token."""
    return Configured(tools, orchard, token)


@pytest.fixture
def anonymous(tools: Tools, orchard: Cluster) -> Configured:
    return Configured(tools, orchard, "")


def test_closed__no_client_gets_through_without_the_token(configured: Configured, tools: Tools) -> None:
    configured.write("npm", "--no-token")
    done = tools.run([*node.command("npm-10"), "view", "orchard-leaf"], cwd=configured.project,
                     env=configured.env)  # fmt: skip
    assert done.returncode != 0
    assert "E401" in done.stderr


@pytest.mark.parametrize("tool", ["pip-23.2", "pip-newest"])
def test_pip__user_file(configured: Configured, tools: Tools, tool: str, tmp_path: Path) -> None:
    (path,) = configured.write("pip")
    assert path == tools.folder / "home" / ".config" / "pip" / "pip.conf"
    out = tmp_path / "out"
    configured.run([*tools.command(tool), "install", "--target", str(out), "orchard-leaf"])
    assert installed(out) == {"orchard_leaf-2.0"}


def test_pip__virtual_environment(anonymous: Configured, tools: Tools, tmp_path: Path) -> None:
    venv = tmp_path / "venv"
    anonymous.run([*tools.command("pip-newest")[:1], "-m", "venv", "--without-pip", str(venv)])
    anonymous.command.environment["VIRTUAL_ENV"] = str(venv)
    assert anonymous.write("pip", "--project") == [venv / "pip.conf"]
    pip = [*tools.command("pip-newest"), "--python", str(venv / "bin" / "python")]
    anonymous.run([*pip, "install", "orchard-leaf"])
    assert installed(next(venv.glob("lib/python*/site-packages"))) == {"orchard_leaf-2.0"}


@pytest.mark.parametrize("scope", ["user", "uv.toml", "pyproject.toml"])
def test_uv__user_file_or_the_project_s__locks_through_it(
    configured: Configured, tools: Tools, scope: str
) -> None:
    (configured.project / "pyproject.toml").write_text(ABOUT)
    if scope == "uv.toml":
        (configured.project / "uv.toml").write_text("# mine\n")
    (path,) = configured.write("uv", *([] if scope == "user" else ["--project"]))
    assert path.name == ("pyproject.toml" if scope == "pyproject.toml" else "uv.toml")
    configured.run([*tools.command("uv"), "sync", "--python", tools.command("pip-newest")[0]])
    assert 'name = "orchard-leaf"' in (configured.project / "uv.lock").read_text()


def test_poetry__locks_from_the_source_that_it_was_given(configured: Configured, tools: Tools) -> None:
    (configured.project / "pyproject.toml").write_text(ABOUT + "\n[tool.poetry]\npackage-mode = false\n")
    configured.write("poetry")
    configured.run([*tools.command("poetry"), "lock"])
    lock = (configured.project / "poetry.lock").read_text()
    assert 'name = "orchard-leaf"' in lock and 'reference = "orchard"' in lock


@pytest.mark.parametrize(
    ("tool", "files"),
    [
        ("pdm", {".config/pdm/config.toml"}),
        ("hatch", {".config/pip/pip.conf", ".config/uv/uv.toml"}),
        ("pipx", {".config/pip/pip.conf", ".config/uv/uv.toml"}),
    ],
)
def test_python_tool__user_files_and_the_token_in_variables(
    configured: Configured, tools: Tools, tool: str, files: set[str], tmp_path: Path
) -> None:
    home = tools.folder / "home"
    assert {str(path.relative_to(home)) for path in configured.write(tool)} == files
    project = KINDS[tool](tools, tmp_path / "demo", "tools")
    project.install(configured.environment())
    assert project.installed() == project.expected


def test_pdm__file_of_the_project(anonymous: Configured, tools: Tools, tmp_path: Path) -> None:
    project = KINDS["pdm"](tools, tmp_path / "demo", "tools")
    (path,) = anonymous.write("pdm", "--project")
    path.rename(project.folder / path.name)
    project.install(anonymous.environment())
    assert project.installed() == project.expected


@pytest.mark.parametrize("tool", node.INSTALLERS)
def test_node__user_file_with_the_token(configured: Configured, tool: str) -> None:
    _install(configured, tool)


@pytest.mark.parametrize("tool", ["npm-10", "yarn-1", "yarn-4"])
def test_node__file_of_the_project_without_one(anonymous: Configured, tool: str) -> None:
    _install(anonymous, tool, "--project")


def _install(configured: Configured, tool: str, *options: str) -> None:
    client = node.command(tool)
    about = {"name": "demo", "version": "1.0.0", "private": True, "dependencies": {"orchard-app": "^1.0.0"}}
    (configured.project / "package.json").write_text(json.dumps(about))
    (configured.project / "yarn.lock").touch()
    configured.write(tool if tool.startswith("yarn") else tool.partition("-")[0], *options)
    configured.run([*client, "install"])
    assert node.installed(configured.project) == node.EXPECTED


def test_yarn__both_kinds_by_one_command(configured: Configured) -> None:
    assert {path.name for path in configured.write("yarn")} == {".yarnrc", ".npmrc", ".yarnrc.yml"}


@pytest.mark.parametrize("tool", ["mvn", "mvn-4"])
def test_mvn__mirror_in_settings_that_are_there__keeps_them_and_installs(
    configured: Configured, tool: str
) -> None:
    if shutil.which("mvn") is None:
        pytest.skip("mvn is not installed: its configuration is not tried out")
    settings = configured.tools.folder / "home" / ".m2" / "settings.xml"
    settings.parent.mkdir()
    settings.write_text(
        "<settings>\n  <!-- mine -->\n  <interactiveMode>false</interactiveMode>\n</settings>\n"
    )
    assert configured.write("mvn") == [settings]
    assert "<!-- mine -->" in settings.read_text()
    pom = build_pom("demo", "app", "1", [Dep(GROUP, "lib", "1.0")], packaging="pom")
    (configured.project / "pom.xml").write_bytes(pom)
    local = configured.tools.folder / "repository"
    configured.run([maven_command(tool), "-B", "-s", str(settings), f"-Dmaven.repo.local={local}", GOAL])
    assert (local / GROUP.replace(".", "/") / "leaf" / "2.0" / "leaf-2.0.jar").exists()


def test_gradle__what_a_build_names_is_read_through_orchard(configured: Configured) -> None:
    if shutil.which("gradle") is None:
        pytest.skip("gradle is not installed: its configuration is not tried out")
    home = configured.tools.folder / "gradle-home"
    configured.command.environment["GRADLE_USER_HOME"] = str(home)
    configured.write("gradle")
    (configured.project / "settings.gradle").write_text("rootProject.name = 'demo'\n")
    (configured.project / "build.gradle").write_text(
        "apply plugin: 'java'\n"
        "repositories { mavenCentral(); maven { url 'https://packages.example.com/' } }\n"
        f"configurations {{ wanted }}\ndependencies {{ wanted '{GROUP}:lib:1.0' }}\n"
        "task libs(type: Copy) { from configurations.wanted; into 'libs' }\n"
    )
    configured.run(["gradle", "--no-daemon", "--console=plain", "-g", str(home), "libs"])
    assert {path.name for path in (configured.project / "libs").iterdir()} == {"lib-1.0.jar", "leaf-2.0.jar"}


@pytest.mark.parametrize("tool", ["pip", "npm", "yarn-4"])
def test_undo__by_the_command__the_file_is_gone(anonymous: Configured, tool: str) -> None:
    (path,) = anonymous.write(tool)
    again = anonymous.command.json("client-config", tool, "--write")
    assert [each["changed"] for each in again["files"]] == [False]
    done = anonymous.command("client-config", tool, "--undo")
    assert done.returncode == 0, done.stderr
    assert not path.exists()
    assert anonymous.command("client-config", tool, "--undo").returncode == 0  # nothing is left to undo
