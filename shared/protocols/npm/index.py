"""Reading what an upstream sent as a document, and what of the last one must outlive a refresh."""

from __future__ import annotations

import codecs
from collections.abc import Mapping
from datetime import UTC, datetime

import msgspec

from shared.errors import UpstreamInvalid
from shared.models import SealedFile, UpstreamSource
from shared.protocols.base import IndexDocument
from shared.protocols.npm import names
from shared.protocols.npm.dist import hashes_of, served_name, tarball_url, why_refused
from shared.protocols.npm.document import (
    Document,
    Fields,
    Notes,
    encode_document,
    fields_of,
    value_of,
)

MAX_VERSIONS = 100_000
_CHUNK = 1 << 20
_PLAIN = ("keys", "attestations")

Sealed = Mapping[tuple[str, str], SealedFile]


def read_index(identity: str, source: UpstreamSource, *, url: str, body: bytes) -> IndexDocument:
    """The canonical document of an upstream's answer; see `PackageProxyBase.read_index`."""
    kind, name, spec = names.split_identity(identity)
    top = _load(body)
    if kind in _PLAIN:
        return IndexDocument(encode_document(identity, url, Notes(), body))
    if value_of(top.get("name", msgspec.Raw(msgspec.json.encode(name)))) != name:
        raise UpstreamInvalid("the upstream's document is of another package")
    if kind == "version":
        version = value_of(top.get("version"))
        if not isinstance(version, str) or (spec[:1].isdigit() and version != spec):
            raise UpstreamInvalid("the upstream's document is of another version")
        versions: Fields = {version: msgspec.Raw(body)}
    elif "versions" in top:
        versions = fields_of(top["versions"])
    elif "time" in top:  # all that is left of a package that was unpublished whole
        versions = {}
    else:
        raise UpstreamInvalid("the upstream's document has no versions")
    if len(versions) > MAX_VERSIONS:
        raise UpstreamInvalid(f"the upstream's document has more than {MAX_VERSIONS} versions")
    dropped: dict[str, str] = {}
    filenames: dict[str, str] = {}
    taken: set[str] = set()
    for version, raw in versions.items():
        if not names.is_spec(version):
            dropped[version] = "not a version"
            continue
        file_url = tarball_url(fields_of(fields_of(raw).get("dist")), url)
        filename = served_name(name, version, file_url)
        why = why_refused(file_url, source) or ("two files of one name" if filename in taken else "")
        if why:
            dropped[version] = why
            continue
        taken.add(filename)
        if filename != names.tarball_name(name, version):
            filenames[version] = filename
    if kind == "version" and dropped:
        raise UpstreamInvalid("the upstream's document of this version cannot be served")
    notes = Notes(hidden=frozenset(dropped), filenames=filenames)
    reasons = tuple(f"{why}: {ascii(version)[:80]}" for version, why in dropped.items())
    return IndexDocument(encode_document(identity, url, notes, body), reasons)


def wants_previous(document: Document, sealed: Sealed) -> bool:
    """Whether `carry_over` has anything to do: files are sealed, or the upstream does not tell times."""
    if document.kind in _PLAIN:
        return False
    return bool(sealed) or any(not isinstance(document.time.get(v), str) for v in document.versions)


def carry_over(document: Document, previous: Document | None, sealed: Sealed, now: float) -> bytes:
    """The canonical bytes with what was shown before and must stay; deterministic.

    First-seen times stay. `dist` of a sealed tarball stays as it was unless the new one has the same
    digests (new signatures over the same bytes are taken).
    """
    moment = datetime.fromtimestamp(now, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    times: dict[str, str] = {}
    if document.kind == "packument":
        seen = previous.notes.times | previous.time if previous is not None else {}
        for version in document.versions:
            if not isinstance(document.time.get(version), str):
                known = seen.get(version)
                times[version] = known if isinstance(known, str) else moment
    dists: dict[str, msgspec.Raw] = {}
    mutated: dict[str, str] = {}
    for _, filename in sorted(sealed):
        version = previous.known_version(filename) if previous is not None else ""
        if previous is None or not version:
            continue
        old, new = hashes_of(previous.dist(version)), hashes_of(document.upstream_dist(version))
        if old.items() <= new.items():
            continue
        dists[version] = msgspec.Raw(msgspec.json.encode(previous.dist(version)))
        changed = [
            new[algorithm] for algorithm in old.keys() & new.keys() if old[algorithm] != new[algorithm]
        ]
        if changed:
            mutated[filename] = max(changed, key=len)
    notes = msgspec.structs.replace(document.notes, times=times, dists=dists, mutated=mutated)
    envelope = document.envelope
    return encode_document(envelope.identity, envelope.url, notes, memoryview(envelope.text))


def _load(body: bytes) -> Fields:
    """The top of a JSON object; all of it has been looked through once. Bounded work and depth."""
    try:
        decoder = codecs.getincrementaldecoder("utf-8")()
        for start in range(0, len(body), _CHUNK):
            decoder.decode(body[start : start + _CHUNK])
        decoder.decode(b"", final=True)
        return msgspec.json.decode(body, type=Fields)
    except (msgspec.DecodeError, RecursionError, ValueError) as error:
        raise UpstreamInvalid("the upstream's document is not valid JSON") from error
