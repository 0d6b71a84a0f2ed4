"""Signatures that a registry itself makes of what it lists: ECDSA over P-256 with SHA-256.

Its public keys are an operator's files, in the form of a registry's keys endpoint: fetched with the list they
would come from the same hands. `{"keys": [{"keyid": "SHA256:…", "key": "base64 of DER", "expires": null}]}`
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import msgspec

from services.fetcher.provenance.items import Item


class _Key(msgspec.Struct, frozen=True):
    keyid: str
    key: str
    expires: datetime | None = None


class _Keys(msgspec.Struct, frozen=True):
    keys: list[_Key]


class Key(msgspec.Struct, frozen=True):
    """`public` is of cryptography; `until` in unix seconds, 0: for ever."""

    public: Any
    until: float


def read_keys(paths: Iterable[str]) -> dict[str, Key]:
    """By their ids. Raises `OSError`, `ValueError` for a file that is none."""
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
    from cryptography.hazmat.primitives.serialization import load_der_public_key

    found = {}
    for path in paths:
        for each in msgspec.json.decode(Path(path).read_bytes(), type=_Keys).keys:
            until = 0.0 if each.expires is None else each.expires.timestamp()
            public = load_der_public_key(base64.b64decode(each.key))
            if not isinstance(public, EllipticCurvePublicKey):
                raise ValueError(f"the key {each.keyid[:40]!r} is of another kind")
            found[each.keyid] = Key(public, until)
    return found


def of_registry(keys: Mapping[str, Key], item: Item) -> Literal["", "verified", "failed"]:
    """Whether any signature of a known key is right that was good when it was published."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ec import ECDSA
    from cryptography.hazmat.primitives.hashes import SHA256

    if not (keys and item.signatures):
        return ""
    for name, signature in item.signatures:
        key = keys.get(name)
        if key is None or (key.until and not item.published < key.until):
            continue
        try:
            key.public.verify(base64.b64decode(signature, validate=True), item.signed, ECDSA(SHA256()))
            return "verified"
        except (InvalidSignature, ValueError):
            continue
    return "failed"
