"""Maven's table of an ensure file: coordinates; each plugin is resolved by itself, as Maven does.

A lock is exported as a `dependencyManagement` element that pins what a Maven build resolves (POM reference
4.0.0).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from shared.protocols.lock import Lock, LockedDocument, LockedPackage, graphs_of
from shared.protocols.maven.coordinates import PLUGIN
from shared.protocols.maven.project import is_project
from shared.protocols.reading.purls import read_purl
from shared.protocols.roles.locks import Export, Locks, Manifest, RootRequirement, Table


def dependency_management(lock: Lock) -> bytes:
    """One entry for each artifact, type and classifier of the dependencies; plugins have their own."""
    root = Element("dependencyManagement")
    entries = SubElement(root, "dependencies")
    for package in sorted(lock.protocols["maven"].packages, key=lambda each: (each.name, each.purl)):
        qualifiers = read_purl(package.purl).qualifiers
        group, _, artifact = package.name.partition(":")
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


def verification_metadata(lock: Lock) -> bytes:
    """Gradle's verification-metadata.xml with the SHA256 of every file, plugins and POMs too. Metadata is not
    to be verified: Gradle reads .module files besides, which no lock lists."""
    root = Element("verification-metadata", xmlns="https://schema.gradle.org/dependency-verification")
    configuration = SubElement(root, "configuration")
    SubElement(configuration, "verify-metadata").text = "false"
    SubElement(configuration, "verify-signatures").text = "false"
    components = SubElement(root, "components")
    files: dict[tuple[str, str], dict[str, str]] = {}
    for graph in graphs_of(lock.protocols["maven"]):
        named: list[LockedPackage | LockedDocument] = [*graph.packages, *graph.documents]
        for each in named:
            files.setdefault((each.name, each.version), {})[each.filename] = each.sha256
    for (name, version), digests in sorted(files.items()):
        group, _, artifact = name.partition(":")
        component = SubElement(components, "component", group=group, name=artifact, version=version)
        for filename, sha256 in sorted(digests.items()):
            one = SubElement(component, "artifact", name=filename)
            SubElement(one, "sha256", value=sha256, origin="Orchard")
    indent(root)
    return bytes(tostring(root, encoding="UTF-8", xml_declaration=True)) + b"\n"


class MavenTable(Table, frozen=True):
    """`[maven]`."""

    dependencies: tuple[str, ...] = ()
    plugins: tuple[str, ...] = ()
    project: str = ""  # a whole POM, in place of `dependencies`


class MavenLocks(Locks):
    """A `dependencyManagement` element, and Gradle's checksums."""

    table: ClassVar[type[Table] | None] = MavenTable
    requirements_in: ClassVar[str] = "dependencies"
    manifests: ClassVar[Mapping[str, Manifest]] = {
        "pom.xml": Manifest(re.compile(r"(?:.*[-_.])?pom\.xml|.+\.pom"), "project")
    }
    not_taken: ClassVar[Mapping[str, str]] = dict.fromkeys(
        ("build.gradle", "build.gradle.kts", "settings.gradle", "settings.gradle.kts", "libs.versions.toml"),
        "the gradle.lockfile of `gradle dependencies --write-locks`, or gradle/verification-metadata.xml",
    )
    exports: ClassVar[Mapping[str, Export]] = {
        "dependency-management.xml": Export("application/xml", lambda lock, _: dependency_management(lock)),
        "verification-metadata.xml": Export(
            "application/xml", lambda lock, _: verification_metadata(lock), of_pins=True
        ),
    }

    def roots(self, table: MavenTable) -> Iterator[RootRequirement]:
        for index, text in enumerate(table.dependencies):
            yield ("dependencies", index), text
        if table.project:
            yield ("project",), table.project

    def apart(self, table: MavenTable) -> Iterator[RootRequirement]:
        for index, text in enumerate(table.plugins):
            yield ("plugins", index), _plugin(text)

    def shown(self, roots: Sequence[str], apart: Sequence[str], project: str) -> dict[str, Any]:
        if len(roots) == 1 and is_project(roots[0]):
            return {"project": roots[0], "plugins": list(apart)}
        return {"dependencies": list(roots), "plugins": list(apart)}


def _plugin(text: str) -> str:
    """A plugin's coordinates with its type, by which it is known for one: "g:a:v" is enough in the file."""
    group, _, rest = text.strip().partition(":")
    artifact, _, version = rest.partition(":")
    return f"{group}:{artifact}:{PLUGIN}:{version}" if version and ":" not in version else text
