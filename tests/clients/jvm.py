"""mvn and Gradle as the tests run them: settings of their own, Orchard as the only repository."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.client_environments import CLIENTS, with_home
from tests.support.maven_builders import Dep, build_pom
from tests.support.orchard import Cluster
from tests.support.stores import ROOT

GOAL = "org.apache.maven.plugins:maven-dependency-plugin:3.6.1:resolve"
GROUP = "org.orchard.demo"
# Maven's own default repository has no snapshots; the mirror stands for this one too.
_REPOSITORIES = (
    "<repositories><repository><id>team</id><url>https://packages.example.com/</url>"
    "<snapshots><enabled>true</enabled></snapshots></repository></repositories>"
)
MAVENS = ("mvn", "mvn-3.9", "mvn-4")
"""The system's own, and those of maven-clients.txt."""


def require(program: str) -> None:
    """Leave out a module whose program is not there; in CI that is a failure."""
    if shutil.which(program) is None:
        message = f"{program} is not installed: its client tests need it"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message, allow_module_level=True)


def maven_command(tool: str) -> str:
    """The program of one of `MAVENS`."""
    if tool == "mvn":
        return tool
    path = CLIENTS / tool / "bin" / "mvn"
    if not path.exists():
        pytest.fail(f"{tool} is not installed: run 'make client-tools'")
    return str(path)


def documented(pattern: str, orchard: Cluster) -> str:
    """A piece of the README, with the address of the Orchard under test."""
    found = re.search(pattern, (ROOT / "README.md").read_text())
    assert found, f"the README no longer says {pattern}"
    return found[0].replace("http://127.0.0.1:8080", orchard.url("").rstrip("/"))


class Maven:
    """mvn with settings of its own: Orchard as the mirror of everything, an own local repository."""

    def __init__(self, folder: Path, orchard: Cluster) -> None:
        self.folder = folder
        self.local = folder / "repository"
        self.settings = folder / "settings.xml"
        mirrors = documented(r"<mirrors>.*?</mirrors>", orchard)
        self.settings.write_text(f"<settings>{mirrors}</settings>")

    def resolve(
        self, version: str, *options: str, artifact: str = "lib", tool: str = "mvn"
    ) -> subprocess.CompletedProcess[str]:
        """`dependency:resolve` of a project with one dependency."""
        pom = build_pom(
            "demo", "app", "1", [Dep(GROUP, artifact, version)], packaging="pom", extra=_REPOSITORIES
        )
        (self.folder / "pom.xml").write_bytes(pom)
        return self.run(tool, *options, GOAL)

    def run(self, tool: str, *words: str, seconds: float = 110) -> subprocess.CompletedProcess[str]:
        """mvn in the folder of its project."""
        command = [maven_command(tool), "-B", "-s", str(self.settings), f"-Dmaven.repo.local={self.local}"]
        return subprocess.run(
            [*command, *words],
            cwd=self.folder,
            env=with_home(self.folder),
            capture_output=True,
            text=True,
            timeout=seconds,
        )

    def has(self, artifact: str, version: str) -> bool:
        """Whether the jar is in the local repository."""
        folder = self.local.joinpath(*GROUP.split("."), artifact, version)
        return (folder / f"{artifact}-{version}.jar").exists()


_BUILD = """
apply plugin: 'java'
dependencies { compile %s }
configurations.all { resolutionStrategy.cacheChangingModulesFor 0, 'seconds' }
task libs(type: Copy) { from configurations.compile; into 'libs' }
"""


class Gradle:
    """Gradle with a home of its own, set up by the line of the README."""

    def __init__(self, folder: Path, orchard: Cluster) -> None:
        self.folder = folder
        self.home = folder / "gradle-home"
        script = self.home / "init.d" / "orchard.gradle"
        script.parent.mkdir(parents=True)
        script.write_text(documented(r"allprojects \{ repositories \{[^`]*\} \}", orchard))

    def forget(self) -> None:
        """Empty its caches."""
        shutil.rmtree(self.home / "caches", ignore_errors=True)

    def libs(self, *coordinates: str, options: tuple[str, ...] = ()) -> dict[str, bytes]:
        """The jars of these dependencies, "artifact:version" each, by file name. Fails the test if the
        build fails."""
        done = self.build(*coordinates, options=options)
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
        return {path.name: path.read_bytes() for path in (self.folder / "libs").iterdir()}

    def build(self, *coordinates: str, options: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
        """One run of Gradle in a process of its own. "artifact:version" is of `GROUP`."""
        shutil.rmtree(self.folder / "libs", ignore_errors=True)
        (self.folder / "settings.gradle").write_text("rootProject.name = 'demo'\n")
        groups = ["" if each.count(":") > 1 else f"{GROUP}:" for each in coordinates]
        wanted = ", ".join(f"'{group}{each}'" for group, each in zip(groups, coordinates, strict=True))
        (self.folder / "build.gradle").write_text(_BUILD % wanted)
        command = ["gradle", "--no-daemon", "--console=plain", "-g", str(self.home), *options, "libs"]
        return subprocess.run(
            command,
            cwd=self.folder,
            env=with_home(self.folder),
            capture_output=True,
            text=True,
            timeout=110,
        )


def asked(orchard: Cluster, what: str, method: str = "GET") -> int:
    """How many requests of that method for an address with this text all gateways have seen so far."""
    lines = orchard.logs().splitlines()
    return sum('"event":"request"' in line and f'"{method}"' in line and what in line for line in lines)
