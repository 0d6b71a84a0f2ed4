"""A Maven artifact for the benchmark: POM, jar of 1 MB, metadata of 200 versions, and their checksums."""

from __future__ import annotations

import hashlib
import io
import os
import zipfile
from pathlib import Path

FOLDER = "org/example/bench"
POM = f"{FOLDER}/1.0/bench-1.0.pom"
JAR = f"{FOLDER}/1.0/bench-1.0.jar"
METADATA = f"{FOLDER}/maven-metadata.xml"
_JAR_BYTES = 1024 * 1024


def build(root: Path) -> None:
    """Write `root`/maven/…"""
    ids = "<groupId>org.example</groupId><artifactId>lib{}</artifactId>"
    dependency = f"<dependency>{ids}<version>1</version></dependency>"
    dependencies = "\n".join(dependency.format(number) for number in range(40))
    pom = (
        "<project><modelVersion>4.0.0</modelVersion><groupId>org.example</groupId><artifactId>bench</artifactId>"
        f"<version>1.0</version><dependencies>{dependencies}</dependencies></project>"
    )
    versions = "\n".join(f"<version>{number // 10}.{number % 10}</version>" for number in range(10, 210))
    metadata = (
        "<metadata><groupId>org.example</groupId><artifactId>bench</artifactId><versioning><latest>20.9</latest>"
        f"<release>20.9</release><versions>{versions}</versions><lastUpdated>20240101000000</lastUpdated>"
        "</versioning></metadata>"
    )
    for path, body in ((POM, pom.encode()), (METADATA, metadata.encode()), (JAR, _jar())):
        file = root / "maven" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(body)
        for algorithm in ("sha1", "md5"):
            digest = hashlib.new(algorithm, body, usedforsecurity=False).hexdigest()
            file.with_name(f"{file.name}.{algorithm}").write_text(digest)


def _jar() -> bytes:
    """One entry that does not compress."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("padding.bin", os.urandom(_JAR_BYTES))
    return out.getvalue()
