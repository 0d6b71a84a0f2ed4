"""What of a packument outlives a refresh: first-seen times, and `dist` of tarballs that are sealed.

A lock file made yesterday names yesterday's digests; what upstream changes under a sealed name is
reported and not shown (ARCHITECTURE.md "Back-fill").
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

import msgspec

from shared.models import SealedFile
from shared.protocols.integrity import share, told_in
from shared.protocols.json_text import Fields, Raw
from shared.protocols.npm.dist import hashes_of, own_digests
from shared.protocols.npm.document import Document, encode_document

Sealed = Mapping[tuple[str, str], SealedFile]

_encode = msgspec.json.Encoder().encode


def wants_previous(document: Document, sealed: Sealed) -> bool:
    """Whether `carry_over` has anything to do: the upstream does not tell all times, or does not tell of
    a sealed file what it is. A packument may have 40 MB: the one before is not read for nothing."""
    if document.kind not in ("packument", "version"):
        return False
    undated = any(not isinstance(document.time.get(v), str) for v in document.versions)
    return undated or not all(_is_told(document, file) for file in sealed.values())


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
        if told_in(old, new):
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


def _is_told(document: Document, file: SealedFile) -> bool:
    """Whether a document gives a sealed tarball all the digests that were kept of it."""
    version = document.version_of(file.filename)
    told = hashes_of(document.upstream_dist(version)) if version else {}
    return bool(file.digests) and told_in(file.digests, told)


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
    now_told = document.upstream_dist(version)
    if not version or not _differing(file.digests, hashes_of(now_told)):
        return "", {}
    told = {key: Raw(_encode(value)) for key, value in own_digests(file).items()}
    return version, {**told, "tarball": now_told["tarball"]}


def _differing(old: Mapping[str, str], new: Mapping[str, str]) -> list[str]:
    """The new digests of algorithms that both name, and that are not the old ones."""
    both = old.keys() & new.keys()
    return [new[algorithm] for algorithm in both if not share(old[algorithm], new[algorithm])]
