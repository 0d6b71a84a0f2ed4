"""What of a source is not asked just now, as fetchers have noted it."""

from __future__ import annotations

from services.gateway.api.admin.upstream_types import LeftAlone
from shared.cache.service import CacheService
from shared.errors.passing import CacheUnavailable


async def left_alone(cache: CacheService, protocol: str, source_id: int) -> list[LeftAlone]:
    """A source's open breakers; none while the cache Redis is away."""
    try:
        found = await cache.open_breakers(protocol, source_id)
    except CacheUnavailable:
        return []
    return [LeftAlone(each.name, each.reason, each.message, round(each.left_seconds, 1)) for each in found]
