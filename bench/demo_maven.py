"""The mvn leg of `make demo`: `mvn package` of a small Spring Boot project with an empty local repository."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

PROJECT: tuple[tuple[str, ...], ...] = (("spring-boot-starter-json", "3.3.4"),)

_POM = """<project>
  <modelVersion>4.0.0</modelVersion>
  <groupId>demo</groupId><artifactId>app</artifactId><version>1.0</version>
  <properties>
    <maven.compiler.source>17</maven.compiler.source><maven.compiler.target>17</maven.compiler.target>
    <project.build.sourceEncoding>UTF-8</project.build.sourceEncoding>
  </properties>
  <dependencyManagement><dependencies><dependency>
    <groupId>org.springframework.boot</groupId><artifactId>spring-boot-dependencies</artifactId>
    <version>{version}</version><type>pom</type><scope>import</scope>
  </dependency></dependencies></dependencyManagement>
  <dependencies>
    <dependency><groupId>org.springframework.boot</groupId><artifactId>{artifact}</artifactId></dependency>
    <dependency><groupId>junit</groupId><artifactId>junit</artifactId><scope>test</scope></dependency>
  </dependencies>
</project>
"""
MAIN = """package demo;
import org.springframework.boot.SpringApplication;
import org.springframework.boot.autoconfigure.SpringBootApplication;
@SpringBootApplication
public class App {
    public static void main(String[] args) { SpringApplication.run(App.class, args); }
    static int one() { return 1; }
}
"""
_TEST = """package demo;
public class AppTest {
    @org.junit.Test public void one() { org.junit.Assert.assertEquals(1, App.one()); }
}
"""


def package(project: Sequence[str], index: str, target: Path) -> None:
    """Build, test and package; `target` then holds all jars and POMs that came.

    Through Orchard (`index` not "") with strict checksums. Raises `CalledProcessError`.
    """
    work = target.parent
    source, local = work / "project", work / "client-cache"
    shutil.rmtree(source, ignore_errors=True)
    for path, text in (
        ("pom.xml", _POM.replace("{artifact}", project[0]).replace("{version}", project[1])),
        ("src/main/java/demo/App.java", MAIN),
        ("src/test/java/demo/AppTest.java", _TEST),
    ):
        (source / path).parent.mkdir(parents=True, exist_ok=True)
        (source / path).write_text(text)
    command = ["mvn", "-B", "-q", f"-Dmaven.repo.local={local}", "package"]
    if index:
        settings = work / "settings.xml"
        mirror = f"<mirror><id>orchard</id><mirrorOf>*</mirrorOf><url>{index}</url></mirror>"
        settings.write_text(f"<settings><mirrors>{mirror}</mirrors></settings>")
        command += ["-C", "-s", str(settings)]
    done = subprocess.run(command, cwd=source, env=dict(os.environ), capture_output=True, timeout=600)
    if done.returncode:
        raise subprocess.CalledProcessError(done.returncode, command, done.stdout, done.stdout)
    for path in local.rglob("*"):
        if path.suffix in (".jar", ".pom"):
            kept = target / path.relative_to(local)
            kept.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, kept)
