"""Public keys of issuers (JWK, RFC 7517), and which of them a token names."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import msgspec

KEY_TYPES = {"RS256": "RSA", "ES256": "EC", "EdDSA": "OKP"}
"""The algorithms, each with its key's `kty`. Those with a shared secret, and "none", prove nothing here."""


class Head(msgspec.Struct, frozen=True):
    """What a token says of its signature."""

    alg: str
    kid: str | None


def key_for(head: Head, keys: Sequence[dict[str, Any]]) -> dict[str, Any] | None:
    """The key that a token names; where it names none, the only one that fits. None: there is none."""
    fitting = [
        each for each in keys
        if each.get("kty") == KEY_TYPES[head.alg] and each.get("use", "sig") == "sig"
        and each.get("alg", head.alg) == head.alg
    ]  # fmt: skip
    if head.kid is None:
        return fitting[0] if len(fitting) == 1 else None
    return next((each for each in fitting if each.get("kid") == head.kid), None)


def read_keys(text: str | bytes) -> list[dict[str, Any]]:
    """The keys of a JWKS (RFC 7517 section 5) that may be of use. Raises `ValueError`."""
    document = json.loads(text)
    keys = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(keys, list):
        raise ValueError("no keys")
    return [each for each in keys if isinstance(each, dict) and each.get("kty") in KEY_TYPES.values()]
