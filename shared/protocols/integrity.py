"""Subresource Integrity (W3C SRI, "Integrity metadata"): digests as "sha512-{base64}?options …"."""

from __future__ import annotations

import base64
import binascii
import hashlib

_ALGORITHMS = ("sha512", "sha384", "sha256", "sha1")


def digests_in(integrity: object) -> dict[str, str]:
    """Algorithm → hex of some text; what is not understood is left out, the first of an algorithm counts."""
    found: dict[str, str] = {}
    for token in integrity.split() if isinstance(integrity, str) else ():
        algorithm, _, encoded = token.partition("?")[0].partition("-")
        try:
            digest = base64.b64decode(encoded, validate=True)
        except (binascii.Error, ValueError):
            continue
        if (
            algorithm in _ALGORITHMS
            and len(digest) == hashlib.new(algorithm, usedforsecurity=False).digest_size
        ):
            found.setdefault(algorithm, digest.hex())
    return found


def integrity_of(algorithm: str, hexdigest: str) -> str:
    """The text that tells of one digest."""
    return f"{algorithm}-{base64.b64encode(bytes.fromhex(hexdigest)).decode()}"
