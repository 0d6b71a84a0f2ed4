"""What a dependency points at: an artifact's coordinates, its file in the repository, its package URL.

A dependency has a type; the file has an extension and a classifier (Maven's artifact handlers).
Requirements are spelled as mvn spells coordinates: group:artifact[:type[:classifier]]:version.
"""

from __future__ import annotations

import re

import msgspec

from shared.errors import InvalidParameter
from shared.protocols.maven import names
from shared.protocols.maven.resolver.ranges import BadRange, is_range, parse_ranges
from shared.protocols.reading.purls import Purl

MAX_REQUIREMENT_CHARACTERS = 1000
PLUGIN = "maven-plugin"
# Type → extension and classifier, where they differ from the type itself (maven-core's artifact handlers).
_HANDLERS = {
    "ejb": ("jar", ""),
    "ejb-client": ("jar", "client"),
    "test-jar": ("jar", "tests"),
    "java-source": ("jar", "sources"),
    "javadoc": ("jar", "javadoc"),
    PLUGIN: ("jar", ""),
    "maven-archetype": ("jar", ""),
}
_FAT = frozenset({"war", "ear", "rar", "par"})  # they hold what they depend on
_CLASSIFIER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]*")
_TYPE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")

ConflictKey = tuple[str, str, str, str]


class Artifact(msgspec.Struct, frozen=True):
    """One artifact of a version, or of a version requirement."""

    group: str
    artifact: str
    version: str
    type: str = "jar"
    extension: str = "jar"
    classifier: str = ""

    @property
    def key(self) -> ConflictKey:
        """Of artifacts with one key a graph holds one version."""
        return self.group, self.artifact, self.extension, self.classifier

    @property
    def project(self) -> str:
        return f"{self.group}:{self.artifact}"

    @property
    def is_fat(self) -> bool:
        """Whether its dependencies are not followed, since it holds them."""
        return self.type in _FAT

    @property
    def folder(self) -> str:
        """The version whose folder it lies in: of a snapshot's build the snapshot."""
        return names.base_version(self.version)

    @property
    def filename(self) -> str:
        classifier = f"-{self.classifier}" if self.classifier else ""
        return f"{self.artifact}-{self.version}{classifier}.{self.extension}"

    @property
    def purl(self) -> str:
        qualifiers = {"type": self.extension}
        if self.classifier:
            qualifiers["classifier"] = self.classifier
        return str(Purl("maven", self.artifact, self.group, self.version, qualifiers))

    def __str__(self) -> str:
        parts = [self.group, self.artifact]
        if self.classifier or self.type != "jar":
            parts.append(self.type)
        if self.classifier:
            parts.append(self.classifier)
        return ":".join([*parts, self.version])


def make_artifact(group: str, artifact: str, version: str, kind: str, classifier: str) -> Artifact:
    """The artifact that a dependency of a type names; a classifier of its own wins over the type's."""
    extension, given = _HANDLERS.get(kind or "jar", (kind or "jar", ""))
    return Artifact(group, artifact, version, kind or "jar", extension, classifier or given)


def is_path(artifact: Artifact) -> bool:
    """Whether a repository can hold a file of this name (no range, no property, no trick)."""
    return (
        all(map(names.is_group_segment, artifact.group.split(".")))
        and names.is_artifact(artifact.artifact)
        and names.is_version(artifact.version)
        and (not artifact.classifier or _CLASSIFIER.fullmatch(artifact.classifier) is not None)
        and _TYPE.fullmatch(artifact.extension) is not None
    )


def read_requirement(text: str) -> Artifact:
    """The artifact of a requirement; its version may be a range, LATEST or RELEASE.

    Raises `InvalidParameter` saying what is wrong.
    """
    shown = ascii(text)[:120]
    if len(text) > MAX_REQUIREMENT_CHARACTERS:
        raise InvalidParameter(f"requirements: one is longer than {MAX_REQUIREMENT_CHARACTERS} characters")
    parts = text.strip().split(":")
    if not 3 <= len(parts) <= 5:
        raise InvalidParameter(
            f"requirements: {shown} is none of group:artifact:version, group:artifact:type:version, "
            "group:artifact:type:classifier:version"
        )
    group, artifact, *middle, version = (part.strip() for part in parts)
    kind, classifier = (*middle, "", "")[:2]
    made = make_artifact(group, artifact, version, kind, classifier)
    hard = is_range(version)
    try:
        if hard:
            parse_ranges(version)
    except BadRange as error:
        raise InvalidParameter(f"requirements: {error}") from None
    if not is_path(msgspec.structs.replace(made, version="1") if hard else made):
        raise InvalidParameter(f"requirements: {shown} cannot be the coordinates of a Maven artifact")
    return made


def read_filename(project: str, folder: str, filename: str) -> Artifact | None:
    """The artifact of a stored file; None if the name is not that of an artifact's file."""
    group, _, artifact = project.partition(":")
    rest = filename.removeprefix(f"{artifact}-")
    version = folder
    if folder.endswith(names.SNAPSHOT):
        unique = re.match(
            re.escape(folder.removesuffix("SNAPSHOT")) + r"(?:[0-9]{8}\.[0-9]{6}-[0-9]{1,9}|SNAPSHOT)", rest
        )
        version = unique[0] if unique else folder
    tail = rest.removeprefix(version)
    if tail in (rest, "") or rest == filename:
        return None
    classifier, dot, extension = tail.removeprefix("-").rpartition(".")
    if classifier.endswith(".tar"):
        classifier, extension = classifier.removesuffix(".tar"), f"tar.{extension}"
    if tail.startswith(".") and classifier:  # ".tar.gz": no classifier
        classifier, extension = "", tail[1:]
    if not dot or not extension:
        return None
    return Artifact(group, artifact, version, extension, extension, classifier)
