"""Breakers of sources, as processes share them."""

from __future__ import annotations

from shared.cache.service import CacheService
from shared.models import BreakerState


async def read_breaker(
    cache: CacheService, protocol: str, source_id: int, name: str = "index"
) -> BreakerState | None:
    """One of them; None where it is closed."""
    (state,) = await cache.read_breakers(protocol, source_id, [name])
    return state
