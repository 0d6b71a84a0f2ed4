"""Lock files and verification metadata that Gradle 7.6 itself writes.

Its distribution is in no package registry, but its classes are, for those who test plugins: a jar of all
of them, in which `ProjectBuilder` makes a project (Gradle's documentation, Testing Gradle plugins).
`GradleItself.java` has that resolve and write. What is missing beside a real run is the build script.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from bench.lock_inputs.locked import Locked, Through
from bench.lock_inputs.maven_projects import mvn
from bench.lock_inputs.projects import JAVA

FILES = {
    "gradle.lockfile": "gradle.lockfile",
    "verification-metadata.xml": "gradle/verification-metadata.xml",
}
NAME = "gradle-7.6"
_DRIVER = Path(__file__).with_name("GradleItself.java")
_JARS = (
    "dev.gradleplugins:gradle-api:7.6",
    "org.codehaus.groovy:groovy:3.0.13",
    "org.codehaus.groovy:groovy-ant:3.0.13",
    "org.codehaus.groovy:groovy-xml:3.0.13",
    "org.codehaus.groovy:groovy-json:3.0.13",
    "org.jetbrains.kotlin:kotlin-stdlib:1.7.10",
)
_OPENED = ("java.lang", "java.lang.invoke", "java.net", "java.util")  # as Gradle's own start script does


def lock(through: Through, form: str) -> Iterator[Locked]:
    """A lock of each project: both formats come of one run."""
    root = through.work / "projects" / NAME
    wrong = "" if root.exists() else _make(through)
    for project in JAVA:
        path = root / project / FILES[form]
        missing = "" if path.exists() else f"it wrote no {form}"
        yield Locked(form, f"{project}-itself", path, NAME, wrong or missing)


def _make(through: Through) -> str:
    tools = through.folder("tools", NAME)
    wanted = "".join(
        f"<dependency><groupId>{group}</groupId><artifactId>{artifact}</artifactId><version>{version}</version>"
        "<exclusions><exclusion><groupId>*</groupId><artifactId>*</artifactId></exclusion></exclusions></dependency>"
        for group, artifact, version in (each.split(":") for each in _JARS)
    )
    (tools / "pom.xml").write_text(
        "<project><modelVersion>4.0.0</modelVersion><groupId>bench</groupId><artifactId>tools</artifactId>"
        f"<version>1</version><dependencies>{wanted}</dependencies></project>"
    )
    copy = "org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies"
    command = [*mvn(through, tools), "-DoutputDirectory=jars", copy]
    env = through.environment()
    wrong = through.run(command, tools, env) or through.run(
        ["javac", "-cp", f"{tools}/jars/*", "-d", "classes", _DRIVER], tools, env
    )
    opened = [word for each in _OPENED for word in ("--add-opens", f"java.base/{each}=ALL-UNNAMED")]
    java = ["java", *opened, "-cp", f"{tools}/jars/*:{tools}/classes", "GradleItself", through.url("/maven/")]
    for project, dependencies in JAVA.items():
        folder = through.folder(NAME, project)
        wrong = wrong or through.run([*java, str(tools / "home"), *dependencies], folder, env)
    return wrong
