"""Projects of mvn: a pom.xml each, and the files that `dependency:list` took for it."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from bench.lock_inputs.locked import Locked, Through
from bench.lock_inputs.reading import MVN_FILES

FORMS = ("pom.xml",)
_LIST = "org.apache.maven.plugins:maven-dependency-plugin:3.6.1:list"
_LINE = re.compile(r"^\s+([^\s:]+):([^\s:]+):[^\s:]+(?::[^\s:]+)?:([^\s:]+):(\w+):(/\S+)")


def _dependency(text: str) -> str:
    """`group:artifact:version[:scope[:type]] [more elements]`."""
    coordinates, _, more = text.partition(" ")
    fields = zip(("groupId", "artifactId", "version", "scope", "type"), coordinates.split(":"), strict=False)
    return (
        f"<dependency>{''.join(f'<{tag}>{each}</{tag}>' for tag, each in fields if each)}{more}</dependency>"
    )


def _wanted(*texts: str) -> str:
    return f"<dependencies>{''.join(map(_dependency, texts))}</dependencies>"


def _managed(*texts: str) -> str:
    return f"<dependencyManagement>{_wanted(*texts)}</dependencyManagement>"


def _parent(text: str) -> str:
    fields = zip(("groupId", "artifactId", "version"), text.split(":"), strict=True)
    return f"<parent>{''.join(f'<{tag}>{each}</{tag}>' for tag, each in fields)}<relativePath/></parent>"


_BOOT = "org.springframework.boot"
_EXCLUDE = "<exclusions><exclusion><groupId>{}</groupId><artifactId>{}</artifactId></exclusion></exclusions>"
PROJECTS: Mapping[str, str] = {
    "parent-of-spring-boot": _parent(f"{_BOOT}:spring-boot-starter-parent:2.7.18")
    + _wanted(f"{_BOOT}:spring-boot-starter-web", f"{_BOOT}:spring-boot-starter-test::test"),
    "bom-of-spring-boot": _managed(f"{_BOOT}:spring-boot-dependencies:2.7.18:import:pom")
    + _wanted(f"{_BOOT}:spring-boot-starter", f"{_BOOT}:spring-boot-starter-json"),
    "properties": "<properties><retrofit>2.11.0</retrofit><http>4.12.0</http></properties>"
    + _wanted("com.squareup.retrofit2:retrofit:${retrofit}", "com.squareup.okhttp3:okhttp:${http}"),
    "exclusions": _wanted(
        "com.squareup.retrofit2:retrofit:2.11.0 " + _EXCLUDE.format("org.jetbrains.kotlin", "*"),
        "org.apache.httpcomponents.client5:httpclient5:5.3.1 " + _EXCLUDE.format("org.slf4j", "slf4j-api"),
    ),
    "bom-of-jackson": _managed("com.fasterxml.jackson:jackson-bom:2.17.2:import:pom")
    + _wanted(
        "com.fasterxml.jackson.core:jackson-databind",
        "com.fasterxml.jackson.dataformat:jackson-dataformat-yaml",
    ),
    "runtime-and-optional": _wanted(
        "org.slf4j:slf4j-api:2.0.16", "ch.qos.logback:logback-classic:1.5.8:runtime",
        "org.yaml:snakeyaml:2.2 <optional>true</optional>",
    ),
    "management": _managed(
        "org.checkerframework:checker-qual:3.40.0", "com.google.code.findbugs:jsr305:3.0.1"
    )
    + _wanted("com.google.guava:guava:33.0.0-jre"),
    "tests": _managed("org.junit:junit-bom:5.11.0:import:pom")
    + _wanted("org.junit.jupiter:junit-jupiter::test", "org.mockito:mockito-core:5.13.0:test"),
    "provided": _wanted(
        "org.eclipse.jetty:jetty-servlet:9.4.56.v20240826", "javax.servlet:javax.servlet-api:4.0.1:provided"
    ),
    "profiles": _wanted("org.apache.commons:commons-lang3:3.17.0")
    + "<profiles><profile><id>usual</id><activation><activeByDefault>true</activeByDefault></activation>"
    + _wanted("org.yaml:snakeyaml:2.2")
    + "</profile><profile><id>asked</id>"
    + _wanted("org.jline:jline:3.26.3")
    + "</profile></profiles>",
    "profile-of-the-jdk": _wanted("info.picocli:picocli:4.7.6")
    + "<profiles><profile><id>new</id><activation><jdk>[11,)</jdk></activation>"
    + _wanted("org.jline:jline:3.26.3")
    + "</profile><profile><id>usual</id><activation><activeByDefault>true</activeByDefault></activation>"
    + _wanted("org.yaml:snakeyaml:2.2")
    + "</profile></profiles>",
    "ranges": _wanted("org.slf4j:slf4j-simple:[2.0.12,2.0.16]", "commons-io:commons-io:[2.15,2.16.1]"),
}  # fmt: skip
"""What stands in each POM beside its own coordinates."""


def lock(through: Through, form: str) -> Iterator[Locked]:
    """A pom.xml of each project, and beside it what mvn took: one run for all."""
    root = through.folder("pom.xml", "")
    modules = "".join(f"<module>{project}</module>" for project in PROJECTS)
    about = "<modelVersion>4.0.0</modelVersion><groupId>bench</groupId><version>1</version>"
    for project, text in {**PROJECTS, "": f"<packaging>pom</packaging><modules>{modules}</modules>"}.items():
        folder = root / project
        folder.mkdir(exist_ok=True)
        (folder / form).write_text(
            f"<project>{about}<artifactId>{project or 'all'}</artifactId>{text}</project>"
        )
    command = mvn(through, root)
    command += ["-DoutputFile=list.txt", "-DoutputAbsoluteArtifactFilename=true", _LIST]
    wrong = through.run(command, root, through.environment())
    for project in PROJECTS:
        folder = root / project
        if not wrong:
            (folder / MVN_FILES).write_text("".join(_taken(folder / "list.txt")))
        yield Locked(form, project, folder / form, "mvn", wrong)


def mvn(through: Through, folder: Path) -> list[str | Path]:
    """mvn as it is run in `folder`, where its settings are put."""
    mirror = f"<mirror><id>orchard</id><mirrorOf>*</mirrorOf><url>{through.url('/maven/')}</url></mirror>"
    (folder / "settings.xml").write_text(f"<settings><mirrors>{mirror}</mirrors></settings>")
    return ["mvn", "-B", "-q", "-s", "settings.xml", f"-Dmaven.repo.local={through.work / 'm2'}"]


def _taken(listed: Path) -> Iterator[str]:
    for line in listed.read_text().splitlines():
        found = _LINE.match(line)
        if found is not None:
            group, artifact, version, _, path = found.groups()
            digest = hashlib.sha256(Path(path).read_bytes()).hexdigest()
            yield f"{group}:{artifact} {version} {Path(path).name} sha256:{digest}\n"
