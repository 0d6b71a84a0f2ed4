"""Further real clients under a minimum age: the newest that is old enough, also below another package.

Of a lock that names a young version nobody gets a byte."""

from __future__ import annotations

import itertools
import json
import shutil
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from subprocess import CompletedProcess
from typing import ClassVar

import httpx
import pytest

from tests.clients import jvm
from tests.clients.conftest import Tools
from tests.clients.node import command, environment
from tests.clients.rust import Cargo
from tests.firewall.shelves import OLD, SHELVES, YOUNG, Shelf, moment
from tests.firewall.test_exemptions import purl
from tests.support.builders import build_wheel
from tests.support.cargo_builders import Registry
from tests.support.maven_builders import Dep, Repository
from tests.support.npm_builders import publish
from tests.support.orchard import Cluster, cluster, wait_until
from tests.support.upstream import Upstream

ADMIN = {"authorization": "Bearer operators-token-of-tests"}

_numbers = itertools.count(1)

NewShelf = Callable[[str], Shelf]


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    with Upstream() as server:
        yield server


@pytest.fixture(scope="module")
def orchard(tmp_path_factory: pytest.TempPathFactory, upstream: Upstream) -> Iterator[Cluster]:
    settings = {
        "ORCHARD_MINIMUM_AGE": "7d",
        "ORCHARD_CACHE_TTL_INDEX": "1",
        "ORCHARD_ADMIN_TOKEN": "operators-token-of-tests",
    }
    with cluster(tmp_path_factory.mktemp("orchard"), upstream, **settings) as running:
        yield running


@pytest.fixture
def shelf(orchard: Cluster, upstream: Upstream) -> NewShelf:
    return lambda kind: SHELVES[kind](orchard, upstream, f"thing-{next(_numbers)}")


class Client(ABC):
    """A client with a project of its own."""

    kind: ClassVar[str]
    any_version: ClassVar[str]
    exactly: ClassVar[str]  # of a version

    def __init__(self, tools: Tools, folder: Path, orchard: Cluster) -> None:
        self.tools, self.folder, self.orchard = tools, folder, orchard
        folder.mkdir()

    @abstractmethod
    def install(self, wanted: Mapping[str, str]) -> CompletedProcess[str]:
        """By these requirements; writes a lock where the client has any."""

    @abstractmethod
    def again(self) -> CompletedProcess[str]:
        """By the lock alone, with nothing left of the first time."""

    @abstractmethod
    def has(self, name: str) -> set[str]:
        """The versions of which there are bytes."""


class Poetry(Client):
    kind, any_version, exactly = "pypi", ">=1", "=={}"

    def _run(self, *words: str) -> CompletedProcess[str]:
        return self.tools.run([*self.tools.command("poetry"), *words], cwd=self.folder)

    def install(self, wanted: Mapping[str, str]) -> CompletedProcess[str]:
        needs = json.dumps([f"{name}{version}" for name, version in wanted.items()])
        (self.folder / "pyproject.toml").write_text(
            f'[project]\nname = "demo"\nversion = "1"\nrequires-python = ">=3.11"\ndependencies = {needs}\n'
            "[tool.poetry]\npackage-mode = false\n"
            f'[[tool.poetry.source]]\nname = "orchard"\nurl = "{self.orchard.url("/pypi/simple/")}"\n'
        )
        return self._run("install", "--no-interaction")

    def again(self) -> CompletedProcess[str]:
        shutil.rmtree(self.folder / ".venv")
        self.tools.forget()
        return self._run("install", "--no-interaction")

    def has(self, name: str) -> set[str]:
        stem = name.replace("-", "_")
        found = self.folder.glob(f".venv/lib/*/site-packages/{stem}-*.dist-info")
        return {each.name.removeprefix(f"{stem}-").removesuffix(".dist-info") for each in found}


class Node(Client):
    kind, any_version, exactly = "npm", ">=1.0.0", "{}"
    tool: ClassVar[str]
    frozen: ClassVar[tuple[str, ...]]

    def _run(self, *words: str) -> CompletedProcess[str]:
        env = environment(
            self.tools,
            self.orchard.url("/npm/"),
            npm_config_fetch_retries="0",
            YARN_NPM_MINIMAL_AGE_GATE="0",  # its own gate would hide what ours has to
        )
        return self.tools.run([*command(self.tool), *words], cwd=self.folder, env=env)

    def install(self, wanted: Mapping[str, str]) -> CompletedProcess[str]:
        about = {"name": "demo", "version": "1.0.0", "private": True, "dependencies": dict(wanted)}
        (self.folder / "package.json").write_text(json.dumps(about))
        (self.folder / "yarn.lock").touch()
        return self._run("install")

    def again(self) -> CompletedProcess[str]:
        shutil.rmtree(self.folder / "node_modules")
        self.tools.forget()
        return self._run(*self.frozen)

    def has(self, name: str) -> set[str]:
        found = self.folder.glob(f"node_modules/**/{name}/package.json")
        return {json.loads(each.read_text())["version"] for each in found}


class Npm(Node):
    tool, frozen = "npm-11", ("ci",)


class Pnpm(Node):
    tool, frozen = "pnpm-10", ("install", "--frozen-lockfile")


class Yarn1(Node):
    tool, frozen = "yarn-1", ("install", "--frozen-lockfile")


class Yarn4(Node):
    tool, frozen = "yarn-4", ("install", "--immutable")


class Crates(Client):
    kind, any_version, exactly = "cargo", ">=1", "={}"

    def __init__(self, tools: Tools, folder: Path, orchard: Cluster) -> None:
        super().__init__(tools, folder, orchard)
        self.cargo = Cargo(folder, orchard.url("/cargo/"))

    def install(self, wanted: Mapping[str, str]) -> CompletedProcess[str]:
        self.cargo.write("\n".join(f'{name} = "{version}"' for name, version in wanted.items()))
        return self.cargo.try_to("fetch")

    def again(self) -> CompletedProcess[str]:
        self.cargo.forget()
        return self.cargo.try_to("fetch", "--locked")

    def has(self, name: str) -> set[str]:
        files = [each for each in self.cargo.crates() if each.startswith(f"{name}-")]
        return {each.removeprefix(f"{name}-").removesuffix(".crate") for each in files}


class GradleBuild(Client):
    kind, any_version, exactly = "maven", "[1.0.0,)", "{}"

    def __init__(self, tools: Tools, folder: Path, orchard: Cluster) -> None:
        super().__init__(tools, folder, orchard)
        if shutil.which("gradle") is None:
            pytest.skip("no gradle here")
        self.gradle = jvm.Gradle(folder, orchard)
        self.wanted: list[str] = []

    def install(self, wanted: Mapping[str, str]) -> CompletedProcess[str]:
        self.wanted = [f"{name.partition(':')[2]}:{version}" for name, version in wanted.items()]
        return self.gradle.build(*self.wanted)

    def again(self) -> CompletedProcess[str]:
        self.gradle.forget()
        return self.gradle.build(*self.wanted)

    def has(self, name: str) -> set[str]:
        artifact = name.partition(":")[2]
        found = self.folder.rglob(f"{artifact}-*.jar")
        return {each.name.removeprefix(f"{artifact}-").removesuffix(".jar") for each in found}


def name_of(it: Shelf) -> str:
    return f"org.example:{it.name}" if it.protocol == "maven" else it.name


def needing(it: Shelf, shelf: NewShelf) -> Shelf:
    """An old package that takes any version of `it`."""
    other = shelf(it.protocol)
    if it.protocol == "pypi":
        other.data["1.0.0"] = build_wheel(other.name, "1.0.0", requires=[f"{it.name}>=1"])
        other.put({"1.0.0": OLD})
    elif it.protocol == "npm":
        needs = {"1.0.0": {"dependencies": {it.name: ">=1.0.0"}}}
        other.data = publish(other.upstream, other.name, needs, size_bytes=400, time={"1.0.0": moment(OLD)})
    elif it.protocol == "cargo":
        registry = Registry(other.upstream)
        registry.put_lines(other.name, [])
        other.data["1.0.0"] = registry.add(other.name, "1.0.0", [f"{it.name} >=1"], pubtime=moment(OLD))
    else:
        other.put({"1.0.0": OLD})
        path = other.file("1.0.0").removeprefix("/maven/")
        date = other.upstream.reply(f"/maven/{path}").last_modified
        Repository(other.upstream).add(
            "org.example", other.name, "1.0.0", [Dep("org.example", it.name, "[1.0.0,)")]
        )
        for each in (path, path.replace(".jar", ".pom")):
            reply = other.upstream.reply(f"/maven/{each}")
            other.upstream.put(f"/maven/{each}", type(reply)(reply.body, last_modified=date))
    return other


@pytest.mark.parametrize("kind", [Poetry, Npm, Pnpm, Yarn1, Yarn4, Crates, GradleBuild])
def test_client__takes_what_is_old_enough__and_a_lock_with_a_young_version_fails_without_its_bytes(
    orchard: Cluster,
    shelf: NewShelf,
    tools: Tools,
    tmp_path: Path,
    kind: type[Client],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(jvm, "GROUP", "org.example")
    it = shelf(kind.kind)
    it.put({"1.0.0": OLD, "2.0.0": YOUNG})
    name, above = name_of(it), name_of(needing(it, shelf))
    client = kind(tools, tmp_path / "open", orchard)
    done = client.install({name: kind.any_version, above: kind.exactly.format("1.0.0")})
    assert done.returncode == 0, done.stdout + done.stderr
    assert client.has(name) == {"1.0.0"}
    assert it.asked("2.0.0") == 0

    exempt = {"of": purl(it, "2.0.0"), "reason": "for a moment"}
    address = orchard.url("/api/v1/admin/exemptions")
    made = httpx.post(address, json=exempt, headers=ADMIN, trust_env=False)
    assert made.status_code in (200, 201), made.text
    wait_until(lambda: it.shown() == ["1.0.0", "2.0.0"], seconds=60, what="the exemption")
    locked = kind(tools, tmp_path / "locked", orchard)
    tools.forget()
    done = locked.install({name: kind.exactly.format("2.0.0")})
    assert done.returncode == 0, done.stdout + done.stderr
    assert locked.has(name) == {"2.0.0"}
    gone = httpx.delete(f"{address}/{made.json()['id']}", headers=ADMIN, trust_env=False)
    assert gone.status_code in (200, 204), gone.text
    wait_until(lambda: it.get(it.file("2.0.0")).status_code == 403, seconds=60, what="the exemption's end")
    wait_until(lambda: it.shown() == ["1.0.0"], seconds=60, what="the page without it")
    asked = it.asked("2.0.0")
    if isinstance(locked, GradleBuild):
        shutil.rmtree(locked.folder / "libs")
    done = locked.again()
    assert done.returncode != 0, done.stdout + done.stderr
    assert locked.has(name) == set()
    assert it.asked("2.0.0") == asked
