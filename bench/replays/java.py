"""The Spring Boot service, as mvn and Gradle build it, and how many jars it has."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from pathlib import Path

from bench.demo_maven import MAIN

VERSION = "3.3.4"
STARTERS = (
    "spring-boot-starter-web",
    "spring-boot-starter-data-jpa",
    "spring-boot-starter-security",
    "spring-boot-starter-actuator",
    "spring-boot-starter-validation",
)
_POM = """<project><modelVersion>4.0.0</modelVersion>
  <parent>
    <groupId>org.springframework.boot</groupId><artifactId>spring-boot-starter-parent</artifactId>
    <version>{version}</version><relativePath/>
  </parent>
  <groupId>demo</groupId><artifactId>app</artifactId><version>1.0</version>
  <properties>
    <java.version>17</java.version>
    <project.build.outputTimestamp>2026-01-01T00:00:00Z</project.build.outputTimestamp>
  </properties>
  <dependencies>{dependencies}</dependencies>
  <build><plugins><plugin>
    <groupId>org.springframework.boot</groupId><artifactId>spring-boot-maven-plugin</artifactId>
  </plugin></plugins></build>
</project>
"""
_GRADLE = """apply plugin: 'java'
repositories { mavenCentral() }
dependencies { %s }
jar { preserveFileTimestamps = false; reproducibleFileOrder = true }
task libs(type: Copy) { from configurations.runtimeClasspath; into 'libs' }
"""


def maven_project(dependencies: Sequence[str], base: str) -> dict[str, str]:
    """`group:artifact[:version]` each; packed into one jar with all of them."""
    wanted = ""
    for each in dependencies:
        group, artifact, *version = each.split(":")
        told = f"<version>{version[0]}</version>" if version else ""
        wanted += (
            f"<dependency><groupId>{group}</groupId><artifactId>{artifact}</artifactId>{told}</dependency>"
        )
    pom = _POM.format(version=VERSION, dependencies=wanted)
    return {"pom.xml": pom, "src/main/java/demo/App.java": MAIN}


def gradle_project(dependencies: Sequence[str], base: str) -> dict[str, str]:
    """`group:artifact:version` each."""
    wanted = "; ".join(f"compile '{each}'" for each in dependencies)
    return {
        "settings.gradle": "rootProject.name = 'app'\n",
        "build.gradle": _GRADLE % wanted,
        "src/main/java/demo/App.java": MAIN,
    }


def packed(folder: Path) -> int:
    """Jars inside the one that mvn made."""
    with zipfile.ZipFile(folder / "target" / "app-1.0.jar") as jar:
        return sum(name.startswith("BOOT-INF/lib/") and name.endswith(".jar") for name in jar.namelist())


def libraries(folder: Path) -> int:
    """Those that Gradle has copied."""
    return len(list((folder / "libs").iterdir()))
