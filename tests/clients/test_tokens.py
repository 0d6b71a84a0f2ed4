"""Clients that must show a token: each in the ways it knows, and refused without."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.clients import node
from tests.clients.conftest import EXPECTED, Tools, installed
from tests.clients.jvm import GROUP, MAVENS, maven_command, require
from tests.support.maven_builders import Repository
from tests.support.orchard import Cluster, cluster, wait_until
from tests.support.upstream import Upstream

ADMIN = "operators-token-of-tests"
PYTHONS = ("pip-23.2", "pip-newest", "uv")


@pytest.fixture(scope="module")
def orchard(tmp_path_factory: pytest.TempPathFactory, upstream: Upstream) -> Iterator[Cluster]:
    node.publish_tree(upstream)
    folder = tmp_path_factory.mktemp("orchard")
    settings = {"ORCHARD_ANONYMOUS_READ": "false", "ORCHARD_ADMIN_TOKEN": ADMIN}
    with cluster(folder, upstream, extractors=0, **settings) as running:
        yield running


@pytest.fixture(scope="module")
def token(orchard: Cluster) -> str:
    made = httpx.post(
        orchard.url("/api/v1/admin/tokens"),
        json={"name": "clients"},
        headers={"authorization": f"Bearer {ADMIN}"},
        trust_env=False,
    )
    assert made.status_code == 201, made.text
    return str(made.json()["token"])


def _python_install(tools: Tools, tool: str, index: str, target: Path) -> str:
    python = tools.command("pip-newest")[0]
    words = {
        True: ["pip", "install", "--no-config", "--python", python, "--default-index", index],
        False: ["install", "--no-input", "--index-url", index],
    }[tool == "uv"]
    done = tools.run([*tools.command(tool), *words, "--target", str(target), "orchard-app[more]"])
    return "" if done.returncode == 0 else done.stdout + done.stderr


@pytest.mark.parametrize("tool", PYTHONS)
@pytest.mark.parametrize("way", ["url", "netrc"])
def test_python_client__token_in_url_or_netrc__installs(
    orchard: Cluster, tools: Tools, token: str, tool: str, way: str, tmp_path: Path
) -> None:
    index = orchard.url("/pypi/simple/")
    assert _python_install(tools, tool, index, tmp_path / "without"), "it must fail without a token"
    if way == "url":
        index = index.replace("://", f"://anyone:{token}@")
    else:
        netrc = Path(tools.environment()["HOME"]) / ".netrc"
        netrc.write_text(f"machine 127.0.0.1 login anyone password {token}\n")
        netrc.chmod(0o600)
    assert _python_install(tools, tool, index, tmp_path / "with") == ""
    assert installed(tmp_path / "with") == EXPECTED


@pytest.mark.parametrize("tool", node.INSTALLERS)
@pytest.mark.parametrize("way", ["_authToken", "_auth"])
def test_node_client__token_in_its_settings__installs(
    orchard: Cluster, tools: Tools, token: str, tool: str, way: str, tmp_path: Path
) -> None:
    registry = orchard.url("/npm/")
    value = token if way == "_authToken" else b64encode(f"anyone:{token}".encode()).decode()
    without = node.project(tmp_path / "without")
    words = [*node.command(tool), "install"]
    refused = tools.run(
        words, cwd=without, env=node.environment(tools, registry, npm_config_fetch_retries="0")
    )
    assert refused.returncode != 0
    folder = node.project(tmp_path / "with")
    extra = {}
    if tool == "yarn-4":
        name = "YARN_NPM_AUTH_TOKEN" if way == "_authToken" else "YARN_NPM_AUTH_IDENT"
        extra = {name: value, "YARN_NPM_ALWAYS_AUTH": "true"}
    else:
        lines = [f"{registry.removeprefix('http:')}:{way}={value}"]
        lines += ["always-auth=true"] if tool == "yarn-1" else []
        (folder / ".npmrc").write_text("\n".join(lines) + "\n")
    node.install(tools, tool, registry, folder, **extra)
    assert {"orchard-app@1.0.0", "orchard-leaf@2.0.0"} <= node.installed(folder)


@pytest.mark.parametrize("tool", MAVENS)
def test_mvn__token_in_its_servers__sends_it_when_asked(
    orchard: Cluster, upstream: Upstream, tools: Tools, token: str, tool: str, tmp_path: Path
) -> None:
    # The parent is the first thing that mvn fetches, plugins come after it: the build ends there.
    require("mvn")
    parent = f"parent-{tool.replace('.', '-')}"
    pom = (
        "<project><modelVersion>4.0.0</modelVersion>{above}<groupId>{group}</groupId>"
        "<artifactId>{artifact}</artifactId><version>1.0</version><packaging>pom</packaging></project>"
    )
    stem = f"{GROUP.replace('.', '/')}/{parent}/1.0/{parent}-1.0.pom"
    Repository(upstream).put(stem, pom.format(above="", group=GROUP, artifact=parent).encode())
    above = f"<parent><groupId>{GROUP}</groupId><artifactId>{parent}</artifactId><version>1.0</version>"
    (tmp_path / "pom.xml").write_text(
        pom.format(above=f"{above}<relativePath/></parent>", group=GROUP, artifact="child")
    )
    settings = tmp_path / "settings.xml"
    mirror = f"<id>orchard</id><mirrorOf>*</mirrorOf><url>{orchard.url('/maven/')}</url>"
    server = f"<id>orchard</id><username>anyone</username><password>{token}</password>"
    settings.write_text(
        f"<settings><mirrors><mirror>{mirror}</mirror></mirrors>"
        f"<servers><server>{server}</server></servers></settings>"
    )
    local = f"-Dmaven.repo.local={tmp_path / 'local'}"
    tools.run([maven_command(tool), "-B", "-s", str(settings), local, "validate"], cwd=tmp_path)
    assert (tmp_path / "local" / stem).is_file()

    def answered() -> list[int]:
        lines = [
            json.loads(line) for line in orchard.logs().splitlines() if f'"path":"/maven/{stem}"' in line
        ]
        return [line["status"] for line in lines]

    wait_until(lambda: answered()[-1:] == [200], what="the log line")
    assert set(answered()) <= {401, 200}
