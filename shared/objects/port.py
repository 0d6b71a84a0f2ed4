"""The port of object stores: immutable objects under their content hash, and their keys.

An object is never visible part-written: it is complete and synced before it gets its name.
"""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, AsyncIterator
from pathlib import Path
from typing import Protocol

import msgspec

from shared.errors import InvalidData

ARTIFACTS = "artifacts"  # files as upstream sent them, and their core metadata
DOCUMENTS = "documents"  # last good index documents
VARIANTS = "variants"  # finished index bodies over 256 KiB
STATEMENTS = "statements"  # signed envelopes (docs/decisions/0048)
TILES = "tiles"  # full tiles and bundles of the transparency log
BUILDS = "builds"  # lists of sealed builds, and the bodies of pages that these got
FOLDERS = (
    ARTIFACTS,
    BUILDS,
    DOCUMENTS,
    STATEMENTS,
    TILES,
    VARIANTS,
)  # sorted: sweeps go on

STREAM_CHUNK_BYTES = 256 * 1024  # measured: 64 KiB to 1 MiB made no difference

_KEY = re.compile(r"([a-z]{1,32})/([0-9a-f]{64})")


class ObjectStat(msgspec.Struct, frozen=True):
    """Size and age of one object."""

    key: str
    size_bytes: int
    modified_at: float  # unix seconds: when it was put last


class GrowingPut(Protocol):
    """An object on its way into the store while its file is still being written."""

    def grown(self, size_bytes: int) -> None:
        """Announce that so many bytes of the file are final. Whole parts are sent in the background."""

    async def finish(self, size_bytes: int) -> bool:
        """Send the rest and make the object visible: whole and durable. Call it once all was verified.

        False: it failed and nothing of it is stored; put the file as a whole.
        """

    async def abort(self) -> None:
        """Forget all of it; harmless after `finish`. Raises nothing of the store's."""


class ObjectStore(Protocol):
    """What every store does. All methods raise `StoreUnavailable` when the store fails or is full,
    `ObjectMissing` where the object should be there, and `InvalidData` for a key that is none."""

    async def put_file(self, key: str, path: Path, *, sha256: str) -> None:
        """Store a finished local file; durable on return. Repeating it is harmless.

        `path` stays the caller's to remove; it must not be written to any more. `sha256` is the
        digest the caller computed while writing.
        """

    def begin_put(self, key: str, path: Path) -> GrowingPut | None:
        """Begin to store a large file that is still being written; None where it is put faster at its end."""

    async def finish_put(self, put: GrowingPut, key: str, path: Path, *, sha256: str) -> None:
        """`put_file` for a file that `put` has sent most of already. Raises as `put_file`."""

    async def put_bytes(self, key: str, data: bytes) -> None:
        """Store a small object; durable on return. Repeating it is harmless."""

    async def read(self, key: str, start: int = 0, length: int | None = None) -> bytes:
        """The bytes from `start`, at most `length` (None: to the end). Short at the object's end."""

    def open_stream(self, key: str, start: int = 0, end: int | None = None) -> AsyncGenerator[bytes, None]:
        """Chunks from `start` up to but excluding `end` (None: the object's end), read as they are
        taken. `ObjectMissing` arrives with the first chunk. Whoever gives up early calls `aclose`."""

    async def stat(self, key: str) -> ObjectStat | None:
        """Size and age, or None if there is no such object."""

    async def delete(self, key: str) -> None:
        """Remove an object; absence is fine."""

    async def set_aside(self, key: str) -> None:
        """Move damaged bytes away, so that the object is missing. A store in files keeps them for some days;
        absence is fine."""

    def local_path(self, key: str) -> Path | None:
        """Where the object lies (or would lie) in the local file system; None for a remote store."""

    def list(self, prefix: str, after: str = "") -> AsyncIterator[ObjectStat]:
        """All objects whose key starts with the folder `prefix` ("artifacts/"), in order; those after the key
        `after`, so that who stops can go on."""

    async def check(self) -> None:
        """At start: can be read and written. Removes what a crash left half-written."""


def artifact_key(sha256: str) -> str:
    """The key of an artifact (or metadata file) with this digest."""
    return f"{ARTIFACTS}/{sha256}"


def document_key(sha256: str) -> str:
    """The key of an index document whose canonical bytes have this digest."""
    return f"{DOCUMENTS}/{sha256}"


def tile_key(sha256: str) -> str:
    """The key of a full tile, or bundle of entries, of the transparency log."""
    return f"{TILES}/{sha256}"


def statement_key(sha256: str) -> str:
    """The key of a signed envelope."""
    return f"{STATEMENTS}/{sha256}"


def split_key(key: str) -> tuple[str, str]:
    """Folder and digest of a key. Raises `InvalidData` for anything else: keys become paths."""
    match = _KEY.fullmatch(key)
    if match is None:
        raise InvalidData(f"not an object key: {key[:80]!r}")
    return match[1], match[2]


def is_key(text: str) -> bool:
    """Whether a listed name is that of an object of ours: a bucket may hold others below the same prefix."""
    return _KEY.fullmatch(text) is not None
