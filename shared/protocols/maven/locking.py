"""Maven's table of an ensure file: coordinates; each plugin is resolved by itself, as Maven does.

A lock is exported as a `dependencyManagement` element that pins what a Maven build resolves (POM reference
4.0.0).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from packageurl import PackageURL

from shared.protocols.lock import Lock
from shared.protocols.maven.coordinates import PLUGIN
from shared.protocols.roles.locks import Export, Locks, RootRequirement, Table


def dependency_management(lock: Lock) -> bytes:
    """One entry for each artifact, type and classifier of the dependencies; plugins have their own."""
    root = Element("dependencyManagement")
    entries = SubElement(root, "dependencies")
    for package in sorted(lock.protocols["maven"].packages, key=lambda each: (each.name, each.purl)):
        purl = PackageURL.from_string(package.purl)
        group, _, artifact = package.name.partition(":")
        qualifiers = purl.qualifiers if isinstance(purl.qualifiers, dict) else {}
        kind, classifier = qualifiers.get("type", ""), qualifiers.get("classifier", "")
        entry = SubElement(entries, "dependency")
        texts = {
            "groupId": group,
            "artifactId": artifact,
            "version": package.version,
            "type": kind if kind != "jar" else "",
            "classifier": classifier,
        }
        for name, text in texts.items():
            if text:
                SubElement(entry, name).text = text
    indent(root)
    return bytes(tostring(root, encoding="UTF-8", xml_declaration=True)) + b"\n"


class MavenTable(Table, frozen=True):
    """`[maven]`."""

    dependencies: tuple[str, ...] = ()
    plugins: tuple[str, ...] = ()


class MavenLocks(Locks):
    """A `dependencyManagement` element."""

    table: ClassVar[type[Table] | None] = MavenTable
    requirements_in: ClassVar[str] = "dependencies"
    exports: ClassVar[Mapping[str, Export]] = {
        "dependency-management.xml": Export("application/xml", lambda lock, _: dependency_management(lock)),
    }

    def roots(self, table: MavenTable) -> Iterator[RootRequirement]:
        for index, text in enumerate(table.dependencies):
            yield ("dependencies", index), text

    def apart(self, table: MavenTable) -> Iterator[RootRequirement]:
        for index, text in enumerate(table.plugins):
            yield ("plugins", index), _plugin(text)

    def shown(self, roots: Sequence[str], apart: Sequence[str]) -> dict[str, Any]:
        return {"dependencies": list(roots), "plugins": list(apart)}


def _plugin(text: str) -> str:
    """A plugin's coordinates with its type, by which it is known for one: "g:a:v" is enough in the file."""
    group, _, rest = text.strip().partition(":")
    artifact, _, version = rest.partition(":")
    return f"{group}:{artifact}:{PLUGIN}:{version}" if version and ":" not in version else text
