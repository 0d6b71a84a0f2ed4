"""Finished documents: the upstream's text with Orchard's tarball addresses, full and abbreviated.

All other values are copied as they are, byte for byte; one version is taken apart at a time.
"""

from __future__ import annotations

from collections.abc import Mapping
from io import BytesIO
from typing import Any

import msgspec

from shared.models import SealedFile
from shared.protocols.base import Rendering
from shared.protocols.json_text import Fields, Raw, fields_of, value_of
from shared.protocols.npm.dist import hashes_of, own_digests
from shared.protocols.npm.document import Document
from shared.protocols.npm.names import ONE_FILE_ID
from shared.protocols.npm.negotiation import ABBREVIATED, FULL
from shared.protocols.npm.tags import shown_tags

# npm registry documentation, "Abbreviated version object", and what clients read since.
_SHORT = frozenset(
    {
        "name", "version", "deprecated", "dependencies", "acceptDependencies", "optionalDependencies",
        "devDependencies", "bundleDependencies", "bundledDependencies", "peerDependencies",
        "peerDependenciesMeta", "bin", "directories", "dist", "engines", "_hasShrinkwrap",
        "hasInstallScript", "cpu", "os", "libc", "funding",
    }
)  # fmt: skip
_INSTALL_SCRIPTS = ("preinstall", "install", "postinstall")

Sealed = Mapping[tuple[str, str], SealedFile]

_encode = msgspec.json.Encoder().encode


def render(document: Document, base_url: str, sealed: Sealed) -> dict[str, Rendering]:
    """Every representation of a document; `base_url` is the public address of the mount point."""
    if document.kind == "packument":
        return _packument(document, base_url, sealed)
    if document.kind == "version":
        version = next(iter(document.versions))
        return {"full": Rendering(_encode(_served(document, version, base_url, sealed)), FULL)}
    return {"full": Rendering(bytes(document.envelope.text), FULL)}


def _packument(document: Document, base_url: str, sealed: Sealed) -> dict[str, Rendering]:
    top = dict(document.top)
    time = _time(document)
    told = value_of(top.get("dist-tags"))
    tags = shown_tags(told, document.notes.hidden, document.versions, document.is_deprecated)
    if time:
        top["time"] = Raw(_encode(time))
    if "dist-tags" in top:
        top["dist-tags"] = Raw(_encode(tags))
    full, short = BytesIO(), BytesIO()
    full.write(b"{")
    for key, raw in top.items():
        if key != "versions":
            full.write(_encode(key) + b":")
            full.write(memoryview(raw))
            full.write(b",")
    brief = {"name": document.name, "modified": _modified(time), "dist-tags": tags}
    short.write(_encode({key: value for key, value in brief.items() if value is not None})[:-1] + b",")
    for out in (full, short):
        out.write(b'"versions":{')
    comma = b""
    for version in document.versions:
        fields = _served(document, version, base_url, sealed)
        start = comma + _encode(version) + b":"
        full.write(start + _encode(fields))
        short.write(start + _encode(_abbreviated(fields)))
        comma = b","
    for out in (full, short):
        out.write(b"}}")
    return {
        "full": Rendering(full.getvalue(), FULL),
        "abbreviated": Rendering(short.getvalue(), ABBREVIATED),
        "dist-tags": Rendering(_encode(tags), FULL),
    }


def _served(document: Document, version: str, base_url: str, sealed: Sealed) -> Fields:
    """A version's object with Orchard's addresses of its tarball and attestations; its other values as they
    were."""
    fields = fields_of(document.versions[version])
    address = f"{base_url}/{document.name}/-/{document.filename(version)}"
    dist = {**document.dist(version), "tarball": Raw(_encode(address))}
    file = sealed.get((ONE_FILE_ID, document.filename(version))) if sealed else None
    if file is not None and file.digests and not hashes_of(dist):
        dist |= {key: Raw(_encode(value)) for key, value in own_digests(file).items()}
    attestations = fields_of(dist.get("attestations"))
    if "url" in attestations:
        attestations["url"] = Raw(
            _encode(f"{base_url}/-/npm/v1/attestations/{_escaped(document.name)}@{version}")
        )
        dist["attestations"] = Raw(_encode(attestations))
    fields["dist"] = Raw(_encode(dist))
    resolved = value_of(fields.get("_resolved"))
    if isinstance(resolved, str) and resolved.startswith(("http://", "https://")):
        fields["_resolved"] = dist["tarball"]
    return fields


def _escaped(name: str) -> str:
    """A name in an address, as npm writes it: a scope's slash encoded."""
    return name.replace("/", "%2f")


def _abbreviated(fields: Fields) -> Fields:
    short = {key: raw for key, raw in fields.items() if key in _SHORT}
    if "hasInstallScript" not in short and "scripts" in fields:
        scripts = value_of(fields["scripts"])
        if isinstance(scripts, dict) and any(scripts.get(name) for name in _INSTALL_SCRIPTS):
            short["hasInstallScript"] = Raw(b"true")
    return short


def _modified(time: dict[str, Any]) -> str | None:
    """When the document changed last: clients with a minimum age ask for nothing more of an old one."""
    told = time.get("modified")
    if isinstance(told, str):
        return told
    return max((value for value in time.values() if isinstance(value, str)), default=None)


def _time(document: Document) -> dict[str, Any]:
    """`time` with every version in it: clients with a minimum age refuse versions without one."""
    time = document.time
    if not document.notes.times:
        return time
    time = {**time, **document.notes.times}
    moments = sorted(value for value in time.values() if isinstance(value, str))
    return {"created": moments[0], "modified": moments[-1], **time}
