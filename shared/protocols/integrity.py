"""Subresource Integrity (W3C SRI, "Integrity metadata"): digests as "sha512-{base64}?options …"."""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Mapping

_ALGORITHMS = ("sha512", "sha384", "sha256", "sha1")


def digests_in(integrity: object) -> dict[str, str]:
    """Algorithm → hex of some text; what is not understood is left out. Several of one algorithm stand apart
    by spaces: bytes that have any of them are right (SRI, 3.3.4), and so clients take them."""
    found: dict[str, str] = {}
    for token in integrity.split() if isinstance(integrity, str) else ():
        algorithm, _, encoded = token.partition("?")[0].partition("-")
        try:
            bare = encoded.rstrip("=")  # clients do not ask for the right number of them
            digest = base64.b64decode(bare + "=" * (-len(bare) % 4), validate=True)
        except (binascii.Error, ValueError):
            continue
        if (
            algorithm in _ALGORITHMS
            and len(digest) == hashlib.new(algorithm, usedforsecurity=False).digest_size
        ):
            known = found.get(algorithm, "").split()
            if digest.hex() not in known:
                found[algorithm] = " ".join((*known, digest.hex()))
    return found


def share(old: str, new: str) -> bool:
    """Whether two such texts of one algorithm have a digest in common."""
    return bool(set(old.split()) & set(new.split()))


def told_in(digests: Mapping[str, str], told: Mapping[str, str]) -> bool:
    """Whether `told` names all these algorithms, each with a digest of `digests`."""
    return all(share(value, told.get(algorithm, "")) for algorithm, value in digests.items())


def integrity_of(algorithm: str, hexdigest: str) -> str:
    """The text that tells of one digest."""
    return f"{algorithm}-{base64.b64encode(bytes.fromhex(hexdigest)).decode()}"
