"""Shared state of upstream sources: revision, breakers, and which process may probe."""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec

from shared.cache.keys import (
    Category,
    breaker_key,
    breakers_key,
    installation_key,
    pause_key,
    revision_key,
)
from shared.cache.scripts import RAISE_REVISION, READ_BREAKERS, WRITE_BREAKER
from shared.cache.values import CacheValues, decode_breaker, decode_installation, decode_revision, encode
from shared.http.via import Installation
from shared.models import MOST_REVISION, BreakerState

BREAKER_KEPT_SECONDS = 600  # after its pause: long enough for someone to probe
INSTALLATION_KEPT_SECONDS = 3600  # a source that is no Orchard any more is shown as one for so long


class SourceStates(CacheValues):
    """Part of `CacheService`. Losing any of it (eviction) costs a request to the upstream, no more."""

    async def read_revision(self, protocol: str) -> int:
        """Revision of the protocol's sources; 0 = unknown."""
        return decode_revision((await self._redis.get_many([revision_key(protocol)]))[0] or b"0") or 0

    async def raise_revision(self, protocol: str, revision: int) -> int:
        """Make the revision at least this; pages of older ones become misses everywhere. The one that
        holds now: a higher one was read from rows that are gone (`SourceRepository.lift`)."""
        keep = self.ttls[Category.UPSTREAM_SOURCES] or 3600
        arguments = [revision, keep, MOST_REVISION]
        return int(await RAISE_REVISION.run(self._redis, [revision_key(protocol)], arguments))

    async def read_breakers(
        self, protocol: str, source_id: int, names: Sequence[str]
    ) -> list[BreakerState | None]:
        """For each name the state of its open breaker, with the seconds left; None where it is closed."""
        keys = [make(protocol, source_id, name) for name in names for make in (breaker_key, pause_key)]
        found = await READ_BREAKERS.run(self._redis, keys, [])
        states = []
        for key, raw, left in zip(keys[::2], found[::2], found[1::2], strict=True):
            state = self._decoded(key, raw or None, decode_breaker)
            if state is not None:
                state = msgspec.structs.replace(state, left_seconds=max(0, left) / 1000)
            states.append(state)
        return states

    async def open_breakers(self, protocol: str, source_id: int) -> list[BreakerState]:
        """All of a source's breakers that are open, by name."""
        members = await self._redis.command("SMEMBERS", breakers_key(protocol, source_id))
        if not members:
            return []
        names = sorted(name.decode() if isinstance(name, bytes) else str(name) for name in members)
        found = await self.read_breakers(protocol, source_id, names)
        return [state for state in found if state is not None]

    async def write_breaker(
        self, protocol: str, breaker: BreakerState, *, kept_seconds: int = BREAKER_KEPT_SECONDS
    ) -> None:
        """Open a breaker for all processes for `left_seconds`. Stored for `kept_seconds` after that, and
        listed if that is the default."""
        source_id, name = breaker.source_id, breaker.name
        pause = math.ceil(breaker.left_seconds * 1000)
        keys = [make(protocol, source_id, name) for make in (breaker_key, pause_key)]
        keys.append(breakers_key(protocol, source_id))
        kept = pause + kept_seconds * 1000
        listed = name if kept_seconds == BREAKER_KEPT_SECONDS else ""
        value = encode(msgspec.structs.replace(breaker, left_seconds=0.0))
        await WRITE_BREAKER.run(self._redis, keys, [value, kept, pause, listed])

    async def clear_breaker(self, protocol: str, source_id: int, name: str = "index") -> None:
        """Close a breaker."""
        await self._redis.unlink(*(make(protocol, source_id, name) for make in (breaker_key, pause_key)))
        await self._redis.command("SREM", breakers_key(protocol, source_id), name)

    async def write_installation(self, protocol: str, source_id: int, found: Installation) -> None:
        """Note which Orchard a source is."""
        key = installation_key(protocol, source_id)
        await self._redis.command("SET", key, encode(found), "EX", INSTALLATION_KEPT_SECONDS)

    async def read_installation(self, protocol: str, source_id: int) -> Installation | None:
        """Which Orchard a source is, as it said within the last hour; None: none, or it was not asked."""
        raw = await self._redis.command("GET", installation_key(protocol, source_id))
        return None if raw is None else decode_installation(raw)

    async def try_probe(self, protocol: str, source_id: int, ttl: float, name: str = "index") -> bool:
        """Whether the caller may probe: one of all processes in `ttl` seconds, none while a pause runs.

        (If the reply is lost with its connection, the retry says no although the right was ours:
        nobody probes until it runs out.)
        """
        milliseconds = max(1, int(ttl * 1000))
        key = pause_key(protocol, source_id, name)
        return bool(await self._redis.command("SET", key, b"1", "NX", "PX", milliseconds))
