"""Names in a Maven repository: what group, artifact, version and file names may be.

Maven's own model allows [A-Za-z0-9_.-] in ids; versions and file names are a little wider in the wild
("1.0+build", "2.0~rc"). A folder of a group holds no dot: "org.x" and "org/x" would be one project.
"""

from __future__ import annotations

import re

METADATA = "maven-metadata.xml"
CHECKSUMS = ("md5", "sha1", "sha256", "sha512")
SNAPSHOT = "-SNAPSHOT"
MAX_CHARACTERS = 200  # of one segment

_GROUP_SEGMENT = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]*")
_ARTIFACT = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
_VERSION = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._+~!$@=-]*")
_UNIQUE = re.compile(r"[0-9]{8}\.[0-9]{6}-[0-9]{1,9}")


def is_group_segment(text: str) -> bool:
    """Whether a folder of a group's path can have this name."""
    return len(text) <= MAX_CHARACTERS and _GROUP_SEGMENT.fullmatch(text) is not None


def is_artifact(text: str) -> bool:
    """Whether this can be an artifactId."""
    return len(text) <= MAX_CHARACTERS and _ARTIFACT.fullmatch(text) is not None


def is_project(text: str) -> bool:
    """Whether this can be "{groupId}:{artifactId}"."""
    group, _, artifact = text.partition(":")
    return all(map(is_group_segment, group.split("."))) and is_artifact(artifact)


def is_version(text: str) -> bool:
    """Whether this can be a version, or the name of a file."""
    return len(text) <= MAX_CHARACTERS and _VERSION.fullmatch(text) is not None


def split_checksum(filename: str) -> tuple[str, str]:
    """The file whose checksum a name asks for, and the algorithm; "" if it is no checksum file."""
    stem, _, ending = filename.rpartition(".")
    return (stem, ending) if stem and ending in CHECKSUMS else (filename, "")


def belongs(artifact: str, version: str, filename: str) -> bool:
    """Whether a file's name is that of an artifact in the folder of this version.

    "{artifact}-{version}" and then a classifier or an extension (Maven repository layout); in the
    folder of a snapshot the version is also a timestamp with a build number.
    """
    rest = filename.removeprefix(f"{artifact}-")
    if rest == filename:
        return False
    if version.endswith(SNAPSHOT):
        base = version.removesuffix("SNAPSHOT")
        tail = rest.removeprefix(base)
        if tail == rest:
            return False
        unique = _UNIQUE.match(tail)
        tail = tail[unique.end() :] if unique else tail.removeprefix("SNAPSHOT")
        return tail[:1] in ("-", ".") and len(tail) > 1 and tail != rest.removeprefix(base)
    tail = rest.removeprefix(version)
    return tail != rest and tail[:1] in ("-", ".") and len(tail) > 1


def is_mutable(version: str, filename: str) -> bool:
    """Whether a file of this folder may change: a snapshot without a timestamp in its name."""
    return version.endswith(SNAPSHOT) and SNAPSHOT in filename


def is_document(filename: str) -> bool:
    """Whether a file is small by its kind, and worth keeping as it was last seen."""
    return filename.endswith((".pom", ".module", ".asc"))
