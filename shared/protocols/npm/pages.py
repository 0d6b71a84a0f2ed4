"""What clients get for a document of npm: packuments in both forms, documents of one version.

They are the upstream's text with Orchard's tarball addresses. All other values are copied as they are, byte
for byte; one version is taken apart at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from io import BytesIO
from typing import Any

import msgspec

from shared.errors import UpstreamInvalid
from shared.models import SealedFile
from shared.protocols.npm import blocking, freezing, names
from shared.protocols.npm.dist import hashes_of, own_digests
from shared.protocols.npm.document import Document, Notes, decode_document, encode_document
from shared.protocols.npm.names import ONE_FILE_ID
from shared.protocols.npm.negotiation import ABBREVIATED, FULL
from shared.protocols.npm.semver import parse_version
from shared.protocols.npm.tags import shown_tags
from shared.protocols.npm.traits import runs_scripts
from shared.protocols.reading.json_text import Fields, Raw, fields_of, value_of
from shared.protocols.roles.pages import Pages, Rendering

# npm registry documentation, "Abbreviated version object", and what clients read since.
_SHORT = frozenset(
    {
        "name", "version", "deprecated", "dependencies", "acceptDependencies", "optionalDependencies",
        "devDependencies", "bundleDependencies", "bundledDependencies", "peerDependencies",
        "peerDependenciesMeta", "bin", "directories", "dist", "engines", "_hasShrinkwrap",
        "hasInstallScript", "cpu", "os", "libc", "funding",
    }
)  # fmt: skip

Sealed = Mapping[tuple[str, str], SealedFile]

_encode = msgspec.json.Encoder().encode


def render(document: Document, base_url: str, sealed: Sealed) -> dict[str, Rendering]:
    """Every representation of a document; `base_url` is the public address of the mount point."""
    if document.kind == "packument":
        return _packument(document, base_url, sealed)
    if document.kind == "version":
        version = next(iter(document.versions))
        body = _encode(_served(document, version, base_url, sealed))
        return {"full": Rendering(body, FULL, is_changed=bool(_added(document, version, sealed)))}
    return {"full": Rendering(lambda: bytes(document.envelope.text), FULL)}


def instead(identity: str, listing: bytes) -> bytes | None:
    """See `Pages.instead`. A packument holds what the document of a version does."""
    kind, _, tag = names.split_identity(identity)
    if kind != "version" or parse_version(tag):
        return None
    packument = decode_document(listing)
    version = _tags(packument).get(tag)
    raw = packument.versions.get(version or "")
    if version is None or raw is None:
        return None
    notes = packument.notes
    held = Notes(
        filenames={version: packument.filename(version)},
        dists={version: notes.dists[version]} if version in notes.dists else {},
    )
    return encode_document(identity, packument.envelope.url, held, memoryview(raw))


def _tags(document: Document) -> dict[str, str]:
    declared = value_of(document.top.get("dist-tags"))
    return shown_tags(declared, document.notes.hidden, document.versions, document.is_deprecated)


def _packument(document: Document, base_url: str, sealed: Sealed) -> dict[str, Rendering]:
    tags = _tags(document)
    changed = any(_added(document, version, sealed) for version in document.versions) if sealed else False

    def full() -> bytes:
        top = dict(document.top)
        time = _time(document)
        if time or document.time:
            top["time"] = Raw(_encode(time))
        if "dist-tags" in top:
            top["dist-tags"] = Raw(_encode(tags))
        start = BytesIO()
        start.write(b"{")
        for key, raw in top.items():
            if key != "versions":
                start.write(_encode(key) + b":")
                start.write(memoryview(raw))
                start.write(b",")
        return _with_versions(start, document, lambda version: _served(document, version, base_url, sealed))

    def abbreviated() -> bytes:
        brief = {"name": document.name, "modified": _modified(_time(document)), "dist-tags": tags}
        start = BytesIO()
        start.write(_encode({key: value for key, value in brief.items() if value is not None})[:-1] + b",")
        return _with_versions(
            start, document, lambda version: _abbreviated(_served(document, version, base_url, sealed))
        )

    return {
        "full": Rendering(full, FULL, is_changed=changed),
        "abbreviated": Rendering(abbreviated, ABBREVIATED, is_changed=changed),
        "dist-tags": Rendering(_encode(tags), FULL),
    }


def _with_versions(out: BytesIO, document: Document, shown: Callable[[str], Fields]) -> bytes:
    """The rest of a packument, one version taken apart at a time."""
    out.write(b'"versions":{')
    comma = b""
    for version in document.versions:
        out.write(comma + _encode(version) + b":" + _encode(shown(version)))
        comma = b","
    out.write(b"}}")
    return out.getvalue()


def _served(document: Document, version: str, base_url: str, sealed: Sealed) -> Fields:
    """A version's object with Orchard's addresses of its tarball and attestations; its other values as they
    were."""
    fields = fields_of(document.versions[version])
    address = f"{base_url}/{document.name}/-/{document.filename(version)}"
    dist = {**document.dist(version), "tarball": Raw(_encode(address))}
    dist |= {key: Raw(_encode(value)) for key, value in _added(document, version, sealed).items()}
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


def _added(document: Document, version: str, sealed: Sealed) -> dict[str, str]:
    """The digests of a stored tarball whose version shows none."""
    file = sealed.get((ONE_FILE_ID, document.filename(version))) if sealed else None
    if file is None or not file.digests or hashes_of(document.dist(version)):
        return {}
    return own_digests(file)


def _escaped(name: str) -> str:
    """A name in an address, as npm writes it: a scope's slash encoded."""
    return name.replace("/", "%2f")


def _abbreviated(fields: Fields) -> Fields:
    short = {key: raw for key, raw in fields.items() if key in _SHORT}
    if "hasInstallScript" not in short and runs_scripts(fields):
        short["hasInstallScript"] = Raw(b"true")
    return short


def _modified(time: dict[str, Any]) -> str | None:
    """When the document changed last: clients with a minimum age ask for nothing more of an old one."""
    declared = time.get("modified")
    if isinstance(declared, str):
        return declared
    return max((value for value in time.values() if isinstance(value, str)), default=None)


def _time(document: Document) -> dict[str, Any]:
    """`time` with every version that is shown in it, for clients with a minimum age refuse versions without
    one; and with none that is hidden."""
    hidden = document.notes.hidden
    time = {key: value for key, value in document.time.items() if key not in hidden}
    if not document.notes.times:
        return time
    time = {**time, **document.notes.times}
    moments = sorted(value for value in time.values() if isinstance(value, str))
    return {"created": moments[0], "modified": moments[-1], **time}


class NpmPages(Pages):
    """Documents with the tarballs' addresses here."""

    per_base_url = staticmethod(names.has_addresses)
    without_blocked = staticmethod(blocking.without_blocked)
    instead = staticmethod(instead)
    wants_previous = staticmethod(freezing.wants_previous)
    carry_over = staticmethod(freezing.carry_over)

    def rewrite_index(
        self, identity: str, document: Document, *, sealed: Sealed, base_url: str
    ) -> dict[str, Rendering]:
        if identity != document.envelope.identity:
            raise UpstreamInvalid("the stored document is of another package")
        return render(document, base_url, sealed)

    def mutated_files(self, document: Document, sealed: Sealed) -> list[tuple[SealedFile, str]]:
        changed = document.notes.mutated
        return [(held, changed[name]) for (_, name), held in sorted(sealed.items()) if name in changed]
