"""`python -m bench.resolution_oracle --protocol maven`: resolutions of real roots beside mvn's own list.

Both ask one Orchard, which asks this machine's own repository. `mvn dependency:list` resolves a project
that has the root as its one dependency, with a local repository that starts empty; compared are
group:artifact:type[:classifier]:version:scope of everything in the list.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx
import msgspec
from packageurl import PackageURL

from bench.harness.oracle import asked

ROOTS = (
    "com.google.guava:guava:33.0.0-jre", "org.springframework.boot:spring-boot-starter-web:3.3.4",
    "org.hibernate.orm:hibernate-core:6.5.2.Final", "com.fasterxml.jackson.core:jackson-databind:2.17.2",
    "org.junit.jupiter:junit-jupiter:5.11.0",
    "org.slf4j:slf4j-simple:2.0.16 ch.qos.logback:logback-classic:1.5.8",
    "com.squareup.okhttp3:okhttp:4.12.0", "com.squareup.retrofit2:retrofit:2.11.0",
    "io.netty:netty-all:4.1.113.Final", "org.apache.kafka:kafka-clients:3.8.0",
    "org.apache.logging.log4j:log4j-core:2.24.0", "org.apache.commons:commons-lang3:3.17.0",
    "org.apache.commons:commons-configuration2:2.11.0", "commons-beanutils:commons-beanutils:1.9.4",
    "org.mockito:mockito-core:5.13.0", "org.assertj:assertj-core:3.26.3", "com.h2database:h2:2.3.232",
    "org.flywaydb:flyway-core:10.18.0", "io.quarkus:quarkus-resteasy:3.15.1",
    "org.apache.camel:camel-core:4.8.0", "org.apache.poi:poi-ooxml:5.3.0",
    "org.apache.httpcomponents.client5:httpclient5:5.3.1", "io.micrometer:micrometer-core:1.13.4",
    "org.testng:testng:7.10.2", "org.apache.maven:maven-core:3.9.9", "io.grpc:grpc-netty:1.66.0",
    "org.springframework.boot:spring-boot-starter-data-jpa:2.7.18", "xerces:xercesImpl:2.12.2",
    "org.eclipse.jetty:jetty-webapp:9.4.56.v20240826", "net.sf.jasperreports:jasperreports:6.21.3",
    "javax.xml.bind:jaxb-api:2.3.1 org.glassfish.jaxb:jaxb-runtime:2.3.9",
    "org.apache.zookeeper:zookeeper:3.9.2", "org.webjars:bootstrap:3.4.1",
)  # fmt: skip
LIST = "org.apache.maven.plugins:maven-dependency-plugin:3.6.1:list"
MVN_SECONDS = 420
ORCHARD_SECONDS = 180
# Maven's types whose files are jars: the list shows the type, a package URL the file's extension.
_JARS = frozenset({"test-jar", "maven-plugin", "ejb", "ejb-client", "java-source", "javadoc", "bundle"})
_LINE = re.compile(r"^\s+([^\s:]+(?::[^\s:]+){4,5})(?:\s|$)")


class Compared(msgspec.Struct):
    """One root's outcome. `mvn` is None where mvn failed, `ours` where Orchard did."""

    root: str
    mvn: set[str] | None
    ours: set[str] | None
    said: str = ""
    cold_seconds: float = 0.0
    again_seconds: float = 0.0  # another key, all documents known
    mvn_seconds: float = 0.0

    @property
    def agrees(self) -> bool:
        return self.mvn is not None and self.mvn == self.ours


def java_environment() -> str:
    """Orchard's name for the machine that mvn runs on here."""
    told = subprocess.run(["java", "-version"], capture_output=True, text=True, check=True).stderr
    found = re.search(r'version "(?:1\.)?([0-9]+)', told)
    return f"jdk{found[1] if found else 17}-linux-x86_64"


def by_mvn(repository: str, roots: Sequence[str], home: Path) -> tuple[set[str] | None, str]:
    """The lines of `dependency:list`, and what mvn said when it failed."""
    project = home / "project"
    shutil.rmtree(project, ignore_errors=True)
    project.mkdir(parents=True)
    dependencies = "".join(map(_dependency, roots))
    (project / "pom.xml").write_text(
        "<project><modelVersion>4.0.0</modelVersion><groupId>oracle</groupId><artifactId>oracle</artifactId>"
        f"<version>1</version><dependencies>{dependencies}</dependencies></project>"
    )
    out = project / "list.txt"
    command = ["mvn", "-B", *client_options(repository, home), f"-DoutputFile={out}", LIST]
    clean = {"PATH": os.environ["PATH"], "HOME": str(home), "LANG": "C.UTF-8"}
    try:
        done = subprocess.run(
            command, cwd=project, env=clean, capture_output=True, text=True, timeout=MVN_SECONDS
        )
    except subprocess.TimeoutExpired:
        return None, f"mvn took longer than {MVN_SECONDS} s"
    found = read_list(out)
    if done.returncode or found is None:
        errors = [line for line in done.stdout.splitlines() if line.startswith("[ERROR]")]
        return None, " / ".join(errors[:2])[:600]
    return found, ""


def client_options(repository: str, home: Path) -> list[str]:
    """What makes mvn ask only Orchard, with settings and a local repository of its own."""
    mirror = f"<mirror><id>orchard</id><mirrorOf>*</mirrorOf><url>{repository}</url></mirror>"
    settings = home / "settings.xml"
    settings.write_text(f"<settings><mirrors>{mirror}</mirrors></settings>")
    return ["-s", str(settings), f"-Dmaven.repo.local={home / 'local'}"]


def read_list(path: Path) -> set[str] | None:
    """What `dependency:list` wrote, each as group:artifact:extension[:classifier]:version:scope."""
    if not path.exists():
        return None
    lines = (found[1] for line in path.read_text().splitlines() if (found := _LINE.match(line)))
    return {_normal(line) for line in lines}


def _dependency(root: str) -> str:
    group, artifact, *middle, version = root.split(":")
    fields = dict(zip(("type", "classifier"), middle, strict=False))
    fields |= {"groupId": group, "artifactId": artifact, "version": version}
    return f"<dependency>{''.join(f'<{tag}>{text}</{tag}>' for tag, text in fields.items())}</dependency>"


def _normal(line: str) -> str:
    group, artifact, kind, *rest = line.split(":")
    return ":".join((group, artifact, "jar" if kind in _JARS else kind, *rest))


def line_of(node: dict[str, Any]) -> str:
    """A node as `read_list` spells it."""
    purl = PackageURL.from_string(node["purl"])
    qualifiers = dict(purl.qualifiers) if isinstance(purl.qualifiers, dict) else {}
    parts = [purl.namespace, purl.name, qualifiers.get("type", "jar"), qualifiers.get("classifier", "")]
    return ":".join([part for part in parts if part] + [node["version"], node["scope"]])


def by_orchard(base: str, roots: Sequence[str], **options: Any) -> tuple[dict[str, Any] | None, str, float]:
    """The resolution, or why there is none, and seconds."""
    started = time.monotonic()
    while time.monotonic() - started < ORCHARD_SECONDS:
        answer = httpx.post(
            f"{base}/api/v1/resolve",
            json={"protocol": "maven", "requirements": list(roots), **options},
            timeout=60,
            trust_env=False,
        )
        if answer.status_code == 200:
            return answer.json(), "", time.monotonic() - started
        if answer.status_code not in (202, 503):
            return None, answer.json()["detail"][:900], time.monotonic() - started
    return None, f"not ready in {ORCHARD_SECONDS} s", time.monotonic() - started


def compare(base: str, root: str, home: Path, environment: str) -> Compared:
    """One entry of the list: one root, or several joined by blanks (in Orchard's order, the sorted one)."""
    roots = sorted(root.split())
    graph, refused, cold = by_orchard(base, roots, environment=environment)
    _, _, again = by_orchard(base, roots, environment=environment, max_depth=49)
    started = time.monotonic()
    listed, said = by_mvn(f"{base}/maven/", roots, home)
    seconds = time.monotonic() - started
    ours = None
    if graph is not None:
        ours = {line_of(node) for node in graph["nodes"]}
        left_out = [f"{each['name']}: {each['reason']}" for each in graph["unresolved"]]
        refused = "; ".join(left_out)[:400] + ("" if graph["complete"] else " (incomplete)")
    shown = " | ".join(each for each in (refused and f"orchard: {refused}", said and f"mvn: {said}") if each)
    return Compared(root, listed, ours, shown, cold, again, seconds)


def show(one: Compared) -> None:
    """One root's line, and one for each difference."""
    print(
        f"{'agrees ' if one.agrees else 'DIFFERS'} {one.root:62} {len(one.ours or ()):4} nodes"
        f"  cold {one.cold_seconds:6.2f} s  known documents {one.again_seconds:5.2f} s"
        f"  mvn {one.mvn_seconds:6.2f} s",
        flush=True,
    )
    if one.said:
        print("          " + one.said.replace("\n", "\n          "))
    if one.mvn is not None and one.ours is not None:
        for line in sorted(one.mvn - one.ours):
            print(f"          mvn only:     {line}", flush=True)
        for line in sorted(one.ours - one.mvn):
            print(f"          orchard only: {line}", flush=True)


def run(roots: Sequence[str], *, at: str, keep: bool) -> int:
    """Exit code: 1 when fewer than nine roots in ten agree."""
    if shutil.which("mvn") is None or shutil.which("java") is None:
        print("mvn is not installed", file=sys.stderr)
        return 2
    environment = java_environment()
    compared: list[Compared] = []
    with asked("maven", environment, at=at, keep=keep) as (base, work):
        for root in roots or ROOTS:
            compared.append(compare(base, root, work / "mvn", environment))
            show(compared[-1])
    agreed = sum(one.agrees for one in compared)
    total = len(compared)
    print(f"{agreed} of {total} roots agree with mvn ({100 * agreed / total:.0f} %)")
    return 0 if agreed >= 0.9 * total else 1
