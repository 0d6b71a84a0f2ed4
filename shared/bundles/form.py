"""The outer form of a bundle: a line that tells the format, a signed note, the manifest, the objects
(docs/decisions/0049). The standard library alone: the command reads and checks by this, too.

    orchard-bundle 1\\n | length of the note, 4 bytes | length of the manifest, 4 bytes | note | manifest |
    for each object of the manifest, in its order: "+" and its bytes, or "-" where it is left out

Nothing in it is a path, and nothing is read before what stands before it was checked.
"""

from __future__ import annotations

import hashlib
import json
import re
import struct
from collections.abc import Callable, Iterator
from typing import NamedTuple

from shared.tlog.notes import Key, read_key, read_note, signed_by
from shared.tlog.trees import Unproven

FORMAT = 1
MAGIC = b"orchard-bundle "
NOTE = "orchard bundle v1"  # no name of a log: what signs checkpoints signs no bundle by mistake
MOST_NOTE_BYTES = 16 * 1024
MOST_MANIFEST_BYTES = 128 * 1024 * 1024
MOST_OBJECTS = 50_000
MOST_OBJECT_BYTES = 1 << 40
CHUNK_BYTES = 256 * 1024
CARRIED, LEFT_OUT = b"+", b"-"
_LENGTHS = struct.Struct(">II")
_OBJECT = re.compile(r"(?:artifacts|builds|variants)/[0-9a-f]{64}")

Read = Callable[[int], bytes]
"""So many bytes, fewer at the end alone."""


class BundleRefused(Exception):
    """One line: what in a bundle is not as it must be, and where."""


class Head(NamedTuple):
    """What stands before the objects, checked but for whether `key` is to be trusted."""

    key: Key
    manifest: bytes
    size: int  # bytes of it all in the file


class Carried(NamedTuple):
    """An object of a bundle: its key in a store, whose last part is the SHA256 of its bytes."""

    key: str
    size: int


def note_text(key: Key, manifest: bytes) -> str:
    """What is signed."""
    return f"{NOTE}\n{key}\n{hashlib.sha256(manifest).hexdigest()}\n{len(manifest)}\n"


def write_head(note: bytes, manifest: bytes) -> bytes:
    """The bytes before the objects."""
    return MAGIC + b"%d\n" % FORMAT + _LENGTHS.pack(len(note), len(manifest)) + note + manifest


def read_head(read: Read) -> Head:
    """Raises `BundleRefused` for another format, and what its own key has not signed as it is."""
    start = MAGIC + b"%d\n" % FORMAT
    found = read(len(start))
    if found != start:
        if found.startswith(MAGIC):
            told = found[len(MAGIC) :].decode("ascii", "replace").strip()
            raise BundleRefused(f"byte 0: a bundle of format {told}; this Orchard reads format {FORMAT}")
        raise BundleRefused("byte 0: this is no bundle of Orchard")
    lengths = _whole(read, _LENGTHS.size, len(start), "the lengths")
    note_bytes, manifest_bytes = _LENGTHS.unpack(lengths)
    at = len(start) + len(lengths)
    if note_bytes > MOST_NOTE_BYTES or manifest_bytes > MOST_MANIFEST_BYTES:
        raise BundleRefused(
            f"byte {len(start)}: a head of {note_bytes} and {manifest_bytes} bytes is too large"
        )
    note = _whole(read, note_bytes, at, "the signed note")
    key, sha256, size = _signed(note, at)
    manifest = _whole(read, manifest_bytes, at + note_bytes, "the manifest")
    if len(manifest) != size or hashlib.sha256(manifest).hexdigest() != sha256:
        raise BundleRefused(f"byte {at + note_bytes}: the manifest is not what {key.name} has signed")
    return Head(key, manifest, at + note_bytes + manifest_bytes)


def _signed(note: bytes, at: int) -> tuple[Key, str, int]:
    try:
        told = read_note(note)
        name, key_text, sha256, size, *more = told.text.split("\n")
        key = read_key(key_text)
        if name != NOTE or more != [""] or not re.fullmatch(r"[0-9]{1,9}", size):
            raise Unproven("not the note of a bundle")
        if signed_by(told, key) is None:
            raise Unproven(f"it is not signed by {key}")
    except (Unproven, ValueError) as error:
        raise BundleRefused(f"byte {at}: the signed note: {error}") from None
    return key, sha256, int(size)


def _whole(read: Read, size: int, at: int, what: str) -> bytes:
    data = read(size)
    if len(data) != size:
        raise BundleRefused(f"byte {at + len(data)}: the bundle ends in {what}")
    return data


class Contents(NamedTuple):
    """Of a manifest what is needed without its meaning."""

    objects: list[Carried]
    log_size: int  # entries that its checkpoint covers


def contents_of(manifest: bytes) -> Contents:
    """Raises `BundleRefused`, also for an object that is named twice, or that no store could have."""
    try:
        told = json.loads(manifest)
        objects = [Carried(each["key"], each["size"]) for each in told["objects"]]
        size = told["log"]["size"]
        check_objects(objects)
        if type(size) is not int or size < 0:
            raise BundleRefused("log.size: not the size of a log")
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise BundleRefused(f"the manifest cannot be read: {type(error).__name__}") from None
    return Contents(objects, size)


def check_objects(objects: list[Carried]) -> None:
    """Raises `BundleRefused` for one that is named twice or that no store could have, and for too many."""
    if len(objects) > MOST_OBJECTS:
        raise BundleRefused(f"objects: {len(objects)} of them, and at most {MOST_OBJECTS} are taken")
    known = set[str]()
    for at, (key, size) in enumerate(objects):
        if not isinstance(key, str) or not _OBJECT.fullmatch(key):
            raise BundleRefused(f"objects[{at}]: {str(key)[:80]!r} is no key of an object")
        if type(size) is not int or not 0 <= size <= MOST_OBJECT_BYTES:
            raise BundleRefused(f"objects[{at}]: {key} has no size that an object can have")
        if key in known:
            raise BundleRefused(f"objects[{at}]: {key} is named twice")
        known.add(key)


class Bodies:
    """Reads the objects of a bundle, one after the other, and hashes them on their way."""

    def __init__(self, read: Read, at: int) -> None:
        """`at`: where the first object begins."""
        self._read = read
        self.at = at

    def next(self, of: Carried) -> Iterator[bytes] | None:
        """The bytes of the next object, to be taken to their end; None: it is left out. Raises
        `BundleRefused`, at the end for other bytes than its key says."""
        flag = self._read(1)
        if flag not in (CARRIED, LEFT_OUT):
            what = "neither + nor - stands" if flag else "the bundle ends"
            raise BundleRefused(f"byte {self.at}: {what} before {of.key}")
        self.at += 1
        return self._bytes(of) if flag == CARRIED else None

    def _bytes(self, of: Carried) -> Iterator[bytes]:
        first, digest, left = self.at, hashlib.sha256(), of.size
        while left:
            chunk = self._read(min(left, CHUNK_BYTES))
            if not chunk:
                raise BundleRefused(f"byte {self.at}: the bundle ends in {of.key}")
            digest.update(chunk)
            left -= len(chunk)
            self.at += len(chunk)
            yield chunk
        if digest.hexdigest() != of.key[-64:]:
            raise BundleRefused(f"byte {first}: the bytes of {of.key} are others")

    def end(self) -> None:
        """Raises `BundleRefused` where something follows."""
        if self._read(1):
            raise BundleRefused(f"byte {self.at}: something follows the last object")
