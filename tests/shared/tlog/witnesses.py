"""A witness as C2SP tlog-cosignature has it."""

from __future__ import annotations

import base64

from Crypto.PublicKey import ECC
from Crypto.Signature import eddsa

from shared.tlog.notes import COSIGNATURE, Key


class Witness:
    """Signs whatever it is given."""

    def __init__(self, name: str) -> None:
        self._key = ECC.generate(curve="Ed25519")
        self.key = Key(name, COSIGNATURE, self._key.public_key().export_key(format="raw"))

    def cosign(self, checkpoint: bytes, at: int) -> bytes:
        """The checkpoint with one more line. `at`: unix seconds."""
        text = checkpoint.rpartition(b"\n\n")[0] + b"\n"
        signature = eddsa.new(self._key, "rfc8032").sign(f"cosignature/v1\ntime {at}\n".encode() + text)
        line = base64.b64encode(self.key.id + at.to_bytes(8, "big") + signature).decode()
        return checkpoint + f"— {self.key.name} {line}\n".encode()
