"""Real clients, each with a project of its own: what they install, and what they have then."""

from __future__ import annotations

import json
import shutil
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from subprocess import CompletedProcess
from typing import ClassVar

import pytest

from tests.clients import jvm
from tests.clients.conftest import Tools
from tests.clients.node import command, environment
from tests.clients.rust import Cargo
from tests.support.maven_builders import Dep, build_pom
from tests.support.orchard import Cluster


class Installer(ABC):
    """One client. Requirements are by name, each as its protocol writes them."""

    protocol: ClassVar[str]
    exactly: ClassVar[str] = "{}"
    any_version: ClassVar[str]
    candidates: ClassVar[str]

    def __init__(self, folder: Path, orchard: Cluster) -> None:
        folder.mkdir(parents=True)
        self.tools, self.folder, self.orchard = Tools(folder), folder / "demo", orchard
        self.folder.mkdir()

    @abstractmethod
    def install(self, wanted: Mapping[str, str]) -> CompletedProcess[str]:
        """By these requirements; writes a lock where the client has any."""

    def again(self) -> CompletedProcess[str]:
        """By the lock alone, with nothing left of the first time."""
        raise NotImplementedError

    @abstractmethod
    def has(self, name: str) -> set[str]:
        """The versions of which there are bytes."""


class Python(Installer):
    protocol, exactly, any_version, candidates = "pypi", "=={}", ">=1", ">=1.1.0rc0"

    def found(self, site: Path, name: str) -> set[str]:
        stem = name.replace("-", "_")
        found = site.glob(f"{stem}-*.dist-info")
        return {each.name.removeprefix(f"{stem}-").removesuffix(".dist-info") for each in found}

    def has(self, name: str) -> set[str]:
        return self.found(self.folder / "site", name)

    def requirements(self, wanted: Mapping[str, str]) -> Path:
        path = self.folder / "requirements.txt"
        path.write_text("".join(f"{name}{version}\n" for name, version in wanted.items()))
        return path


class Pip(Python):
    def install(self, wanted: Mapping[str, str]) -> CompletedProcess[str]:
        index = ["--index-url", self.orchard.url("/pypi/simple/"), "--disable-pip-version-check"]
        files = ["--target", str(self.folder / "site"), "-r", str(self.requirements(wanted))]
        command = [*self.tools.command("pip-newest"), "install", "--no-compile", *index, *files]
        return self.tools.run(command, cwd=self.folder)


class Uv(Python):
    def install(self, wanted: Mapping[str, str]) -> CompletedProcess[str]:
        index = ["--no-config", "--default-index", self.orchard.url("/pypi/simple/")]
        files = ["--target", str(self.folder / "site"), "-r", str(self.requirements(wanted))]
        return self.tools.run([*self.tools.command("uv"), "pip", "install", *index, *files], cwd=self.folder)


class Poetry(Python):
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
        site = next(self.folder.glob(".venv/lib/*/site-packages"), self.folder)
        return self.found(site, name)


class Node(Installer):
    protocol, any_version, candidates = "npm", ">=1.0.0", ">=1.1.0-rc.0"
    tool: ClassVar[str]
    frozen: ClassVar[tuple[str, ...]]

    def _run(self, *words: str) -> CompletedProcess[str]:
        registry = self.orchard.url("/npm/")
        env = environment(
            self.tools,
            registry,
            npm_config_fetch_retries="0",
            YARN_NPM_MINIMAL_AGE_GATE="0",  # its own gate would hide what ours has to
            BUN_CONFIG_REGISTRY=registry,
        )
        return self.tools.run([*command(self.tool), *words], cwd=self.folder, env=env)

    def install(self, wanted: Mapping[str, str]) -> CompletedProcess[str]:
        about = {"name": "demo", "version": "1.0.0", "private": True, "dependencies": dict(wanted)}
        (self.folder / "package.json").write_text(json.dumps(about))
        if self.tool.startswith("yarn"):
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


class Bun(Node):
    tool, frozen = "bun-1", ("install", "--frozen-lockfile")


class Crates(Installer):
    protocol, exactly, any_version, candidates = "cargo", "={}", ">=1", ">=1.1.0-rc.0"

    def __init__(self, folder: Path, orchard: Cluster) -> None:
        super().__init__(folder, orchard)
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


class Mvn(Installer):
    protocol, any_version, candidates = "maven", "[1.0.0,)", "[1.0.0,)"

    def __init__(self, folder: Path, orchard: Cluster) -> None:
        super().__init__(folder, orchard)
        if shutil.which("mvn") is None:
            pytest.skip("no mvn here")
        self.maven = jvm.Maven(self.folder, orchard)
        shutil.copytree(  # its plugins, as if they had been installed: nobody is asked for them
            plugins(), self.maven.local, ignore=shutil.ignore_patterns("_remote.repositories")
        )

    def install(self, wanted: Mapping[str, str]) -> CompletedProcess[str]:
        needs = [Dep(*name.split(":"), version) for name, version in wanted.items()]
        pom = build_pom("demo", "app", "1", needs, packaging="pom")
        (self.folder / "pom.xml").write_bytes(pom)
        return self.maven.run("mvn", jvm.GOAL)

    def has(self, name: str) -> set[str]:
        group, artifact = name.split(":")
        found = self.maven.local.joinpath(*group.split("."), artifact).glob("*/*.jar")
        return {each.parent.name for each in found}


def plugins() -> Path:
    """This machine's local repository, where `make client-tools` has put the plugin. Skips without."""
    local = Path.home() / ".m2" / "repository"
    _, _, artifact, *_ = ("", *jvm.GOAL.split(":"))
    if not list(local.glob(f"org/apache/maven/plugins/{artifact}/*/*.jar")):
        pytest.skip("this machine's local repository lacks mvn's plugins: run 'make client-tools' anew")
    return local


class GradleBuild(Installer):
    protocol, any_version, candidates = "maven", "[1.0.0,)", "[1.0.0,)"

    def __init__(self, folder: Path, orchard: Cluster) -> None:
        super().__init__(folder, orchard)
        if shutil.which("gradle") is None:
            pytest.skip("no gradle here")
        self.gradle = jvm.Gradle(self.folder, orchard)

    def install(self, wanted: Mapping[str, str]) -> CompletedProcess[str]:
        return self.gradle.build(*(f"{name}:{version}" for name, version in wanted.items()))

    def has(self, name: str) -> set[str]:
        artifact = name.partition(":")[2]
        found = self.folder.rglob(f"{artifact}-*.jar")
        return {each.name.removeprefix(f"{artifact}-").removesuffix(".jar") for each in found}


INSTALLERS: Mapping[str, type[Installer]] = {
    "pip": Pip,
    "uv": Uv,
    "poetry": Poetry,
    "npm": Npm,
    "pnpm": Pnpm,
    "yarn 1": Yarn1,
    "yarn 4": Yarn4,
    "bun": Bun,
    "cargo": Crates,
    "mvn": Mvn,
    "Gradle": GradleBuild,
}
"""By their names in the table."""
