"""Files of a repository folder (also ~/.m2/repository), with metadata that lists what was imported."""

from __future__ import annotations

from collections.abc import Sequence
from typing import BinaryIO
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from shared.errors import MalformedRequest, RouteNotFound
from shared.protocols.maven import names
from shared.protocols.maven.metadata import MAX_POM_BYTES, MavenArchive
from shared.protocols.maven.model import Pom, read_pom
from shared.protocols.maven.paths import classify
from shared.protocols.maven.versions import version_key
from shared.protocols.maven.xml import BadXml, parse
from shared.protocols.roles.importing import (
    Beside,
    Damaged,
    Imported,
    Importing,
    Listed,
    NotMine,
    Page,
    Told,
)

_KNOWN = (".pom", ".jar", ".war", ".ear", ".aar", ".zip", ".module", ".asc", ".tar.gz", ".so", ".dll", ".exe")


class MavenImporting(Importing):
    """Artifacts by their place in the layout. The POM beside a file says where the layout begins."""

    def may_be(self, parts: Sequence[str]) -> bool:
        return len(parts) > 3 and parts[-1].endswith(_KNOWN)

    def told(self, parts: Sequence[str], beside: Beside) -> tuple[Told, ...]:
        """The checksum files beside it, which a repository has and ~/.m2 mostly too."""
        found = []
        for algorithm in ("sha512", "sha256", "sha1", "md5"):
            text = (beside(f"{parts[-1]}.{algorithm}") or b"").decode("ascii", "replace").split()
            found += [Told((algorithm,), text[0].lower())] if text else []
        return tuple(found)

    def read(self, parts: Sequence[str], file: BinaryIO, size_bytes: int, beside: Beside) -> Listed:
        *folders, artifact, version, filename = parts
        if not names.belongs(artifact, version, filename):
            raise NotMine("its name is not that of an artifact in the folder of a version")
        if version.endswith(names.SNAPSHOT):
            raise Damaged("a snapshot, which may change: only releases are imported")
        if not file.read(8).startswith(MavenArchive().magics_of(filename) or b""):
            raise Damaged("it does not begin as files of its kind do")
        file.seek(0)
        own = f"{artifact}-{version}.pom"
        content = file.read(MAX_POM_BYTES + 1) if filename == own else beside(own)
        group = ".".join(folders)
        if content is not None:
            pom = _pom(content)
            if (pom.artifact, pom.version or version) != (artifact, version) and "${" not in pom.version:
                raise Damaged(f"its POM is another artifact's: {pom.artifact} {pom.version}")
            if pom.group and not f".{group}".endswith(f".{pom.group}"):
                raise Damaged(f"it lies in the folder of another group than its POM's: {pom.group}")
            group = pom.group or group
        path = f"{group.replace('.', '/')}/{artifact}/{version}/{filename}"
        try:
            found = classify("GET", b"/" + path.encode())
        except (RouteNotFound, MalformedRequest) as error:
            raise NotMine(str(error)) from None
        if found.kind != "artifact" or found.sidecar or found.pointer:
            raise NotMine("nothing of this name is an artifact's own file")
        return Listed(found.project, version, filename, path)

    def project_at(self, path: str) -> str | None:
        folders, _, name = path.rpartition("/")
        group, _, artifact = folders.rpartition("/")
        project = f"{group.replace('/', '.')}:{artifact}"
        return project if name == names.METADATA and names.is_project(project) else None

    def page(self, path: str, address: str, files: Sequence[Imported]) -> Page | None:
        if not files:
            return None
        group, _, artifact = files[0].listed.project.partition(":")
        versions = sorted({each.listed.version for each in files}, key=version_key)
        root = Element("metadata")
        SubElement(root, "groupId").text = group
        SubElement(root, "artifactId").text = artifact
        versioning = SubElement(root, "versioning")
        for name in ("latest", "release"):
            SubElement(versioning, name).text = versions[-1]
        listed = SubElement(versioning, "versions")
        for each in versions:
            SubElement(listed, "version").text = each
        indent(root)
        return Page("application/xml", bytes(tostring(root, encoding="UTF-8", xml_declaration=True)))


def _pom(content: bytes) -> Pom:
    if len(content) > MAX_POM_BYTES:
        raise Damaged(f"its POM has more than {MAX_POM_BYTES} bytes")
    try:
        return read_pom(parse(content, "project"))
    except BadXml as error:
        raise Damaged(f"its POM cannot be read: {error}") from None
