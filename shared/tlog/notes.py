"""Keys, signed notes and checkpoints, read and checked (C2SP signed-note, tlog-checkpoint, tlog-cosignature).

The standard library alone.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from typing import NamedTuple

from shared.tlog.ed25519 import is_signed
from shared.tlog.trees import Unproven

ED25519, COSIGNATURE = 1, 4  # kinds of keys: their first byte
MOST_NOTE_BYTES = 1_000_000
MOST_SIGNATURES = 100


def decode64(text: str) -> bytes:
    """Standard base64 in its one spelling. Raises `Unproven`."""
    try:
        data = base64.b64decode(text, validate=True)
    except (ValueError, binascii.Error):
        data = b""
    if not data or base64.b64encode(data).decode() != text:
        raise Unproven(f"not base64: {text[:60]!r}")
    return data


def read_count(text: str) -> int:
    """A size or a place in its one spelling, below 10¹⁸. Raises `Unproven`."""
    if not (text.isascii() and text.isdigit() and len(text) <= 18 and str(int(text)) == text):
        raise Unproven(f"not the size of a log, nor a place in it: {text[:40]!r}")
    return int(text)


class Key(NamedTuple):
    """Who signs: a name and a public key, written `name+id+base64`. `kind`: `ED25519` or `COSIGNATURE`."""

    name: str
    kind: int
    public: bytes

    @property
    def id(self) -> bytes:
        """Four bytes that name it in a signature."""
        return hashlib.sha256(self.name.encode() + b"\n" + bytes([self.kind]) + self.public).digest()[:4]

    def __str__(self) -> str:
        text = base64.b64encode(bytes([self.kind]) + self.public).decode()
        return f"{self.name}+{self.id.hex()}+{text}"


def read_key(text: str) -> Key:
    """Raises `Unproven`."""
    name, _, rest = text.strip().partition("+")
    number, _, encoded = rest.partition("+")
    data = decode64(encoded)
    key = Key(name, data[0], data[1:])
    if not name or name.split() != [name] or len(key.public) != 32 or key.kind not in (ED25519, COSIGNATURE):
        raise Unproven(f"not a key of a log or a witness: {text[:80]!r}")
    if key.id.hex() != number:
        raise Unproven(f"the key of {name} was changed: its id is {key.id.hex()}, not {number[:8]}")
    return key


class Note(NamedTuple):
    """A text and the lines that sign it: name, id of the key, signature."""

    text: str
    signatures: list[tuple[str, bytes, bytes]]


def read_note(data: bytes) -> Note:
    """Raises `Unproven`."""
    try:
        whole = data.decode()
    except UnicodeDecodeError:
        raise Unproven("a note is UTF-8") from None
    text, blank, lines = whole.rpartition("\n\n")
    if len(data) > MOST_NOTE_BYTES or not blank or not lines.endswith("\n"):
        raise Unproven("not a signed note")
    if any(ord(each) < 0x20 and each != "\n" for each in whole):
        raise Unproven("a note has no control characters")
    signatures: list[tuple[str, bytes, bytes]] = []
    for line in lines[:-1].split("\n"):
        dash, name, encoded, *more = [*line.split(" "), "", ""]
        signature = decode64(encoded)
        if dash != "—" or not name or any(more) or len(signature) < 5 or len(signatures) >= MOST_SIGNATURES:
            raise Unproven(f"not the signature of a note: {line[:80]!r}")
        signatures.append((name, signature[:4], signature[4:]))
    return Note(text + "\n", signatures)


def signed_by(note: Note, key: Key) -> int | None:
    """When `key` signed it: unix seconds of a witness, 0 of a log; None: it did not. Raises `Unproven` for a
    signature of that key that is wrong."""
    for name, number, signature in note.signatures:
        if (name, number) != (key.name, key.id):
            continue
        at, message = 0, note.text
        if key.kind == COSIGNATURE:
            at, signature = int.from_bytes(signature[:8], "big"), signature[8:]
            message = f"cosignature/v1\ntime {at}\n{note.text}"
        if not is_signed(key.public, message.encode(), signature):
            raise Unproven(f"the signature of {name} is wrong")
        return at
    return None


class Checkpoint(NamedTuple):
    """A log's state: how many entries it has, and the root over them."""

    origin: str
    size: int
    root: bytes


def read_checkpoint(data: bytes, key: Key) -> Checkpoint:
    """A checkpoint that the log's key has signed. Raises `Unproven`."""
    note = read_note(data)
    lines = note.text.split("\n")
    if len(lines) < 4 or lines[0] != key.name:
        raise Unproven(f"not a checkpoint of {key.name}")
    size = read_count(lines[1])
    root = decode64(lines[2])
    if len(root) != 32:
        raise Unproven("a root has 32 bytes")
    if signed_by(note, key) is None:
        raise Unproven(f"the checkpoint is not signed by {key}")
    return Checkpoint(lines[0], size, root)
