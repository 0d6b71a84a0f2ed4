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
from shared.protocols.reading.lock_text import Digests, Part, shown, text_of
from shared.protocols.reading.purls import Purl
from shared.protocols.roles.pins import Found, LockKind, LockRead, Pin, Pins

_ALGORITHMS = ("md5", "sha1", "sha256", "sha512")
_SIGNATURE = "pgp"  # what is trusted by a signature alone has this in place of a digest
_KEY = re.compile(r"[0-9A-Fa-f]{1,64}")
_TOLD = re.compile(r".*-[0-9].*\.[A-Za-z]+")
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
        found.add_file(at, group, artifact, version, f"{artifact}-{version}.pom", ())
        found.add_file(at, group, artifact, version, f"{artifact}-{version}.jar", (), optional=True)
    return found.read()


def read_verification(body: bytes) -> LockRead:
    """Artifacts with their checksums. Signatures are not checked here: by one alone a file is unverified."""
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
            found.add_file(at, group, name, version, file, _digests(at, artifact))
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
    keys = [each.get("value", "") for each in artifact.findall(_SIGNATURE)]
    if not found and not keys:
        raise at.fault("it has neither a checksum nor the key of a signature")
    if not found:
        if not all(map(_KEY.fullmatch, keys)):
            raise at.fault("the key of a signature is not hex")
        found[_SIGNATURE] = " ".join(each.lower() for each in keys)
    return tuple(sorted(found.items()))


class _Found(Found):
    """Of files by their coordinates."""

    def __init__(self) -> None:
        super().__init__(fits)

    def add_file(
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
            self.leave_out(project, f"{shown(version)} is a snapshot, which changes")
            return
        if not _lies_at(group, artifact, version, filename):
            raise at.fault(f"`{shown(filename)}` cannot be a file of version `{shown(version)}`")
        self.add(at, Pin(project, version, filename, digests, optional))


def fits(project: str, version: str, filename: str) -> bool:
    """`Fits`: a file's name begins with its artifact, and has its version behind a dash (Kotlin's
    `core-metadata-1.0-all.jar` is of `core`); where no number stands behind one it tells nothing."""
    if _TOLD.fullmatch(filename) is None:
        return True
    artifact = project.partition(":")[2]
    has_version = re.search(rf"-{re.escape(version)}(?![0-9A-Za-z]|\.[0-9])", filename)
    return filename.startswith(f"{artifact}-") and has_version is not None


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

    fits = staticmethod(fits)

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
