"""Real clients and a refusal: each gives up at once, and shows the upstream's words where it can."""

from __future__ import annotations

import itertools
import re
import shutil
from pathlib import Path

import pytest

from tests.clients import jvm, node
from tests.clients.conftest import Tools
from tests.support.builders import build_wheel
from tests.support.client_environments import CLIENTS
from tests.support.maven_builders import Repository
from tests.support.npm_builders import packument_path, publish, tarball_path
from tests.support.orchard import Cluster, wait_until
from tests.support.upstream import Fault, Upstream

WORDS = "quarantined by rule 17"
REFUSED = Fault(
    status=403, body=b'{"errors": [{"message": "quarantined by rule 17"}]}', content_type="application/json"
)
BROKEN = Fault(body=b"<html><title>Log in</title></html>", content_type="text/html")
FAULTS = {"refused": REFUSED, "broken": BROKEN}
# Whether a client prints the body of an error: of a page, of a file.
SHOWS = {
    "pip-23.2": (False, False), "pip-newest": (False, False), "uv": (True, True), "npm-10": (True, True),
    "npm-11": (True, True), "pnpm-10": (False, False), "yarn-1": (True, False),
}  # fmt: skip
_marks = itertools.count(1)
PYTHONS = ("pip-23.2", "pip-newest", "uv")


@pytest.fixture
def tools(tmp_path: Path) -> Tools:
    return Tools(tmp_path)


def _run(tools: Tools, tool: str, orchard: Cluster, name: str) -> str:
    """What a client says that is to install `name`, and fails."""
    if not (CLIENTS / tool).exists():
        pytest.skip(f"{tool} is not installed: run 'make client-tools'")
    if tool in PYTHONS:
        index = ["--index-url", orchard.url("/pypi/simple/"), "--target", str(tools.folder / "target"), name]
        words = [*Tools.command(tool), "install", "--no-deps", "--no-cache-dir", *index]
        if tool == "uv":
            python = str(CLIENTS / "pip-newest" / "bin" / "python")
            words = [*Tools.command(tool), "pip", "install", "--no-cache", "--python", python, *index]
        done = tools.run(words)
    else:
        folder = node.project(tools.folder / "demo", {name: "^1.0.0"})
        env = node.environment(tools, orchard.url("/npm/"))
        done = tools.run([*node.command(tool), "install"], cwd=folder, env=env)
    assert done.returncode != 0
    return done.stdout + done.stderr


def _asked(orchard: Cluster, path: str) -> int:
    """How many requests the gateway has answered for an address; its log is written in order."""
    mark = f"/npm/mark-{next(_marks)}"
    orchard.get(mark)
    wait_until(lambda: mark in orchard.logs(), what="the log")
    lines = orchard.logs().splitlines()
    return sum('"event":"request"' in line and f'"path":"{path}' in line for line in lines)


@pytest.mark.parametrize("kind", ["page", "file"])
@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("tool", SHOWS)
def test_client__lasting_trouble__asked_once_or_twice_and_told_why(
    orchard: Cluster, upstream: Upstream, tools: Tools, tool: str, fault: str, kind: str
) -> None:
    name = f"demo-{tool}-{fault}-{kind}".replace(".", "")
    if tool in PYTHONS:
        filename = f"{name.replace('-', '_')}-1.0-py3-none-any.whl"
        upstream.add_project(name, {filename: build_wheel(name, "1.0")})
        page, file = f"/simple/{name}/", f"/files/{name}/{filename}"
        ours = f"/pypi/simple/{name}/" if kind == "page" else f"/pypi/files/{name}/"
    else:
        publish(upstream, name, {"1.0.0": {}})
        page, file = packument_path(name), tarball_path(name, "1.0.0")
        ours = f"/npm/{name}/-/" if kind == "file" else f"/npm/{name}"
    upstream.fault(page if kind == "page" else file, FAULTS[fault])
    said = _run(tools, tool, orchard, name)
    times = _asked(orchard, ours)
    shows = SHOWS[tool][kind == "file"]
    print(f"\n{tool:10} {kind:4} {fault:8} asked {times} {'told why' if WORDS in said else ''}")
    assert 1 <= times <= 2, said[-2000:]
    if fault == "refused":
        assert (WORDS in said) == shows, said[-2000:]
    upstream.heal()


@pytest.mark.parametrize("tool", jvm.MAVENS)
def test_maven__refused_pom__asked_once_and_the_build_fails(
    orchard: Cluster, upstream: Upstream, tmp_path: Path, tool: str
) -> None:
    """A parent needs no plugin to be resolved."""
    if shutil.which("mvn") is None or not (tool == "mvn" or (CLIENTS / tool).exists()):
        pytest.skip(f"{tool} is not installed")
    artifact = f"parent-{tool.replace('.', '-')}"
    path = Repository(upstream).add("org.demo", artifact, "1.0").replace(".jar", ".pom")
    upstream.fault(f"/maven/{path}", REFUSED)
    maven = jvm.Maven(tmp_path, orchard)
    (tmp_path / "pom.xml").write_text(
        "<project><modelVersion>4.0.0</modelVersion><parent><groupId>org.demo</groupId>"
        f"<artifactId>{artifact}</artifactId><version>1.0</version><relativePath/></parent>"
        "<artifactId>child</artifactId><packaging>pom</packaging></project>"
    )
    said = maven.run(tool, "validate")
    upstream.heal()
    assert said.returncode != 0
    assert re.search(r"403|Forbidden", said.stdout), said.stdout[-2000:]
    assert WORDS in said.stdout or tool == "mvn", said.stdout[-2000:]  # 3.8 knows no RFC 9457
    print(f"\n{tool:10} pom  refused  asked {_asked(orchard, f'/maven/{path}')}", WORDS in said.stdout)
    assert _asked(orchard, f"/maven/{path}") <= 2, said.stdout[-2000:]
