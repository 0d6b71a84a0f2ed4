"""The Gradle leg of `make demo`: a small Spring Boot project built with an empty Gradle home."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from bench.demo_maven import MAIN

_BUILD = """apply plugin: 'java'
repositories {{ {repository} }}
dependencies {{ compile 'org.springframework.boot:{artifact}:{version}' }}
"""


def assemble(project: Sequence[str], index: str, target: Path) -> None:
    """Compile and pack; `target` then holds all jars and POMs that came. Raises `CalledProcessError`."""
    work = target.parent
    source, home = work / "project", work / "client-cache"
    shutil.rmtree(source, ignore_errors=True)
    repository = f"maven {{ url '{index}' }}" if index else "mavenCentral()"
    build = _BUILD.format(repository=repository, artifact=project[0], version=project[1])
    for path, text in (
        ("settings.gradle", "rootProject.name = 'app'\n"),
        ("build.gradle", build),
        ("src/main/java/demo/App.java", MAIN),
    ):
        (source / path).parent.mkdir(parents=True, exist_ok=True)
        (source / path).write_text(text)
    command = ["gradle", "--no-daemon", "--console=plain", "-q", "-g", str(home), "assemble"]
    done = subprocess.run(command, cwd=source, env=dict(os.environ), capture_output=True, timeout=600)
    if done.returncode:
        raise subprocess.CalledProcessError(done.returncode, command, done.stdout, done.stderr)
    for path in home.rglob("*"):
        if path.suffix in (".jar", ".pom") and "files-2.1" in path.parts:
            kept = target / path.relative_to(home)
            kept.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, kept)
