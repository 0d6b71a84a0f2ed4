"""What of a packument outlives a refresh: first-seen times, and `dist` of tarballs that are sealed.

A lock file made yesterday names yesterday's digests; what upstream changes under a sealed name is
reported and not shown (ARCHITECTURE.md "Back-fill").
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

import msgspec

from shared.models import SealedFile
from shared.protocols.npm.dist import all_published, hashes_of, own_digests, share
from shared.protocols.npm.document import Document, encode_document
from shared.protocols.reading.json_text import Fields, Raw

Sealed = Mapping[tuple[str, str], SealedFile]

_encode = msgspec.json.Encoder().encode


def wants_previous(document: Document, sealed: Sealed) -> bool:
    """Whether `carry_over` has anything to do: the upstream lacks some times, or does not publish the
    digests of a sealed file. A packument may have 40 MB: the one before is not read for nothing."""
    if document.kind not in ("packument", "version"):
        return False
    undated = any(not isinstance(document.time.get(v), str) for v in document.versions)
    return undated or not all(_is_published(document, file) for file in sealed.values())


def carry_over(document: Document, previous: Document | None, sealed: Sealed, now: float) -> bytes | None:
    """The canonical bytes with what was shown before and must stay, None if there is none; deterministic.

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
    dists: dict[str, Raw] = {}
    mutated: dict[str, str] = {}
    for _, file in sorted(sealed.items()):
        version, shown = _first_shown(document, previous, file)
        if not version:
            continue
        old, new = hashes_of(shown), hashes_of(document.upstream_dist(version))
        if all_published(old, new):
            continue
        dists[version] = Raw(_encode(shown))
        changed = _differing(old, new)
        if changed:
            mutated[file.filename] = max(changed, key=len)
    notes = msgspec.structs.replace(document.notes, times=times, dists=dists, mutated=mutated)
    envelope = document.envelope
    if notes == document.notes:
        return None
    return encode_document(envelope.identity, envelope.url, notes, memoryview(envelope.text))


def _is_published(document: Document, file: SealedFile) -> bool:
    """Whether a document publishes all the stored digests of a sealed tarball."""
    version = document.version_of(file.filename)
    published = hashes_of(document.upstream_dist(version)) if version else {}
    return bool(file.digests) and all_published(file.digests, published)


def _first_shown(document: Document, previous: Document | None, file: SealedFile) -> tuple[str, Fields]:
    """The version of a sealed tarball and the `dist` to go on showing; "" if there is nothing to hold.

    That of the document before, if it is of these bytes. A tarball may have been sealed by its small
    version document alone, before any packument came (`npm ci`): then its own digests tell of it.
    """
    version = previous.known_version(file.filename) if previous is not None else ""
    if previous is not None and version:
        shown = previous.dist(version)
        if not _differing(hashes_of(shown), file.digests):
            return version, shown
    version = document.version_of(file.filename)
    upstream = document.upstream_dist(version)
    if not version or not _differing(file.digests, hashes_of(upstream)):
        return "", {}
    published = {key: Raw(_encode(value)) for key, value in own_digests(file).items()}
    return version, {**published, "tarball": upstream["tarball"]}


def _differing(old: Mapping[str, str], new: Mapping[str, str]) -> list[str]:
    """The new digests of algorithms that both name, and that are not the old ones."""
    both = old.keys() & new.keys()
    return [new[algorithm] for algorithm in both if not share(old[algorithm], new[algorithm])]
