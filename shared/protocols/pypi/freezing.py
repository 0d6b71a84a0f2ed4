"""What a page showed of a file, kept over refreshes: URL, hashes, size and upload time never change.

Lock files hold these values. An upstream that stops telling a digest, or tells it only now, must not
move a file to another URL. What PEP 592 (yanked), PEP 345 (requires-python) and PEP 740 (provenance)
let change is always the upstream's newest word.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from shared.models import SealedFile
from shared.protocols.pypi.document import Document, File, encode_document
from shared.protocols.pypi.sealing import SealedFiles

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
        shown, told = old.get(key), new.get(key)
        if isinstance(shown, dict):
            # No lock holds these, and an upstream that told a wrong one must be able to tell the right one.
            kept[key] = told if isinstance(told, dict) else shown
    return new if kept == new else kept
