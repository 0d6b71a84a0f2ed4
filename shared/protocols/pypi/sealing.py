"""What was shown once is shown for ever: matching sealed files to an upstream's entries, and what a page
showed.

URL, hashes, size and upload time of a file are preserved over refreshes: lock files hold these values. An
upstream that stops publishing a digest, or publishes it only now, must not move a file to another URL. What
PEP 592 (yanked), PEP 345 (requires-python) and PEP 740 (provenance) let change is always the upstream's
newest word.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from shared.models import SealedFile
from shared.protocols.pypi.document import Document, File, encode_document


class SealedFiles:
    """The sealed files of a project, matched to the entries of its page.

    `sealed` is keyed (file_id, filename), as `Pages.rewrite_index` gets it.
    """

    def __init__(self, document: Document, sealed: Mapping[tuple[str, str], SealedFile]) -> None:
        self.any = bool(sealed)
        self._document = document
        self._sealed = sealed
        by_name: dict[str, list[SealedFile]] = {}
        for key in sorted(sealed):
            by_name.setdefault(key[1], []).append(sealed[key])
        self._by_name = by_name

    def find(self, file: File) -> SealedFile | None:
        """The sealed file to show for an entry, or None.

        In this order: the one under the entry's own digest; the one under the stable id that the
        name had before the upstream published its digest (the URL stays); the one of the same name
        with other bytes (`upstream_mutated`: the first stays), unless the page lists that too.
        """
        filename = file["filename"]
        candidates = self._by_name.get(filename)
        if candidates is None:
            return None
        stable = self._sealed.get((self._document.stable_id(filename), filename))
        sha256 = file["hashes"].get("sha256")
        if stable is not None and sha256 in (None, stable.sha256):
            return stable
        if sha256 is not None:
            exact = self._sealed.get((sha256, filename))
            if exact is not None:
                return exact
        if stable is not None:
            return stable
        if sha256 is None:
            return candidates[0]  # the upstream published the digest once and no longer does
        listed = {entry["hashes"].get("sha256") for entry in self._document.by_name.get(filename, ())}
        return next((held for held in candidates if held.sha256 not in listed), None)


def mutated_files(
    document: Document, sealed: Mapping[tuple[str, str], SealedFile]
) -> list[tuple[SealedFile, str]]:
    """Sealed files under whose name the upstream now lists other bytes, with the new SHA256."""
    held = SealedFiles(document, sealed)
    found = []
    for file in document.page["files"] if held.any and document.kind == "simple" else ():
        match = held.find(file)
        sha256 = file["hashes"].get("sha256")
        if match is not None and sha256 is not None and sha256 != match.sha256:
            found.append((match, sha256))
    return found


_FIXED = ("size", "upload-time")
_METADATA = ("core-metadata", "data-dist-info-metadata")


def carry_over(
    document: Document, previous: Document | None, sealed: Mapping[tuple[str, str], SealedFile]
) -> bytes | None:
    """The canonical bytes with what was shown before; None if the document needs nothing of it.

    Nothing is taken from a document of another source: its digests say nothing of this one's bytes.
    Deterministic, and the same again when `previous` is the result.
    """
    if previous is None or previous.envelope.source != document.envelope.source:
        return None
    held = SealedFiles(document, sealed) if sealed else None
    files: list[File] = []
    stable: set[str] = set()
    changed = False
    for file in document.page["files"]:
        filename = file["filename"]
        known = previous.by_name.get(filename)
        if known is None:
            files.append(file)
            continue
        old: File | None = known[0]
        if old != file:
            old = next((each for each in known if _same_bytes(each, file)), None)
        kept = file
        if old is not None:
            if old != file:
                kept = _kept(file, old)
            alone = len(known) == len(document.by_name[filename]) == 1  # that id goes by the name
            if alone and kept["hashes"].get("sha256") and previous.has_stable_id(old):
                stable.add(filename)
        elif held is not None and "upload-time" in known[0] and held.find(file) is not None:
            # Of other bytes under a sealed name the page goes on showing the first (`SealedFiles`).
            kept = {**file, "upload-time": known[0]["upload-time"]}
        changed = changed or kept is not file
        files.append(kept)
    if not changed and not stable:
        return None
    envelope = document.envelope
    return encode_document(
        msgspec.structs.replace(
            envelope, page={**envelope.page, "files": files}, stable=tuple(sorted(stable))
        )
    )


def _same_bytes(old: File, new: File) -> bool:
    """As far as the digests tell; where the two share none, by the address and the size."""
    before, now = old["hashes"], new["hashes"]
    common = before.keys() & now.keys()
    if common:
        return all(before[algorithm] == now[algorithm] for algorithm in common)
    return bool(old["url"] == new["url"] and old.get("size") in (None, new.get("size", old.get("size"))))


def _kept(new: File, old: File) -> File:
    kept: dict[str, Any] = {**new, "hashes": {**old["hashes"], **new["hashes"]}}
    for key in _FIXED:
        if old.get(key) is not None:
            kept[key] = old[key]
    for key in _METADATA:
        shown, published = old.get(key), new.get(key)
        if isinstance(shown, dict):
            # No lock holds these, and an upstream that published a wrong one must be able to correct it.
            kept[key] = published if isinstance(published, dict) else shown
    return new if kept == new else kept
