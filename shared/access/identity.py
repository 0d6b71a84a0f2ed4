"""How a gateway proves to the `orchard` command that it is the Orchard of its data folder.

Before the command sends the token of that folder anywhere, it asks `/health/identity` with a nonce. The
answer is HMAC-SHA-256 (RFC 2104) of the nonce and the gateway's port, keyed with the token: without the
token it cannot be computed, and whoever relays the question to the true gateway gets a proof for that one's
port. Only a generated token is used: a chosen one could be guessed offline from a proof.
"""

from __future__ import annotations

import hmac
import re
import secrets

from shared.access.tokens import is_made

PATH = "/health/identity"
_NONCE = re.compile(r"[0-9a-f]{32}")
_PURPOSE = "orchard gateway 1"


def new_nonce() -> str:
    """128 random bits, in 32 hexadecimal digits."""
    return secrets.token_hex(16)


def is_nonce(text: str) -> bool:
    """Whether `new_nonce` may have made it."""
    return _NONCE.fullmatch(text) is not None


def proof(token: str, port: int, nonce: str) -> str:
    """64 hexadecimal digits; "" where the token proves nothing."""
    if not is_made(token):
        return ""
    return hmac.digest(token.encode(), f"{_PURPOSE}:{port}:{nonce}".encode(), "sha256").hex()


def is_proof(given: object, token: str, port: int, nonce: str) -> bool:
    """Whether `given`, which may be anything, is the proof."""
    wanted = proof(token, port, nonce)
    return bool(wanted) and isinstance(given, str) and hmac.compare_digest(given.encode(), wanted.encode())
