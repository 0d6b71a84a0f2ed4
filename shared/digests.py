"""Digests: their textual form, and which of several decides."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping

_SHA256 = re.compile(r"[0-9a-f]{64}")

# Strongest first. What is not in this list proves nothing.
_BY_STRENGTH = (
    "sha512", "sha3_512", "blake2b", "sha384", "sha3_384", "sha256", "sha3_256", "blake2s",
    "sha224", "sha3_224", "sha1", "md5",
)  # fmt: skip


def is_sha256(text: str) -> bool:
    """Whether this is a SHA256 in lower-case hex."""
    return _SHA256.fullmatch(text) is not None


def strongest(hashes: Mapping[str, str]) -> tuple[str, list[str]] | None:
    """The strongest usable hash that an index names: the algorithm (hashlib's name), and its hex, in lower
    case; None if there is none. Hex may be several, apart by spaces: any of them will do (W3C SRI, 3.3.4)."""
    for algorithm in _BY_STRENGTH:
        named = hashes.get(algorithm, "").lower().split()
        if named:
            return algorithm, named
    return None


def matches(hashes: Mapping[str, str], data: bytes) -> bool:
    """Whether data are what an index says of them by the strongest usable hash; True where it says nothing
    that could be checked."""
    said = strongest(hashes)
    return said is None or hashlib.new(said[0], data, usedforsecurity=False).hexdigest() in said[1]
