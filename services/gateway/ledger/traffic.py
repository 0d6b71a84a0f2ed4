"""How many requests and bytes each day had, and how many no upstream was asked for: of all gateways.

Each gateway writes what it has counted of a day under its own name, as totals and not as additions: writing
one twice changes nothing. They lie in the queue Redis, one hash a day.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime

import msgspec

from shared.errors.passing import QueueUnavailable
from shared.process.periodic import Every
from shared.redis.client import RedisClient
from shared.telemetry.answered import Totals

KEY_PREFIX = "orchard:traffic:"
FLUSH_SECONDS = 5.0
KEPT_SECONDS = 40 * 86_400
_NONE = Totals()


class Traffic(msgspec.Struct, frozen=True, array_like=True):
    """Sums of one protocol over a day."""

    requests: int = 0
    saved_requests: int = 0
    size_bytes: int = 0
    saved_bytes: int = 0


class TrafficLog:
    """What one gateway counts, by day. `open` starts writing, `aclose` writes the rest."""

    def __init__(
        self,
        redis: RedisClient,
        read_totals: Callable[[], Mapping[str, Totals]],
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`read_totals`: by protocol since this process began."""
        self._redis = redis
        self._read_totals = read_totals
        self._clock = clock
        self._name = uuid.uuid4().hex[:12]
        self._day = ""
        self._before: dict[str, Totals] = {}  # the totals as the day began
        self._last: dict[str, Totals] = {}
        self._written: dict[str, Traffic] = {}
        self._flushes = Every(FLUSH_SECONDS, self.flush, name="traffic")

    async def open(self) -> None:
        """Start."""
        await self._flushes.open()

    async def aclose(self) -> None:
        """Write what was not written yet."""
        await self._flushes.aclose()
        await self.flush()

    async def flush(self) -> None:
        """Write now; while Redis is away the next turn writes the same and more."""
        today = datetime.fromtimestamp(self._clock(), UTC).date().isoformat()
        totals = dict(self._read_totals())
        if today != self._day:
            # What the seconds before midnight brought counts for the day that begins.
            self._before = self._last
            self._day, self._written = today, {}
        self._last = totals
        of_today = {name: _since(each, self._before.get(name, _NONE)) for name, each in totals.items()}
        changed = {
            name: each for name, each in of_today.items() if each.requests and each != self._written.get(name)
        }
        if not changed:
            return
        fields = {f"{name}:{self._name}": msgspec.msgpack.encode(each) for name, each in changed.items()}
        try:
            await self._redis.command(
                "HSET", KEY_PREFIX + today, *(part for pair in fields.items() for part in pair)
            )
            await self._redis.command("EXPIRE", KEY_PREFIX + today, KEPT_SECONDS)
        except QueueUnavailable:
            return
        self._written |= changed

    async def read(self, days: Sequence[str]) -> list[dict[str, Traffic]]:
        """By protocol, for each day ("2026-11-29"), this gateway's until now. Raises `QueueUnavailable`."""
        await self.flush()
        return [await self._read(day) for day in days]

    async def _read(self, day: str) -> dict[str, Traffic]:
        found: dict[str, Traffic] = {}
        raw = await self._redis.command("HGETALL", KEY_PREFIX + day)
        for field, value in _pairs(raw):
            protocol = field.partition(b":")[0].decode("utf-8", "replace")
            try:
                each = msgspec.msgpack.decode(value, type=Traffic)
            except msgspec.MsgspecError:
                continue  # another version's
            found[protocol] = _sum(found.get(protocol, Traffic()), each)
        return found


def _since(now: Totals, before: Totals) -> Traffic:
    return Traffic(
        now.requests - before.requests,
        now.saved_requests - before.saved_requests,
        now.size_bytes - before.size_bytes,
        now.saved_bytes - before.saved_bytes,
    )


def _sum(one: Traffic, other: Traffic) -> Traffic:
    return Traffic(
        one.requests + other.requests,
        one.saved_requests + other.saved_requests,
        one.size_bytes + other.size_bytes,
        one.saved_bytes + other.saved_bytes,
    )


def _pairs(raw: object) -> list[tuple[bytes, bytes]]:
    if isinstance(raw, Mapping):
        return [(bytes(name), bytes(value)) for name, value in raw.items()]
    assert isinstance(raw, list)
    return list(zip(raw[::2], raw[1::2], strict=True))
