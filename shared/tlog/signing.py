"""A log's private key and what it signs: checkpoints as signed notes (C2SP tlog-checkpoint), and statements
in DSSE envelopes. Ed25519."""

from __future__ import annotations

import base64
import json
import os
import re

from Crypto.PublicKey import ECC
from Crypto.Signature import eddsa

from shared.tlog.dsse import PAYLOAD_TYPE, key_id, signed_bytes
from shared.tlog.notes import ED25519, Key, decode64
from shared.tlog.trees import Unproven

_PREFIX = "PRIVATE+KEY+"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9./_-]{0,127}")


class Signer:
    """Signs for one log. Never shown: its repr is that of its public key."""

    is_apart = False  # whether the private key is in another process

    def __init__(self, name: str, seed: bytes) -> None:
        """`seed`: the 32 bytes of RFC 8032. Raises `ValueError`."""
        if _NAME.fullmatch(name) is None:
            raise ValueError("a log's name is letters, digits and ./_-, at most 128")
        self._signer = eddsa.new(ECC.construct(curve="Ed25519", seed=seed), "rfc8032")
        public = ECC.construct(curve="Ed25519", seed=seed).public_key().export_key(format="raw")
        self.key = Key(name, ED25519, public)

    def sign(self, message: bytes) -> bytes:
        """The signature (RFC 8032). The same bytes each time."""
        return self._signer.sign(message)

    def __repr__(self) -> str:
        return f"Signer({self.key})"

    def checkpoint(self, size: int, root: bytes) -> bytes:
        """The note that says that the log has `size` entries and this root. The same bytes each time."""
        return self.note(f"{self.key.name}\n{size}\n{base64.b64encode(root).decode()}\n")

    def note(self, text: str) -> bytes:
        """A text, whose lines all end, as a signed note. What it says of itself must be no checkpoint."""
        signature = base64.b64encode(self.key.id + self.sign(text.encode())).decode()
        return f"{text}\n— {self.key.name} {signature}\n".encode()

    def envelope(self, payload: bytes) -> bytes:
        """The DSSE envelope of a statement. The same bytes each time."""
        signature = self.sign(signed_bytes(PAYLOAD_TYPE, payload))
        whole = {
            "payload": base64.b64encode(payload).decode(),
            "payloadType": PAYLOAD_TYPE,
            "signatures": [{"keyid": key_id(self.key), "sig": base64.b64encode(signature).decode()}],
        }
        return json.dumps(whole, separators=(",", ":")).encode()


def read_signer(text: str) -> Signer:
    """From `PRIVATE+KEY+name+id+base64`, as Go's `note.GenerateKey` writes it. Raises `ValueError`, which
    tells nothing of the key."""
    name, _, rest = text.strip().removeprefix(_PREFIX).partition("+")
    number, _, encoded = rest.partition("+")
    try:
        data = decode64(encoded)
    except Unproven:
        data = b""
    if not text.startswith(_PREFIX) or len(data) != 33 or data[0] != ED25519:
        raise ValueError(f"a log's key is {_PREFIX}name+id+base64")
    signer = Signer(name, data[1:])
    if signer.key.id.hex() != number:
        raise ValueError("the id of the log's key is not that of its name and bytes")
    return signer


def new_signer_text(name: str) -> str:
    """A new private key for a log of this name. Raises `ValueError`."""
    seed = os.urandom(32)
    key = Signer(name, seed).key
    return f"{_PREFIX}{name}+{key.id.hex()}+{base64.b64encode(bytes([ED25519]) + seed).decode()}"


def is_signed(public: bytes, message: bytes, signature: bytes) -> bool:
    """As `ed25519.is_signed`, some times faster: by a library."""
    try:
        eddsa.new(eddsa.import_public_key(public), "rfc8032").verify(message, signature)
    except ValueError:
        return False
    return True
