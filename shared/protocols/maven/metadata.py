"""Reading a POM: what it declares, into an extraction (POM reference 4.0.0).

Declared only, as written: parents, imported BOMs and properties are applied in `effective.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import BinaryIO, ClassVar

from shared.models import Dependency, Extraction
from shared.protocols.maven.licences import licence_of
from shared.protocols.maven.model import Coordinates, RawDependency, decode_pom, encode_pom, read_pom
from shared.protocols.maven.xml import BadXml, parse
from shared.protocols.reading.magics import COMMON, ZIP
from shared.protocols.roles.archive import Archive

MAX_POM_BYTES = 4 * 1024 * 1024


def is_extractable(filename: str) -> bool:
    """Only POMs declare dependencies."""
    return filename.endswith(".pom")


def extract(file: BinaryIO, size_bytes: int) -> Extraction:
    """The declared dependencies of a POM, with its model; see `Archive.extract`."""
    if size_bytes > MAX_POM_BYTES:
        return _refused(f"size: a POM of more than {MAX_POM_BYTES} bytes")
    try:
        root = parse(file.read(MAX_POM_BYTES + 1), "project")
        pom = read_pom(root)
    except BadXml as error:
        return _refused(str(error))
    licence, parent = licence_of(root), pom.parent
    return Extraction(
        sha256="",
        state="extracted",
        name=f"{pom.group}:{pom.artifact}"[:512],
        version=pom.version,
        dependencies=tuple(dependency(*each) for each in enumerate(pom.own.dependencies)),
        model=encode_pom(pom),
        licence="" if licence is None and parent is None else licence,
        licence_at=None if licence is not None or parent is None else _pom_of(parent),
    )


def _pom_of(at: Coordinates) -> tuple[str, str, str]:
    return f"{at.group}:{at.artifact}", at.version, f"{at.artifact}-{at.version}.pom"


def dependency(position: int, raw: RawDependency) -> Dependency:
    """A dependency element as a row. What still holds a "${" is marked `unresolved`, never guessed."""
    texts = (raw.group, raw.artifact, raw.version, raw.type, raw.classifier, raw.scope, raw.optional)
    return Dependency(
        position=position,
        requirement=requirement(raw),
        name=f"{raw.group}:{raw.artifact}"[:512],
        specifier=raw.version,
        marker="unresolved" if any("${" in text for text in texts) else "",
        optional=raw.optional == "true",
        kind=(raw.scope or "compile")[:64],
    )


def requirement(raw: RawDependency) -> str:
    """One line: group:artifact[:type[:classifier]][:version] [!excluded …], as Maven's tools write it."""
    parts = [raw.group, raw.artifact]
    if raw.classifier or raw.type not in ("", "jar"):
        parts.append(raw.type or "jar")
    if raw.classifier:
        parts.append(raw.classifier)
    if raw.version:
        parts.append(raw.version)
    line = " ".join([":".join(parts), *(f"!{excluded}" for excluded in raw.exclusions)])
    return line[:16_000]  # of a column's 65,536 bytes


def _refused(reason: str) -> Extraction:
    return Extraction(sha256="", state="unextractable", reason=reason)


class MavenArchive(Archive):
    """POMs; a jar does not declare its dependencies."""

    is_extractable = staticmethod(is_extractable)
    has_model = staticmethod(is_extractable)
    magics: ClassVar[Mapping[str, tuple[bytes, ...]]] = {**COMMON, ".jar": ZIP}

    def extract(self, filename: str, file: BinaryIO, size_bytes: int) -> tuple[Extraction, bytes | None]:
        return extract(file, size_bytes), None

    def reads_model(self, model: bytes) -> bool:
        return bool(model) and decode_pom(model) is not None
