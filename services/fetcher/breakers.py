"""A breaker per upstream source: while it is open nobody asks, then one process probes.

The state lies in the cache Redis, so that an upstream's Retry-After holds for the whole fleet and
gateways can serve stale at once. Without Redis each fetcher goes by what it saw itself.
"""

from __future__ import annotations

import time

from shared.cache import CacheService
from shared.clients.http_pool import Lane
from shared.errors import (
    CacheUnavailable,
    OrchardError,
    UpstreamRateLimited,
    UpstreamTimeout,
    UpstreamUnavailable,
)
from shared.logs import get_logger
from shared.metrics import BREAKER_OPEN
from shared.models import FORMAT, BreakerState, UpstreamSource

log = get_logger()

FAILURES_TO_OPEN = 5  # in a row, seen by one fetcher
FIRST_OPEN_SECONDS = 5.0
MAX_OPEN_SECONDS = 30.0  # a source that is back is found within this
PROBE_SECONDS = 10.0


class Breakers:
    """Asked before and told after each request for an index, and for the head of a download."""

    def __init__(self, cache: CacheService) -> None:
        self._cache = cache
        self._failures: dict[int, int] = {}
        self._open: dict[int, BreakerState] = {}  # as last seen, for when Redis is away
        self._openings: dict[int, int] = {}

    async def check(self, source: UpstreamSource) -> None:
        """Returns if the source may be asked now; raises the error that opened its breaker if not."""
        state = await self._read(source)
        if state is None:
            return
        now = time.time()
        if now >= state.until and await self._may_probe(source):
            return
        left = max(1, int(state.until - now + 0.999))
        error = UpstreamRateLimited if state.reason == UpstreamRateLimited.code else UpstreamUnavailable
        raise error(f"upstream {source.name} is left alone for {left} s", retry_after_seconds=left)

    async def succeeded(self, source: UpstreamSource) -> None:
        """The source answered properly (a 404 is a proper answer)."""
        self._failures.pop(source.id, None)
        self._openings.pop(source.id, None)
        if self._open.pop(source.id, None) is not None:
            BREAKER_OPEN.labels(source.name).set(0)
            log.info("breaker_closed", source=source.name)
            try:
                await self._cache.clear_breaker(source.protocol, source.id)
            except CacheUnavailable as error:
                log.debug("breaker_not_cleared", error=error.code)

    async def failed(self, source: UpstreamSource, error: OrchardError, lane: Lane) -> None:
        """Count a failure; opens at once when the upstream said for how long to stay away.

        A silent download says little about the source (one file may be stuck), so time-outs count
        for indexes only.
        """
        if not isinstance(error, UpstreamRateLimited | UpstreamTimeout | UpstreamUnavailable):
            return
        if lane == "artifact" and isinstance(error, UpstreamTimeout):
            return
        told = isinstance(error, UpstreamRateLimited) or (
            error.retry_after_seconds != error.default_retry_after_seconds
        )
        count = self._failures[source.id] = self._failures.get(source.id, 0) + 1
        if not told and count < FAILURES_TO_OPEN and source.id not in self._open:
            return
        openings = self._openings[source.id] = self._openings.get(source.id, 0) + 1
        backoff = min(MAX_OPEN_SECONDS, FIRST_OPEN_SECONDS * 2 ** (openings - 1))
        state = BreakerState(
            format=FORMAT,
            source_id=source.id,
            state="open",
            until=time.time() + (error.retry_after_seconds if told else backoff),
            reason=error.code,
            retry_after_seconds=error.retry_after_seconds if told else 0,
        )
        self._open[source.id] = state
        BREAKER_OPEN.labels(source.name).set(1)
        log.warning("breaker_opened", source=source.name, reason=error.code, message=error.message)
        try:
            await self._cache.write_breaker(source.protocol, state)
        except CacheUnavailable as failure:
            log.debug("breaker_not_shared", error=failure.code)

    async def _read(self, source: UpstreamSource) -> BreakerState | None:
        try:
            state = await self._cache.read_breaker(source.protocol, source.id)
        except CacheUnavailable:
            return self._open.get(source.id)
        if state is None:
            self._open.pop(source.id, None)
        else:
            self._open[source.id] = state
        return state

    async def _may_probe(self, source: UpstreamSource) -> bool:
        try:
            return await self._cache.try_probe(source.protocol, source.id, PROBE_SECONDS)
        except CacheUnavailable:
            return True
