"""Sessions of browsers: a person who showed a token once is known by a cookie, on the pages alone.

The cookie holds a random name. What it stands for lies in the queue Redis, which all gateways share and which
never evicts: whose token it was, by its digest. Each request looks that token up anew, so revoking it ends
its sessions. A sign-in by a provider (OpenID Connect) begins one in the same way, with the digest of a grant.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Mapping
from typing import Any

import msgspec

from services.gateway.door.access import Access
from services.gateway.door.grants import Grants
from shared.access.repository import KnownToken
from shared.models import FORMAT
from shared.redis.client import RedisClient

PAGES = b"/ui/"
COOKIE = "orchard_session"
LIFE_SECONDS = 12 * 3600  # a working day; not prolonged by use
KEY_PREFIX = "orchard:session:"
GRANTED = "orchard.granted"
"""In an ASGI scope: the `KnownToken` of the session by which a request may do what its token may. No client
can put anything there."""

_SENT = re.compile(rb"(?:^|[;\s])" + COOKIE.encode() + rb"=([A-Za-z0-9_-]{43})(?:$|[;\s])")


class Session(msgspec.Struct, frozen=True):
    """What is kept of a session."""

    format: int
    digest: str  # hex, of the token
    is_grant: bool = False  # rather than a token of the list


class Sessions:
    """All methods raise `QueueUnavailable`."""

    def __init__(self, redis: RedisClient, access: Access, grants: Grants) -> None:
        self._redis = redis
        self._access = access
        self._grants = grants

    async def begin(self, token: KnownToken, *, is_grant: bool = False) -> str:
        """A new session; the value of its cookie."""
        name = secrets.token_urlsafe(32)
        value = msgspec.msgpack.encode(Session(FORMAT, token.digest, is_grant))
        await self._redis.command("SET", _key(name), value, "EX", LIFE_SECONDS)
        return name

    async def find(self, headers: Mapping[bytes, bytes], client: str) -> KnownToken | None:
        """The token whose session the request's cookie names; None: there is none, it has ended, or its token
        is not good from the address `client`."""
        name = _name_in(headers)
        session = _read(await self._redis.command("GET", _key(name))) if name else None
        if session is None:
            return None
        if session.is_grant:
            await self._grants.learn_digest(bytes.fromhex(session.digest))
        return self._access.by_digest(session.digest, client)

    async def end(self, headers: Mapping[bytes, bytes]) -> bool:
        """End the session that the request's cookie names; whether a provider began it."""
        name = _name_in(headers)
        session = _read(await self._redis.command("GETDEL", _key(name))) if name else None
        return session is not None and session.is_grant


def _read(raw: Any) -> Session | None:
    """None: there is none, or it is another version's."""
    if raw is None:
        return None
    try:
        session = msgspec.msgpack.decode(raw, type=Session)
    except msgspec.MsgspecError:
        return None
    return session if session.format == FORMAT else None


def granted(scope: Any) -> KnownToken | None:
    """The token of the session that a request belongs to."""
    found = scope.get(GRANTED)
    return found if isinstance(found, KnownToken) else None


def _name_in(headers: Mapping[bytes, bytes]) -> str:
    found = _SENT.search(headers.get(b"cookie", b""))
    return "" if found is None else found[1].decode()


def _key(name: str) -> str:
    # Hashed: whoever reads the Redis cannot take a session over.
    return KEY_PREFIX + hashlib.sha256(name.encode()).hexdigest()
