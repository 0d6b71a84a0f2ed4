"""What opens a worker's routes for gateways: a token that both can work out and nothing in Redis tells.

The heartbeat holds a nonce; the token is HMAC-SHA-256 of it, keyed with the queue Redis's password, which
gateways and workers have and no file of Redis's data holds. Without a password (then whoever reaches that
Redis may do all that a service may) the heartbeat holds the token itself, as it did in earlier versions.

Gateways one version back know nothing of nonces: for them the heartbeat holds a second token, which opens
nothing but `/forward`. It goes with the next release.
"""

from __future__ import annotations

import hmac
import secrets

from shared.worker.heartbeat import Heartbeat

_PURPOSE = b"orchard worker token 1:"


class WorkerToken:
    """Of one worker: `token` is what it takes, `published` and `nonce` are what its heartbeat says.

    With a secret, `published` is the token of gateways one version back: good for `/forward` alone.
    """

    def __init__(self, secret: str) -> None:
        self.nonce = secrets.token_hex(16) if secret else ""
        self.published = secrets.token_hex(16)
        self.token = _derived(secret, self.nonce) if secret else self.published


def token_for(heartbeat: Heartbeat, secret: str) -> str:
    """The token of the worker that sent this heartbeat, "" where it has none for us."""
    if heartbeat.nonce:
        return _derived(secret, heartbeat.nonce) if secret else ""
    return heartbeat.token


def _derived(secret: str, nonce: str) -> str:
    return hmac.digest(secret.encode(), _PURPOSE + nonce.encode(), "sha256").hex()
