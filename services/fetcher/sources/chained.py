"""What an upstream that is an Orchard says beyond HTTP: who it is, what its error means, that a page is old.

Only of an answer that names an Orchard in its Via (shared/http/via.py). Nothing is believed of it that a
status could not have said: a code makes a refusal or a failure more exact, and a 404 doubtful, never less
than that (docs/decisions/0038).
"""

from __future__ import annotations

import time
from collections.abc import Mapping

from shared.cache.service import CacheService
from shared.errors import Blocked, LastingError, OrchardError, UpstreamRefused
from shared.errors.catalogue import CATALOGUE
from shared.errors.passing import (
    BudgetSpent,
    CacheUnavailable,
    DeadlineExceeded,
    EnsureIncomplete,
    ObjectMissing,
    PassingError,
    SupersededError,
    UpstreamRateLimited,
    UpstreamTimeout,
    UpstreamUnavailable,
)
from shared.http.via import ERROR_HEADER, Installation, teller
from shared.models import UpstreamSource

ABSENT = frozenset({"project_not_found", "file_not_found"})
"""Codes of a true 404. Any other is about the address: a mistake in the source's, most likely."""

OF_ONE = (
    UpstreamUnavailable,
    UpstreamTimeout,
    UpstreamRateLimited,
    DeadlineExceeded,
    SupersededError,
    ObjectMissing,
    EnsureIncomplete,
    BudgetSpent,
)
"""Passing errors that say nothing of all else that this Orchard has: its own upstream's, or one thing's."""

NOTED_SECONDS = 600.0


def code_of(headers: Mapping[str, str]) -> str:
    """The code of an Orchard's error; "" for any other answer."""
    return headers.get(ERROR_HEADER, "") if teller(headers.get("via", "")) is not None else ""


def is_stale(headers: Mapping[str, str]) -> bool:
    """Whether an Orchard answered with what it had, since its own upstream cannot be asked."""
    return headers.get("x-cache", "") == "STALE" and teller(headers.get("via", "")) is not None


def meant(code: str, status: int, text: str, error: OrchardError | None) -> OrchardError | None:
    """The error that an Orchard's answer means; None where it is no failure. `error`: what its status alone
    means; `text`: the message."""
    if code in ABSENT:
        return error
    kind = CATALOGUE.get(code)
    if kind is not None and issubclass(kind, (Blocked, LastingError)):
        found: OrchardError = kind(text)
        found.of_source = True
        return found
    if status in (404, 410):
        return UpstreamRefused(text)
    if error is not None and kind is not None and issubclass(kind, PassingError):
        error.about_one = issubclass(kind, OF_ONE)
    return error


class Installations:
    """Which sources are Orchards, as their answers say; kept in the cache Redis, for people to see."""

    def __init__(self, cache: CacheService) -> None:
        self._cache = cache
        self._noted: dict[int, tuple[Installation, float]] = {}  # by source; monotonic seconds

    async def note(self, source: UpstreamSource, headers: Mapping[str, str]) -> None:
        """Keep who answered, if it is an Orchard and was not just noted."""
        found = teller(headers.get("via", ""))
        if found is None:
            return
        known, at = self._noted.get(source.id, (None, 0.0))
        now = time.monotonic()
        if known == found and now - at < NOTED_SECONDS:
            return
        self._noted[source.id] = (found, now)
        try:
            await self._cache.write_installation(source.protocol, source.id, found)
        except CacheUnavailable:
            del self._noted[source.id]
