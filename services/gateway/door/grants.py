"""Grants: what somebody may do for a while who proved by an issuer who that is, and has no token in a list.

They lie in the queue Redis, which all gateways share: one that is made counts at all of them at once, and
ends there by itself. A gateway reads one when it first sees its token, and then holds it until it is over or
its trust is gone, whether Redis answers or not.
"""

from __future__ import annotations

import msgspec

from services.gateway.door.access import Access
from shared.access.bounds import Bounds
from shared.access.repository import KnownToken
from shared.access.tokens import SHORT_PREFIX, digest_of, presented
from shared.errors import OrchardError, TooManyGuesses
from shared.models import FORMAT
from shared.redis.client import RedisClient
from shared.redis.script import Script
from shared.telemetry.logs import get_logger

log = get_logger()

KEY_PREFIX = "orchard:grant:"
COUNT_PREFIX = "orchard:grants:"
MOST = 20_000  # by one trust, in `WINDOW_SECONDS`: what a Redis that never evicts is asked to hold
WINDOW_SECONDS = 900

_SHORT = SHORT_PREFIX.encode()

_COUNT = Script("""
-- KEYS: a trust's count.  ARGV: seconds of its window.
local count = redis.call('INCR', KEYS[1])
if redis.call('TTL', KEYS[1]) < 0 then redis.call('EXPIRE', KEYS[1], ARGV[1]) end
return count
""")


class Grant(msgspec.Struct, frozen=True):
    """What is kept of one, under the digest of its token."""

    format: int
    trust: str  # the id of what it was given by
    name: str
    scope: str
    bounds: Bounds


class Grants:
    """All methods but `learn` raise `QueueUnavailable`."""

    def __init__(self, redis: RedisClient, access: Access) -> None:
        self._redis = redis
        self._access = access

    async def make(
        self, trust: str, token: bytes, name: str, scope: str, bounds: Bounds, now: float
    ) -> KnownToken:
        """Let `token` do this until `bounds` end. Raises `TooManyGuesses` where the trust gave too many."""
        if int(await _COUNT.run(self._redis, [COUNT_PREFIX + trust], [WINDOW_SECONDS])) > MOST:
            raise TooManyGuesses(
                f"more than {MOST} tokens were exchanged by one rule within {WINDOW_SECONDS // 60} minutes",
                hint="Exchange one for each job, not for each request.",
                retry_after_seconds=60,
            )
        digest = digest_of(token)
        value = msgspec.msgpack.encode(Grant(FORMAT, trust, name, scope, bounds))
        await self._redis.command("SET", _key(digest), value, "EX", max(1, int(bounds.expires_at - now)))
        known = KnownToken(0, name, scope, digest.hex(), bounds)
        self._access.learn(digest, known, trust)
        return known

    async def learn(self, authorization: bytes) -> None:
        """Have `Access` know the grant of a header that it does not know. Where Redis does not answer,
        `Access` says so of such tokens."""
        given = presented(authorization)
        if given is None or not given.startswith(_SHORT) or len(given) > 128:
            return
        digest = digest_of(given)
        if self._access.has_learnt(digest):
            return
        try:
            await self.learn_digest(digest)
            self._access.grants_unknown = False
        except OrchardError as error:
            self._access.grants_unknown = True
            log.warning("grant_not_read", code=error.code)

    async def learn_digest(self, digest: bytes) -> None:
        """The same for a digest, which a session names."""
        if self._access.has_learnt(digest):
            return
        raw = await self._redis.command("GET", _key(digest))
        if raw is None:
            return
        try:
            grant = msgspec.msgpack.decode(raw, type=Grant)
        except msgspec.MsgspecError:
            return  # another version's
        if grant.format == FORMAT:
            known = KnownToken(0, grant.name, grant.scope, digest.hex(), grant.bounds)
            self._access.learn(digest, known, grant.trust)


def _key(digest: bytes) -> str:
    return KEY_PREFIX + digest.hex()
