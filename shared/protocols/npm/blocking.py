"""Blocked versions hidden in a document, as versions that cannot be served are."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from shared.models import SealedFile
from shared.policy.project import ProjectVerdicts
from shared.protocols.npm import names
from shared.protocols.npm.document import decode_document, encode_document
from shared.protocols.npm.semver import parse_version
from shared.protocols.resource import Resource


def version_asked(resource: Resource) -> str:
    """The exact version that a request names; "" for a packument or a tag."""
    if resource.kind == "artifact":
        return names.version_told(resource.project, resource.filename) or resource.version
    kind, _, spec = names.split_identity(resource.identity) if resource.kind == "index" else ("", "", "")
    tells = kind in ("version", "attestations") and parse_version(spec)
    return names.canonical_version(spec) if tells else ""


def without_blocked(
    identity: str, body: bytes, verdicts: ProjectVerdicts, sealed: Mapping[tuple[str, str], SealedFile]
) -> bytes:
    """The canonical bytes with blocked versions hidden; the same bytes where there are none.

    Packuments tell no SHA256: bytes that are blocked hide the versions whose tarball is stored here.
    Raises `Blocked` for the document of one blocked version.
    """
    document = decode_document(body)
    if document.kind not in ("packument", "version"):
        return body
    spelled = {version: names.canonical_version(version) for version in document.versions}
    found = {
        version: verdicts.versions[spelling]
        for version, spelling in spelled.items()
        if spelling in verdicts.versions
    }
    for (_, filename), file in sealed.items():
        if file.sha256 in verdicts.digests:
            version = document.known_version(filename)
            if version:
                found.setdefault(version, verdicts.digests[file.sha256])
    if document.kind == "version":
        for version in document.versions:
            if version in found:
                raise found[version].refusal(f"{document.name} {version}")
        return body
    if not found:
        return body
    envelope = document.envelope
    notes = msgspec.structs.replace(envelope.notes, hidden=envelope.notes.hidden | found.keys())
    return encode_document(envelope.identity, envelope.url, notes, memoryview(envelope.text))
