"""Small Maven repositories on a scripted upstream: POMs, jars, metadata and their checksums."""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass

from tests.support.upstream import Reply, Upstream


@dataclass(frozen=True)
class Dep:
    """One dependency of a POM."""

    group: str
    artifact: str
    version: str = ""
    scope: str = ""
    optional: bool = False
    extra: str = ""  # further elements

    def xml(self) -> str:
        pairs = {"groupId": self.group, "artifactId": self.artifact, "version": self.version}
        pairs |= {"scope": self.scope, "optional": "true" if self.optional else ""}
        inner = "".join(f"<{name}>{text}</{name}>" for name, text in pairs.items() if text)
        return f"<dependency>{inner}{self.extra}</dependency>"


def build_pom(
    group: str,
    artifact: str,
    version: str,
    deps: Sequence[Dep] = (),
    *,
    packaging: str = "jar",
    extra: str = "",
) -> bytes:
    """A POM; `extra` holds further elements of `project`."""
    dependencies = "".join(dep.xml() for dep in deps)
    return (
        (
            '<?xml version="1.0" encoding="UTF-8"?>\n'
            f'<project xmlns="urn:pom"><modelVersion>4.0.0</modelVersion><groupId>{group}</groupId>'
            f"<artifactId>{artifact}</artifactId><version>{version}</version>"
            f"<packaging>{packaging}</packaging>{extra}<dependencies>{dependencies}</dependencies></project>\n"
        )
        .replace(' xmlns="urn:pom"', "")
        .encode()
    )


def build_jar(name: str, *, size_bytes: int = 0) -> bytes:
    """A jar with one resource; `size_bytes` of incompressible filler."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr(zipfile.ZipInfo("META-INF/MANIFEST.MF"), "Manifest-Version: 1.0\n")
        filler = hashlib.shake_256(name.encode()).digest(max(16, size_bytes))
        archive.writestr(zipfile.ZipInfo(f"{name}.bin"), filler)
    return out.getvalue()


def build_metadata(
    group: str, artifact: str, versions: Sequence[str], *, updated: str = "20240101000000", extra: str = ""
) -> bytes:
    """Artifact-level metadata; the last version is `latest` and `release`."""
    listed = "".join(f"<version>{version}</version>" for version in versions)
    return (
        f"<metadata><groupId>{group}</groupId><artifactId>{artifact}</artifactId><versioning>"
        f"<latest>{versions[-1]}</latest><release>{versions[-1]}</release><versions>{listed}</versions>"
        f"<lastUpdated>{updated}</lastUpdated>{extra}</versioning></metadata>"
    ).encode()


class Repository:
    """A Maven repository below a prefix of the scripted upstream."""

    def __init__(self, upstream: Upstream, prefix: str = "/maven") -> None:
        self.upstream = upstream
        self.prefix = prefix

    @property
    def url(self) -> str:
        return f"{self.upstream.url}{self.prefix}/"

    def put(self, path: str, body: bytes, *, checksums: Sequence[str] = ("sha1", "md5")) -> str:
        """A file with its checksum files; its path below the repository comes back."""
        self.upstream.put(f"{self.prefix}/{path}", Reply(body))
        for algorithm in checksums:
            digest = hashlib.new(algorithm, body).hexdigest()
            self.upstream.put(f"{self.prefix}/{path}.{algorithm}", digest.encode(), "text/plain")
        return path

    def add(
        self,
        group: str,
        artifact: str,
        version: str,
        deps: Sequence[Dep] = (),
        *,
        size_bytes: int = 2000,
        pom_extra: str = "",
        checksums: Sequence[str] = ("sha1", "md5"),
    ) -> str:
        """POM and jar of one version; the jar's path below the repository comes back."""
        stem = f"{group.replace('.', '/')}/{artifact}/{version}/{artifact}-{version}"
        pom = build_pom(group, artifact, version, deps, extra=pom_extra)
        self.put(f"{stem}.pom", pom, checksums=checksums)
        return self.put(f"{stem}.jar", build_jar(artifact, size_bytes=size_bytes), checksums=checksums)

    def add_metadata(self, group: str, artifact: str, versions: Sequence[str], **options: str) -> str:
        """Artifact-level metadata; its path comes back."""
        path = f"{group.replace('.', '/')}/{artifact}/maven-metadata.xml"
        return self.put(path, build_metadata(group, artifact, versions, **options))

    def add_snapshot(self, group: str, artifact: str, base: str, build: int, jar: bytes) -> str:
        """Build number `build` of "{base}-SNAPSHOT": timestamped POM and jar, and the metadata that names
        them; the jar's path comes back."""
        folder = f"{group.replace('.', '/')}/{artifact}/{base}-SNAPSHOT"
        moment = f"20240101.12000{build}"
        value = f"{base}-{moment}-{build}"
        pom = build_pom(group, artifact, f"{base}-SNAPSHOT")
        self.put(f"{folder}/{artifact}-{value}.pom", pom)
        updated = moment.replace(".", "")
        files = "".join(
            f"<snapshotVersion><extension>{extension}</extension><value>{value}</value>"
            f"<updated>{updated}</updated></snapshotVersion>"
            for extension in ("jar", "pom")
        )
        metadata = (
            f'<metadata modelVersion="1.1.0"><groupId>{group}</groupId><artifactId>{artifact}</artifactId>'
            f"<version>{base}-SNAPSHOT</version><versioning><snapshot><timestamp>{moment}</timestamp>"
            f"<buildNumber>{build}</buildNumber></snapshot><lastUpdated>{updated}</lastUpdated>"
            f"<snapshotVersions>{files}</snapshotVersions></versioning></metadata>"
        )
        self.put(f"{folder}/maven-metadata.xml", metadata.encode())
        return self.put(f"{folder}/{artifact}-{value}.jar", jar)
