"""Sources' credentials at rest: encrypted with AES-256-GCM under ORCHARD_SECRET_KEY, bound to one origin.

A sealed text belongs to one origin (scheme, host, port): whoever may write rows but has no key cannot
move it to a row whose URL leads elsewhere. Of several keys the first seals and all open, so a key is
changed by putting a new one in front. AES-GCM with a random 96-bit nonce: NIST SP 800-38D §8.2.2.
"""

from __future__ import annotations

import binascii
import hashlib
import os
from base64 import b64decode, b64encode
from collections.abc import Sequence

import msgspec
from Crypto.Cipher import AES

from shared.errors import ConfigurationError, SourceUnusable
from shared.sources.credentials import Credentials
from shared.sources.urls import origin_text

VARIABLE = "ORCHARD_SECRET_KEY"
_FORMAT = "1"
_NONCE_BYTES = 12
_TAG_BYTES = 16


class SealingBox:
    """Seals and opens; without any key it can do neither, and says so."""

    def __init__(self, keys: Sequence[bytes] = ()) -> None:
        """`keys`: 32 bytes each; the first one seals."""
        self._keys = {_key_id(key): key for key in keys}
        self._current = _key_id(keys[0]) if keys else ""

    @classmethod
    def from_texts(cls, texts: Sequence[str]) -> SealingBox:
        """From base64, as in ORCHARD_SECRET_KEY. Raises `ConfigurationError`."""
        return cls([_key(text) for text in texts])

    @property
    def has_key(self) -> bool:
        """Whether anything can be sealed."""
        return bool(self._keys)

    def is_current(self, sealed: str) -> bool:
        """Whether a text was sealed with the key that seals now."""
        return sealed.startswith(f"{_FORMAT}:{self._current}:") if self._current else False

    def seal(self, credentials: Credentials, url: str) -> str:
        """Printable text that only these keys open, and only for `url`'s origin. Raises `SourceUnusable`."""
        if not self._current:
            raise SourceUnusable(f"credentials cannot be kept: {VARIABLE} is not set")
        nonce = os.urandom(_NONCE_BYTES)
        cipher = AES.new(self._keys[self._current], AES.MODE_GCM, nonce=nonce, mac_len=_TAG_BYTES)
        cipher.update(_bound_to(url))
        text, tag = cipher.encrypt_and_digest(msgspec.json.encode(credentials))
        return f"{_FORMAT}:{self._current}:{b64encode(nonce + text + tag).decode()}"

    def open(self, sealed: str, url: str) -> Credentials:
        """What was sealed for this origin. Raises `SourceUnusable`, whose message says why and no more."""
        form, _, rest = sealed.partition(":")
        key_id, _, encoded = rest.partition(":")
        if form != _FORMAT:
            raise SourceUnusable("its credentials are sealed in a form that this version does not know")
        if key_id not in self._keys:
            raise SourceUnusable(
                f"its credentials were sealed with the key {key_id!r:.20}, not in {VARIABLE}"
            )
        try:
            raw = b64decode(encoded, validate=True)
            nonce, text, tag = raw[:_NONCE_BYTES], raw[_NONCE_BYTES:-_TAG_BYTES], raw[-_TAG_BYTES:]
            cipher = AES.new(self._keys[key_id], AES.MODE_GCM, nonce=nonce, mac_len=_TAG_BYTES)
            cipher.update(_bound_to(url))
            return msgspec.json.decode(cipher.decrypt_and_verify(text, tag), type=Credentials)
        except (ValueError, binascii.Error, msgspec.MsgspecError):
            raise SourceUnusable("its sealed credentials are not of this URL, or were changed") from None


def _key(text: str) -> bytes:
    try:
        key = b64decode(text, validate=True)
    except (ValueError, binascii.Error):
        key = b""
    if len(key) != 32:
        raise ConfigurationError(
            f"{VARIABLE}: each key is 32 random bytes in base64 (openssl rand -base64 32)"
        )
    return key


def _key_id(key: bytes) -> str:
    return hashlib.sha256(b"orchard secret key " + key).hexdigest()[:8]


def _bound_to(url: str) -> bytes:
    return f"orchard upstream credentials for {origin_text(url)}".encode()
