"""What a bundle may tell of a file: no more than an Orchard would have written down of it
(docs/decisions/0049). Pure: values in, values out."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from shared.builds.entries import BuildList, File
from shared.bundles.form import BundleRefused
from shared.models import StoredFile
from shared.objects.port import artifact_key
from shared.protocols import find_protocol
from shared.protocols.base import PackageProxyBase
from shared.protocols.resource import Resource

LAST_SECOND = 1e11  # unix seconds of the year 5138
_MOST_BYTES = {"project": 512, "file_id": 256, "filename": 1024}  # as rows have them; the log's entries fit


def check_files(listed: BuildList) -> None:
    """Raises `BundleRefused` for the first file that tells what it cannot be. Each has the one address that
    its name has, so that no name is there twice. What it tells of its bytes is to be compared with them:
    `digests_of`."""
    for at, file in enumerate(listed.files):
        name = f"files[{at}]"
        _check_told(name, file, _check_bytes(name, file))


def digests_of(listed: BuildList) -> dict[str, dict[str, str]]:
    """By object: what files tell of its bytes beside SHA256, algorithm → hex. Raises `BundleRefused` where
    two tell different things."""
    found: dict[str, dict[str, str]] = {}
    for at, file in enumerate(listed.files):
        if file.stored is None:
            continue
        known = found.setdefault(file.stored.object_key, {})
        for algorithm, digest in file.stored.digests.items():
            if known.setdefault(algorithm, digest) != digest:
                raise BundleRefused(f"files[{at}]: two {algorithm} of the same bytes")
    return found


def check_times(name: str, times: Iterable[float]) -> None:
    """Raises `BundleRefused` for a time that no calendar has."""
    if not all(0 <= each < LAST_SECOND for each in times):
        raise BundleRefused(f"{name}: a time that no clock has")


def check_headers(name: str, texts: Iterable[str]) -> None:
    """Raises `BundleRefused` for what cannot be sent as the value of a header."""
    for text in texts:
        if not text.isascii():
            raise BundleRefused(f"{name}: {text[:80]!r} cannot be sent in a header")


def _check_bytes(name: str, file: File) -> StoredFile:
    stored = file.stored
    if stored is None or file.file.protocol != file.protocol:
        raise BundleRefused(f"{name}: {file.address} has no bytes, or is of another protocol")
    if stored.object_key != artifact_key(stored.sha256):
        raise BundleRefused(f"{name}: {file.address} is not the object that its SHA256 names")
    protocol = find_protocol(file.protocol)
    if protocol is None or stored.filename != file.file.filename or not _is_at_its_address(file, protocol):
        raise BundleRefused(f"{name}: {file.address[:200]!r} is not where a file of its name lies")
    return stored


def _is_at_its_address(file: File, protocol: PackageProxyBase) -> bool:
    """Whether a request for it would name this very file. Its name has one spelling then, which blocks and
    rules know. At an address that may change the id goes on with which file that was (`Resource.pointer`)."""
    name = file.file
    if any(len(getattr(name, part).encode()) > most for part, most in _MOST_BYTES.items()):
        return False
    try:
        path = protocol.grammar.artifact_path(name).encode()
        read = protocol.grammar.classify("GET", path, b"", {})
    except Exception:  # a name that strangers made up: whatever a grammar trips over is none
        return False
    if not isinstance(read, Resource) or read.kind != "artifact" or read.identity != file.address:
        return False
    asked = read.file
    if read.pointer and name.file_id.startswith(f"{asked.file_id}:"):
        asked = msgspec.structs.replace(asked, file_id=name.file_id)
    return asked == name


def _check_told(name: str, file: File, stored: StoredFile) -> None:
    protocol = find_protocol(file.protocol)
    assert protocol is not None
    check_times(name, (stored.created_at, stored.published, stored.modified))
    check_headers(name, (stored.content_type, *stored.headers.values()))
    if not stored.digests.keys() <= set(protocol.upstream.kept_digests):
        raise BundleRefused(f"{name}: digests that {file.protocol} does not keep")
    if not stored.headers.keys() <= set(protocol.upstream.kept_headers):
        raise BundleRefused(f"{name}: headers that {file.protocol} does not keep")
    if stored.provisional and protocol.archive.parent_of(stored.filename) is None:
        raise BundleRefused(f"{name}: {stored.filename} was read out of no other file")
