"""Reading a POM: what it declares, into an extraction (POM reference 4.0.0).

Declared only, as written: what parents, imported BOMs and properties make of it is in `pom.py`.
"""

from __future__ import annotations

from typing import BinaryIO
from xml.etree.ElementTree import Element

from shared.models import Dependency, Extraction
from shared.protocols.maven.xml import BadXml, children_of, parse, text_of

MAX_POM_BYTES = 4 * 1024 * 1024
MAX_DEPENDENCIES = 10_000
MAX_TEXT = 512  # characters of one id, version or scope


def is_extractable(filename: str) -> bool:
    """Only POMs declare dependencies."""
    return filename.endswith(".pom")


def extract(file: BinaryIO, size_bytes: int) -> Extraction:
    """The declared dependencies of a POM; see `PackageProxyBase.extract`."""
    if size_bytes > MAX_POM_BYTES:
        return _refused(f"size: a POM of more than {MAX_POM_BYTES} bytes")
    try:
        root = parse(file.read(MAX_POM_BYTES + 1), "project")
        dependencies = declared(root)
    except BadXml as error:
        return _refused(str(error))
    parent = root.find("parent")
    group = text_of(root, "groupId") or text_of(parent, "groupId")
    version = text_of(root, "version") or text_of(parent, "version")
    name = f"{group}:{text_of(root, 'artifactId')}"
    if len(name) > MAX_TEXT or len(version) > MAX_TEXT:
        return _refused("content: a name or version longer than any can be")
    return Extraction(sha256="", state="extracted", name=name, version=version, dependencies=dependencies)


def declared(root: Element) -> tuple[Dependency, ...]:
    """`project/dependencies` in their order. Raises `BadXml` beyond the bounds."""
    found: list[Dependency] = []
    for element in children_of(root, "dependencies", "dependency"):
        if len(found) == MAX_DEPENDENCIES:
            raise BadXml(f"size: more than {MAX_DEPENDENCIES} dependencies")
        found.append(_dependency(len(found), element))
    return tuple(found)


def _dependency(position: int, element: Element) -> Dependency:
    read = {
        key: text_of(element, key)
        for key in ("groupId", "artifactId", "version", "type", "classifier", "scope", "optional")
    }
    if not (read["groupId"] and read["artifactId"]) or any(len(text) > MAX_TEXT for text in read.values()):
        raise BadXml("content: a dependency without group or artifact, or with an impossible name")
    exclusions = [
        f"{text_of(each, 'groupId')}:{text_of(each, 'artifactId')}"
        for each in children_of(element, "exclusions", "exclusion")
    ]
    return Dependency(
        position=position,
        requirement=requirement(read, exclusions),
        name=f"{read['groupId']}:{read['artifactId']}",
        specifier=read["version"],
        marker="unresolved" if any("${" in text for text in read.values()) else "",
        optional=read["optional"] == "true",
        kind=read["scope"] or "compile",
    )


def requirement(read: dict[str, str], exclusions: list[str]) -> str:
    """One line: group:artifact[:type[:classifier]][:version] [!excluded …], as Maven's tools write it."""
    parts = [read["groupId"], read["artifactId"]]
    if read["classifier"] or read["type"] not in ("", "jar"):
        parts.append(read["type"] or "jar")
    if read["classifier"]:
        parts.append(read["classifier"])
    if read["version"]:
        parts.append(read["version"])
    return " ".join([":".join(parts), *(f"!{excluded}" for excluded in exclusions)])[:65536]


def _refused(reason: str) -> Extraction:
    return Extraction(sha256="", state="unextractable", reason=reason)
