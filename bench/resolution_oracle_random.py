"""`python -m bench.resolution_oracle --protocol maven --random SEED`: made-up repositories, resolved by both.

Real roots rarely show what happens in cycles, with rival ranges or relocations. A repository of entangled
POMs is served beside the machine's own one; a reactor of small projects is listed by mvn in one run, and
each project's dependencies are resolved by Orchard.
"""

from __future__ import annotations

import contextlib
import os
import random
import subprocess
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from xml.sax.saxutils import escape

from bench import resolution_oracle_maven as oracle
from bench.harness.orchard import orchard
from bench.harness.work_folders import work_folder
from shared.default_upstreams import default_upstream

GROUP = "orchard.random"
ARTIFACTS = tuple(f"a{number}" for number in range(14))
VERSIONS = ("1", "2", "3", "3.1")
PROJECTS = 60
MVN_SECONDS = 600


class Random:
    """One made-up repository, the same for the same seed."""

    def __init__(self, seed: int, folder: Path) -> None:
        self._random = random.Random(seed)
        self._folder = folder / GROUP.replace(".", "/")
        self._most = self._random.choice((2, 3))
        for number in range(2):
            self._pom(f"parent{number}", "1", self._some(1), self._managed(4), packaging="pom")
            self._pom(f"bom{number}", "1", "", self._managed(5), packaging="pom")
        for at, artifact in enumerate(ARTIFACTS):
            for version in VERSIONS:
                # Most look ahead, some make cycles.
                among = ARTIFACTS[at + 1 :] if self._random.random() < 0.8 else ARTIFACTS
                self._artifact(artifact, version, among or ARTIFACTS)
            versions = "".join(map("<version>{}</version>".format, VERSIONS))
            text = (
                f"<metadata><groupId>{GROUP}</groupId><artifactId>{artifact}</artifactId><versioning>"
                f"<versions>{versions}</versions></versioning></metadata>"
            )
            (self._folder / artifact / "maven-metadata.xml").write_text(text)

    def roots(self) -> list[str]:
        """Requirements of one project, sorted as Orchard sorts them."""
        names = self._random.sample(ARTIFACTS, self._random.choice((1, 1, 2)))
        return sorted(f"{GROUP}:{name}:{self._random.choice(VERSIONS)}" for name in names)

    def _artifact(self, artifact: str, version: str, among: tuple[str, ...]) -> None:
        chance, extra = self._random.random(), ""
        later = ARTIFACTS[ARTIFACTS.index(artifact) + 1 :]
        if chance < 0.03 and later:  # in a circle mvn 3.8 overflows its stack
            moved = f"<artifactId>{self._random.choice(later)}</artifactId>"
            extra = f"<distributionManagement><relocation>{moved}</relocation></distributionManagement>"
        elif chance < 0.25:
            above = f"<groupId>{GROUP}</groupId><artifactId>parent{self._random.randrange(2)}</artifactId>"
            extra = f"<parent>{above}<version>1</version></parent>"
        managed = self._managed(3) if self._random.random() < 0.3 else ""
        self._pom(artifact, version, self._some(self._most, among), managed, extra=extra)
        for ending in ("", "-linux", "-tests"):
            (self._folder / artifact / version / f"{artifact}-{version}{ending}.jar").write_bytes(b"PK\5\6")

    def _pom(
        self,
        name: str,
        version: str,
        dependencies: str,
        managed: str,
        *,
        extra: str = "",
        packaging: str = "jar",
    ) -> None:
        folder = self._folder / name / version
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{name}-{version}.pom").write_text(
            pom(name, version, dependencies, managed, extra, packaging)
        )

    def _some(self, most: int, among: tuple[str, ...] = ARTIFACTS) -> str:
        return "".join(self._dependency(self._version(), among) for _ in range(self._random.randint(0, most)))

    def _managed(self, most: int) -> str:
        dependencies = [
            self._dependency(self._version(), ARTIFACTS) for _ in range(self._random.randint(0, most))
        ]
        if self._random.random() < 0.3:
            number = self._random.randrange(2)
            dependencies.append(dependency(f"bom{number}", "1", type="pom", scope="import"))
        return "".join(dependencies)

    def _version(self) -> str:
        chance = self._random.random()
        if chance < 0.78:
            return self._random.choice(VERSIONS)
        return self._random.choice(("[1,3]", "[2,)", "(1,3.1)", "[1,3)", "(,2]", "[1,2],[3,)", "[2]", "[3]"))

    def _dependency(self, version: str, among: tuple[str, ...]) -> str:
        fields = {
            "scope": self._random.choice(("", "", "", "compile", "runtime", "runtime", "provided", "test"))
        }
        if self._random.random() < 0.15:
            fields["optional"] = "true"
        if self._random.random() < 0.12:
            fields |= self._random.choice(({"classifier": "linux"}, {"type": "test-jar"}))
        excluded = [
            f"<exclusion><groupId>{self._random.choice((GROUP, '*'))}</groupId>"
            f"<artifactId>{self._random.choice((*ARTIFACTS, '*'))}</artifactId></exclusion>"
            for _ in range(self._random.choice((0, 0, 0, 0, 1, 2)))
        ]
        extra = f"<exclusions>{''.join(excluded)}</exclusions>" if excluded else ""
        return dependency(self._random.choice(among), version, extra=extra, **fields)


def dependency(artifact: str, version: str, *, extra: str = "", **fields: str) -> str:
    """One dependency element."""
    given = {"groupId": GROUP, "artifactId": artifact, "version": version, **fields}
    inner = "".join(f"<{tag}>{escape(text)}</{tag}>" for tag, text in given.items() if text)
    return f"<dependency>{inner}{extra}</dependency>"


def pom(
    name: str, version: str, dependencies: str, managed: str, extra: str = "", packaging: str = "jar"
) -> str:
    """One POM."""
    if managed:
        extra += f"<dependencyManagement><dependencies>{managed}</dependencies></dependencyManagement>"
    return (
        f"<project><modelVersion>4.0.0</modelVersion><groupId>{GROUP}</groupId><artifactId>{name}</artifactId>"
        f"<version>{version}</version><packaging>{packaging}</packaging>{extra}"
        f"<dependencies>{dependencies}</dependencies></project>"
    )


@contextlib.contextmanager
def serve(folder: Path) -> Iterator[str]:
    """The folder on loopback; its address."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:
            """Nothing: thousands of lines would hide the result."""

    class Server(ThreadingHTTPServer):
        def handle_error(self, request: object, client_address: object) -> None:
            """Nothing: a client that has heard enough of a 404 closes."""

    with Server(("127.0.0.1", 0), partial(Quiet, directory=str(folder))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


def listed_by_mvn(repository: str, projects: list[list[str]], home: Path) -> list[set[str] | None]:
    """Of each project what mvn lists; None where it fails (and of all behind it, should mvn itself crash)."""
    reactor = home / "reactor"
    names = [f"project{at}" for at in range(len(projects))]
    for name, roots in zip(names, projects, strict=True):
        (reactor / name).mkdir(parents=True)
        dependencies = "".join(dependency(*root.split(":")[1:]) for root in roots)
        (reactor / name / "pom.xml").write_text(pom(name, "1", dependencies, ""))
    modules = "".join(map("<module>{}</module>".format, names))
    (reactor / "pom.xml").write_text(pom("all", "1", "", "", f"<modules>{modules}</modules>", "pom"))
    command = ["mvn", "-B", "-q", "-fae", *oracle.client_options(repository, home), "-DoutputFile=list.txt"]
    environment = {"PATH": os.environ["PATH"], "HOME": str(home), "LANG": "C.UTF-8"}
    subprocess.run(
        [*command, oracle.LIST], cwd=reactor, env=environment, capture_output=True, timeout=MVN_SECONDS
    )
    return [oracle.read_list(reactor / name / "list.txt") for name in names]


def run(seed: int, *, keep: bool) -> int:
    """Exit code: 1 when fewer than 98 of 100 projects that mvn could list agree."""
    public, _ = default_upstream("maven", {}, 0)
    agreed = compared = 0
    with contextlib.ExitStack() as stack:
        work = stack.enter_context(work_folder("resolution-random", keep=keep))
        made = Random(seed, work / "repository")
        projects = [made.roots() for _ in range(PROJECTS)]
        own = stack.enter_context(serve(work / "repository"))
        server = stack.enter_context(
            orchard(
                work / "data",
                upstream="http://127.0.0.1:9/simple/",
                maven_upstream=f"{own},{public}",
                pin=False,
            )
        )
        base = server.url("")
        for roots, theirs in zip(projects, listed_by_mvn(f"{base}/maven/", projects, work), strict=True):
            graph, refused, _ = oracle.by_orchard(base, roots, environment=oracle.java_environment())
            ours = None if graph is None else {oracle.line_of(node) for node in graph["nodes"]}
            if theirs is None:
                continue
            compared += 1
            agreed += ours == theirs
            if ours != theirs:
                only = (sorted(theirs - (ours or set())), sorted((ours or set()) - theirs))
                print(f"DIFFERS {' '.join(roots)}: mvn only {only[0]}, orchard only {only[1]} {refused}")
    lost = PROJECTS - compared
    print(f"seed {seed}: {agreed} of {compared} projects agree with mvn; {lost} it could not list")
    return 0 if compared and agreed >= 0.98 * compared else 1
