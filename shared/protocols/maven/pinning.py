"""Gradle's locks, read as pins: lock files ("Locking Versions") and verification-metadata.xml ("Dependency
Verification", both of the Gradle User Manual)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, ClassVar
from xml.etree.ElementTree import Element

from shared.errors import EnsureInvalid, MalformedRequest, RouteNotFound, UriTooLong
from shared.models import FileName
from shared.protocols.maven import names
from shared.protocols.maven.coordinates import make_artifact, read_filename
from shared.protocols.maven.paths import classify
from shared.protocols.maven.xml import BadXml, parse
from shared.protocols.reading.lock_text import MOST_PINS, Digests, Part, shown, text_of
from shared.protocols.reading.purls import Purl
from shared.protocols.roles.pins import Elsewhere, LockKind, LockRead, Pin, Pins

_ALGORITHMS = ("md5", "sha1", "sha256", "sha512")
_UNSAFE = re.compile(r"[^A-Za-z0-9._+~!$@=-]")


def read_lockfile(body: bytes) -> LockRead:
    """`group:artifact:version=configurations`, or without those before Gradle 7. A module is its POM, and the
    jar beside it where there is one: a lock file tells neither files nor digests."""
    found = _Found()
    for number, line in enumerate(text_of(body).split("\n"), 1):
        text = line.strip()
        if not text or text.startswith(("#", "empty=")):
            continue
        at = Part({}, f"line {number}")
        parts = text.partition("=")[0].split(":")
        if len(parts) != 3:
            raise at.fault(f"`{shown(text)}` is no group:artifact:version")
        group, artifact, version = parts
        found.add(at, group, artifact, version, f"{artifact}-{version}.pom", ())
        found.add(at, group, artifact, version, f"{artifact}-{version}.jar", (), optional=True)
    return found.read()


def read_verification(body: bytes) -> LockRead:
    """Artifacts with their checksums; what is trusted by a signature alone has no digest to compare."""
    text = text_of(body)
    try:
        root = parse(text.encode(), "verification-metadata", attributes=True)
    except BadXml as error:
        raise EnsureInvalid(str(error)) from None
    found = _Found()
    for number, component in enumerate(root.findall("components/component"), 1):
        group, name, version = (component.get(each, "") for each in ("group", "name", "version"))
        for artifact in component.findall("artifact"):
            file = artifact.get("name", "")
            at = Part({}, f"component {number}, `{shown(f'{group}:{name}:{version}')}`, `{shown(file)}`")
            found.add(at, group, name, version, file, _digests(at, artifact))
    return found.read()


def _digests(at: Part, artifact: Element) -> Digests:
    found = {}
    for algorithm in _ALGORITHMS:
        told = [
            each.get("value", "")
            for checksum in artifact.findall(algorithm)
            for each in (checksum, *checksum.findall("also-trust"))
        ]
        if told:
            found[algorithm] = " ".join(at.digests({algorithm: each})[0][1] for each in told)
    return tuple(sorted(found.items()))


class _Found:
    """Collects pins, up to the bound."""

    def __init__(self) -> None:
        self._pins: dict[Pin, None] = {}
        self._elsewhere: dict[Elsewhere, None] = {}

    def add(
        self,
        at: Part,
        group: str,
        artifact: str,
        version: str,
        filename: str,
        digests: Digests,
        *,
        optional: bool = False,
    ) -> None:
        project = f"{group}:{artifact}"
        if not names.is_project(project):
            raise at.fault("its group and name cannot be an artifact's")
        if version.endswith(names.SNAPSHOT) or names.base_version(version) != version:
            self._elsewhere[Elsewhere(project, f"{shown(version)} is a snapshot, which changes")] = None
            return
        if not _lies_at(group, artifact, version, filename):
            raise at.fault(f"`{shown(filename)}` cannot be a file of version `{shown(version)}`")
        self._pins[Pin(project, version, filename, digests, optional)] = None
        if len(self._pins) > MOST_PINS:
            raise EnsureInvalid(f"it names more than {MOST_PINS} files")

    def read(self) -> LockRead:
        return LockRead(list(self._pins), list(self._elsewhere))


def _lies_at(group: str, artifact: str, version: str, filename: str) -> bool:
    """Whether a repository can hold the file there: what its address would be read as."""
    if any(map(_UNSAFE.search, (version, filename))) or names.split_checksum(filename)[1]:
        return False
    try:
        resource = classify("GET", f"/{group.replace('.', '/')}/{artifact}/{version}/{filename}".encode())
    except (MalformedRequest, RouteNotFound, UriTooLong):
        return False
    return (resource.kind, resource.project, resource.file_id) == ("artifact", f"{group}:{artifact}", version)


class MavenPins(Pins):
    """A file lies where its name says: no index is asked."""

    kinds: ClassVar[Mapping[str, LockKind]] = {
        "gradle.lockfile": LockKind(read_lockfile, re.compile(r".+\.lockfile")),
        "verification-metadata.xml": LockKind(
            read_verification, re.compile(r"verification-metadata(?:\..+)?\.xml")
        ),
    }
    reads_index: ClassVar[bool] = False

    def find(self, document: Any, pin: Pin) -> FileName:
        return FileName("maven", pin.name, pin.version, pin.filename)

    def of_purl(self, purl: Purl, digests: tuple[tuple[str, str], ...]) -> Pin:
        group, name, version, told = purl.namespace, purl.name, purl.version, purl.qualifiers
        made = make_artifact(group, name, version, told.get("type", ""), told.get("classifier", ""))
        if version.endswith(names.SNAPSHOT) or not _lies_at(group, name, version, made.filename):
            raise ValueError("it cannot be the name of a file that stays as it is")
        return Pin(made.project, version, made.filename, digests)

    def qualifiers(self, pin: Pin, filename: str) -> dict[str, str]:
        found = read_filename(pin.name, pin.version, filename)
        if found is None:
            return {"file_name": filename}
        classifier = {"classifier": found.classifier} if found.classifier else {}
        return {"type": found.extension, **classifier}
