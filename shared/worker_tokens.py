"""What opens a worker's routes for gateways: a token that both can work out and nothing in Redis tells.

The heartbeat holds a nonce; the token is HMAC-SHA-256 of it, keyed with the queue Redis's password, which
gateways and workers have and no file of Redis's data holds. Without a password (then whoever reaches that
Redis may do all that a service may) the heartbeat holds the token itself, as it did in earlier versions.
"""

from __future__ import annotations

import hmac
import secrets

from shared.heartbeat import Heartbeat

_PURPOSE = b"orchard worker token 1:"


class WorkerToken:
    """Of one worker: `token` is what it takes, `published` and `nonce` are what its heartbeat says."""

    def __init__(self, secret: str) -> None:
        self.nonce = secrets.token_hex(16) if secret else ""
        self.token = _derived(secret, self.nonce) if secret else secrets.token_hex(16)
        self.published = "" if secret else self.token


def token_for(heartbeat: Heartbeat, secret: str) -> str:
    """The token of the worker that sent this heartbeat, "" where it has none for us."""
    if heartbeat.token or not (heartbeat.nonce and secret):
        return heartbeat.token
    return _derived(secret, heartbeat.nonce)


def _derived(secret: str, nonce: str) -> str:
    return hmac.digest(secret.encode(), _PURPOSE + nonce.encode(), "sha256").hex()
