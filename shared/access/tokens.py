"""Tokens: generating them, hashing them, and finding them in an Authorization header.

Only the SHA-256 is stored. A slow hash (argon2, bcrypt) protects passwords, which can be guessed; a token
has 256 random bits, so guessing is hopeless, and every request may be checked in a microsecond. Digests are
looked up in a dictionary: timing reveals a digest at most, not a token.
"""

from __future__ import annotations

import binascii
import hashlib
import re
import secrets
from base64 import b64decode

PREFIX = "orchard_"  # so that scanners of repositories and logs can know one
SHORT_PREFIX = PREFIX + "short_"  # of tokens that an identity token was exchanged for
MAX_HEADER_BYTES = 4096
BASIC = 'Basic realm="Orchard", charset="UTF-8"'
"""The challenge of a 401 (RFC 9110 §11.6.1); pip, uv, mvn and poetry send credentials only when asked."""

_MADE = re.compile(PREFIX + r"[A-Za-z0-9_-]{43}")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+-]{0,63}")


def new_token() -> str:
    """A token of 256 random bits, in characters that need no quoting in URLs, netrc or XML."""
    return PREFIX + secrets.token_urlsafe(32)


def new_short_token() -> str:
    """As `new_token`, of those that no list has (services/gateway/door/grants.py)."""
    return SHORT_PREFIX + secrets.token_urlsafe(32)


def is_made(token: str) -> bool:
    """Whether it has the form of generated tokens, which cannot be guessed."""
    return _MADE.fullmatch(token) is not None


def digest_of(token: bytes) -> bytes:
    """The stored form of a token: its SHA-256."""
    return hashlib.sha256(token).digest()


def is_token_name(text: str) -> bool:
    """Whether a token may be called so: 1 to 64 of A-Z, a-z, 0-9 and "._@+-", starting with one of the
    first."""
    return _NAME.fullmatch(text) is not None


def as_bearer(authorization: bytes) -> bytes:
    """An Authorization header that is a token alone, as Cargo sends it, with the scheme that it lacks; any
    other as it is."""
    token = authorization.strip()
    return authorization if not token or b" " in token else b"Bearer " + token


def presented(authorization: bytes) -> bytes | None:
    """The token in an Authorization header: Bearer (RFC 6750 §2.1), or the password of Basic under any
    user name (RFC 7617 §2). None for anything else."""
    if len(authorization) > MAX_HEADER_BYTES:
        return None
    scheme, _, rest = authorization.strip().partition(b" ")
    rest = rest.strip()
    kind = scheme.lower()
    if kind == b"bearer":
        return rest or None
    if kind != b"basic":
        return None
    try:
        pair = b64decode(rest, validate=True)
    except (binascii.Error, ValueError):
        return None
    _, colon, password = pair.partition(b":")
    return password if colon and password else None
