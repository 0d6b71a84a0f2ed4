"""maven-metadata.xml: reading, merging those of several repositories, and rendering with checksums.

The document of a single repository is served byte for byte. Of several: the union of versions in Maven's
order, the newest `latest` and `release`, each snapshot file's newest build, all plugin prefixes
(repository metadata model 1.1.0).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from typing import Any
from xml.etree.ElementTree import Element, SubElement, indent, tostring

import msgspec

from shared.errors import UpstreamInvalid
from shared.models import FileEntry, FileName, UpstreamSource
from shared.policy.traits import Traits
from shared.protocols.maven import dates, names, paths
from shared.protocols.maven.upstream import content_type
from shared.protocols.maven.versions import version_key
from shared.protocols.maven.xml import BadXml, children_of, parse, text_of
from shared.protocols.roles.documents import Documents, IndexDocument
from shared.protocols.roles.pages import Rendering
from shared.protocols.roles.upstream import FileHeaders

MAX_VERSIONS = 50_000
_IDENTITY = ("identity",)


def read_index(identity: str, body: bytes, media_type: str) -> IndexDocument:
    """The body, if it is what was asked for. Raises `UpstreamInvalid` for a web page or broken XML."""
    if identity.startswith("metadata/"):
        _parse(body)
    elif identity.startswith("pointer/"):
        return IndexDocument(_which(body))
    elif media_type.partition(";")[0].strip().lower() == "text/html" or _is_web_page(body):
        raise UpstreamInvalid("the upstream sent a web page instead of a file")
    return IndexDocument(body)


def merge_documents(bodies: Sequence[bytes]) -> bytes:
    """One metadata document, in the order of the repositories; the only one as it is."""
    if len(set(bodies)) == 1:
        return bodies[0]
    roots = [_parse(body) for body in bodies]
    versionings = [found for root in roots if (found := root.find("versioning")) is not None]
    merged = Element("metadata")
    for name in ("groupId", "artifactId", "version"):
        _add(merged, name, next((text for root in roots if (text := text_of(root, name))), ""))
    if versionings:
        _merge_versioning(SubElement(merged, "versioning"), versionings)
    plugins = _by_first(roots, "plugins", "plugin", ("prefix",))
    if plugins:
        SubElement(merged, "plugins").extend(plugins)
    indent(merged)
    return bytes(tostring(merged, encoding="UTF-8", xml_declaration=True)) + b"\n"


def lists_versions(body: bytes) -> bool:
    """Whether it lists an artifact's versions: that of a group lists plugins."""
    root = _parse(body)
    versioning = root.find("versioning")
    if versioning is None:
        return False
    if text_of(versioning, "latest") or text_of(versioning, "release"):
        return True
    return any(each.text and each.text.strip() for each in children_of(versioning, "versions", "version"))


def renderings(identity: str, body: bytes) -> dict[str, Rendering]:
    """The document and the checksums of exactly these bytes."""
    if identity.startswith("pointer/"):
        return {"id": Rendering(body, "text/plain", _IDENTITY)}
    if identity.startswith("metadata/"):
        found = {"xml": Rendering(body, "application/xml")}
    else:
        found = {"file": Rendering(body, content_type(identity), _IDENTITY)}
    for algorithm in names.CHECKSUMS:
        digest = hashlib.new(algorithm, body, usedforsecurity=False).hexdigest()
        found[algorithm] = Rendering(digest.encode(), "text/plain", _IDENTITY)
    return found


def _which(body: bytes) -> bytes:
    """A short text for the file that is at a mutable address, by what its headers say; one without
    validators is taken for another one each time."""
    headers = msgspec.json.decode(body, type=FileHeaders)
    marks = (
        (headers.etag, headers.last_modified) if headers.etag or headers.last_modified else (headers.date,)
    )
    return hashlib.sha256("\n".join((*marks, headers.content_length)).encode()).hexdigest()[:32].encode()


def _parse(body: bytes) -> Element:
    try:
        root = parse(body, "metadata")
    except BadXml as error:
        raise UpstreamInvalid(f"the upstream's {names.METADATA}: {error}") from error
    if sum(1 for _ in children_of(root.find("versioning"), "versions", "version")) > MAX_VERSIONS:
        raise UpstreamInvalid(f"the upstream's {names.METADATA} lists more than {MAX_VERSIONS} versions")
    return root


def _is_web_page(body: bytes) -> bool:
    return body.lstrip()[:15].lower().startswith((b"<!doctype html", b"<html"))


def _merge_versioning(merged: Element, parts: list[Element]) -> None:
    for name in ("latest", "release"):
        given = [text for part in parts if names.is_version(text := text_of(part, name))]
        _add(merged, name, max(given, key=version_key, default=""))
    newest = max(parts, key=lambda part: (text_of(part.find("snapshot"), "timestamp"), _updated(part)))
    snapshot = newest.find("snapshot")
    if snapshot is not None:
        merged.append(snapshot)
    listed = {
        version.text.strip()
        for part in parts
        for version in children_of(part, "versions", "version")
        if version.text and names.is_version(version.text.strip())
    }
    if listed:
        versions = SubElement(merged, "versions")
        # Equal in Maven's order ("1" and "1.0") is not the same: the text decides then.
        for version in sorted(sorted(listed), key=version_key):
            _add(versions, "version", version)
    _add(merged, "lastUpdated", max(map(_updated, parts)))
    by_age = sorted(parts, key=_updated, reverse=True)
    files = _by_first(by_age, "snapshotVersions", "snapshotVersion", ("classifier", "extension"))
    if files:
        SubElement(merged, "snapshotVersions").extend(files)


def _by_first(parts: list[Element], group: str, name: str, keys: tuple[str, ...]) -> list[Element]:
    """The elements of all parts, of equal ones the first."""
    found: dict[tuple[str, ...], Element] = {}
    for part in parts:
        for element in children_of(part, group, name):
            found.setdefault(tuple(text_of(element, key) for key in keys), element)
    return list(found.values())


def _updated(part: Element) -> str:
    return text_of(part, "lastUpdated")  # yyyyMMddHHmmss: the order of text is the order of time


def _add(parent: Element, name: str, text: str) -> None:
    if text:
        SubElement(parent, name).text = text


class MavenDocuments(Documents):
    """Metadata, stored as it is, and pointers made from the headers of a file."""

    def read_index(
        self, identity: str, source: UpstreamSource, *, url: str, content_type: str, body: bytes
    ) -> IndexDocument:
        return read_index(identity, body, content_type)

    def decode_document(self, body: bytes) -> bytes:
        return body

    def find_file(
        self, document: Any, file: FileName, source: UpstreamSource | None = None
    ) -> FileEntry | None:
        return None  # no index lists files: `direct_entry` knows where each lies

    def entry_identities(self, file: FileName) -> tuple[str, ...]:
        return (paths.metadata_identity(file.project),)

    dated = staticmethod(dates.dated)
    dated_whole = staticmethod(dates.dated_whole)
    tags = staticmethod(dates.tags)
    dated_name = staticmethod(dates.dated_name)
    dates_version = staticmethod(dates.dates_version)
    stands_for_entry = staticmethod(dates.dates_version)
    dating_file = staticmethod(dates.dating_file)

    def traits(self, identity: str, document: bytes) -> Iterator[Traits]:
        return iter(())  # metadata says of a version that it is there

    def lists_files(self, identity: str, document: bytes) -> bool:
        project = paths.project_of(identity)
        if identity.startswith("metadata/"):
            return identity == paths.metadata_identity(project) and lists_versions(document)
        # A snapshot's POM is a file; a catalogue of archetypes is no project's.
        return not identity.startswith("pointer/") and project != ""

    def merges(self, identity: str) -> bool:
        return identity.startswith("metadata/")

    def merge_documents(self, identity: str, bodies: Sequence[bytes]) -> bytes:
        return merge_documents(bodies)
