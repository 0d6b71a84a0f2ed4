"""Names in a Maven repository: what group, artifact, version and file names may be.

Maven's own model allows [A-Za-z0-9_.-] in ids; versions and file names are a little wider in the wild
("1.0+build", "2.0~rc"; "-SNAPSHOT" where a service builds what a branch holds). A folder of a group holds no
dot: "org.x" and "org/x" would be one project.
"""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Any, ClassVar

from shared.protocols.maven.popular import POPULAR
from shared.protocols.maven.versions import version_key
from shared.protocols.roles.grammar import Names

METADATA = "maven-metadata.xml"
CATALOG = "archetype-catalog.xml"
CHECKSUMS = ("md5", "sha1", "sha256", "sha512")
CHECKSUM_HEADER = "x-checksum-"  # before the name of a hash
SNAPSHOT = "-SNAPSHOT"
SIGNATURE = ".asc"  # after a file's name: its detached OpenPGP signature
MAX_CHARACTERS = 200  # of one segment

_GROUP_SEGMENT = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]*")
_ARTIFACT = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
_VERSION = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._+~!$@=-]*")
_UNIQUE_VERSION = re.compile(r"(.*)-[0-9]{8}\.[0-9]{6}-[0-9]{1,9}")
_UNIQUE = re.compile(r"[0-9]{8}\.[0-9]{6}-[0-9]{1,9}")
# What nearly every version looks like, and hardly any artifact: "1.0", "v1.0", "-7d2306cde8-1", a commit,
# a snapshot.
_TELLING = re.compile(r"v?[0-9].*|-.+|[0-9a-f]{7,40}|.+-SNAPSHOT")
_EXTENSION = re.compile(r".*\.[A-Za-z][A-Za-z0-9_+-]*")


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
    """Whether this can be a version."""
    return len(text) <= MAX_CHARACTERS and _VERSION.fullmatch(text) is not None


def is_filename(text: str) -> bool:
    """Whether this can be the name of a file."""
    return is_version(text) and not text.startswith("-")


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


def is_guest(folders: list[str], filename: str) -> bool:
    """Whether a file of another name can lie in these folders, the last of them a version's.

    sbt before 1.9 leaves "_2.12_1.0" out of its files' names, Ivy keeps ivy-1.0.xml there, Gradle's modules
    name files by any `url`. A folder that could as well be an artifact's, and a name that could be a
    version's folder ("1.0"), are none. Nor is what "1/2" as a version or "x/1/y" as a classifier would make
    of another artifact's address: it would get past that one's pins and blocks.
    """
    if not _TELLING.fullmatch(folders[-1]) or not _EXTENSION.fullmatch(filename):
        return False
    return not any(
        _TELLING.fullmatch(version) and lower.startswith(f"{artifact}-{version}")
        for at, (artifact, version) in enumerate(pairwise(folders), 2)
        for lower in folders[at:]
    )


def is_mutable(version: str, filename: str) -> bool:
    """Whether a file of this folder may change: that of a snapshot without a timestamp in its name."""
    return version.endswith(SNAPSHOT) and (SNAPSHOT in filename or not _UNIQUE.search(filename))


def is_document(filename: str) -> bool:
    """Whether a file is small by its kind, and worth keeping as it was last seen."""
    return filename.endswith((".pom", ".module", SIGNATURE))


def base_version(version: str) -> str:
    """1.0-SNAPSHOT for 1.0-20240101.120000-1; all others as they are. The builds of a snapshot lie in its
    folder, and are blocked with it."""
    unique = _UNIQUE_VERSION.fullmatch(version)
    return f"{unique[1]}{SNAPSHOT}" if unique else version


def meant_patterns(pattern: str) -> tuple[str, ...]:
    """A group alone means all artifacts in it."""
    return (pattern,) if ":" in pattern else (pattern, f"{pattern}:*")


def pin_names(project: str) -> tuple[str, ...]:
    """An artifact's own, then its group's."""
    return (project, f"{project.partition(':')[0]}:*")


def group_prefix(name: str) -> str:
    """ "com.acme:" of "com.acme:*"."""
    group, _, artifact = name.partition(":")
    return f"{group}:" if artifact == "*" and all(map(is_group_segment, group.split("."))) else ""


def purl_parts(project: str) -> tuple[str, str]:
    """The group is the namespace."""
    group, _, artifact = project.rpartition(":")
    return group, artifact


class MavenNames(Names):
    """Names are "{groupId}:{artifactId}"."""

    osv_ecosystem: ClassVar[str] = "maven"
    attests: ClassVar[bool] = False  # signatures lie beside its files
    purl_type: ClassVar[str] = "maven"
    signs_files: ClassVar[bool] = True
    popular: ClassVar[frozenset[str]] = POPULAR
    example: ClassVar[str] = "group:artifact or group:*"

    is_project_name = staticmethod(is_project)
    is_version = staticmethod(is_version)
    canonical_version = staticmethod(base_version)
    pin_names = staticmethod(pin_names)
    group_prefix = staticmethod(group_prefix)
    meant_patterns = staticmethod(meant_patterns)
    purl_parts = staticmethod(purl_parts)

    def named_version(self, text: str) -> tuple[str, str]:
        """Also as Gradle's builds have it: "group:artifact:1.0"."""
        group, _, rest = text.partition(":")
        artifact, _, version = rest.partition(":")
        return (f"{group}:{artifact}", version) if version else super().named_version(text)

    def version_key(self, version: str) -> Any:
        return version_key(version) if version else None

    def project_of_purl(self, namespace: str, name: str) -> str:
        return f"{namespace}:{name}"
