"""The documents of a feed on this machine, a folder or a zip: bounded, whatever a zip says of itself."""

from __future__ import annotations

import hashlib
import os
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

MOST_DOCUMENTS = 2_000_000
MOST_DOCUMENT_BYTES = 8 * 1024 * 1024
MOST_BYTES = 16 * 1024**3  # of all documents, unpacked
_FAULTS = (OSError, zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, EOFError, ValueError)
"""What `zipfile` raises for one that is damaged, encrypted or packed in a way that is not known."""


class UnreadableFeed(Exception):
    """Why a feed cannot be read: nothing of it counts."""


def checksum_file(feed: Path) -> Path:
    """Where the checksum of a feed that is one file may lie."""
    return feed.with_name(f"{feed.name}.sha256")


def told_checksum(feed: Path) -> str:
    """The SHA-256 in the file beside a feed's, as `sha256sum` writes it; "": there is no such file. What
    cannot be read is no feed's: it may be written just now."""
    try:
        return [*checksum_file(feed).read_text(errors="replace").lower().split(), "none"][0]
    except FileNotFoundError:
        return ""
    except OSError as error:
        return error.strerror or "unreadable"


def signature(feed: Path) -> str:
    """Differs once a document, or the checksum beside it, has changed. Raises `UnreadableFeed`."""
    digest = hashlib.sha256()
    try:
        beside = checksum_file(feed)
        for path in (*_files(feed), *([beside] if beside.is_file() else [])):
            found = path.stat()
            digest.update(
                f"{path}\0{found.st_mtime_ns}\0{found.st_size}\0{found.st_ino}\n".encode(errors="replace")
            )
    except OSError as error:
        raise UnreadableFeed(f"{error.strerror or error}: {feed.name}") from None
    return digest.hexdigest()


def documents(feed: Path) -> Iterator[tuple[str, bytes | None]]:
    """Name and content of each document; None for what is larger than one may be. Raises
    `UnreadableFeed`."""
    left, count = MOST_BYTES, 0
    for path in _files(feed):
        for name, body in _zipped(path) if path.suffix == ".zip" else _plain(path):
            count += 1
            left -= len(body or b"")
            if count > MOST_DOCUMENTS or left < 0:
                raise UnreadableFeed("it is too large")
            yield name, body


def _files(feed: Path) -> Iterator[Path]:
    """In an order of their own. Links to folders are not followed, and what is no file is passed over: a pipe
    would be waited for. Raises `UnreadableFeed` for a feed that is neither file nor folder."""
    if not feed.is_dir():
        if feed.exists() and not feed.is_file():
            raise UnreadableFeed("it is neither a file nor a folder")
        yield feed
        return
    for folder, folders, names in os.walk(feed, onerror=_raise):
        folders.sort()
        for name in sorted(names):
            path = Path(folder, name)
            if name.endswith((".json", ".zip")) and (path.is_file() or not path.exists()):
                yield path


def _raise(error: OSError) -> None:
    raise error


def _plain(path: Path) -> Iterator[tuple[str, bytes | None]]:
    try:
        with path.open("rb") as file:
            body = file.read(MOST_DOCUMENT_BYTES + 1)
    except OSError as error:
        raise UnreadableFeed(f"{error.strerror or error}: {path.name}") from None
    yield path.name, body if len(body) <= MOST_DOCUMENT_BYTES else None


def _zipped(path: Path) -> Iterator[tuple[str, bytes | None]]:
    try:
        with zipfile.ZipFile(path) as packed:
            for entry in packed.infolist():
                if entry.is_dir() or not entry.filename.endswith(".json"):
                    continue
                with packed.open(entry) as file:
                    body = file.read(MOST_DOCUMENT_BYTES + 1)
                yield entry.filename, body if len(body) <= MOST_DOCUMENT_BYTES else None
    except _FAULTS as error:
        raise UnreadableFeed(f"{path.name} is no zip that can be read: {error}") from None
