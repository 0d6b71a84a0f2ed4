"""Whose the slots for refreshes are: a slow source takes some of them, never those of the others.

In each fetcher for its own slots. A refresh whose source has its share is put back for a moment: gateways
serve the page as STALE meanwhile, and a client that cannot be served has the job moved to the queue of pages.
"""

from __future__ import annotations

import contextlib
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from shared.queue.context import Deferred

SLOW_SECONDS = 2.0
"""A source is slow while a refresh of it runs for longer, and until one took less."""
LONGEST_SECONDS = 30.0


@dataclass
class _Source:
    began: list[float] = field(default_factory=list)  # of those that run, the oldest first
    was_slow: bool = False
    turned_away: int = 0  # since the last of them ended


class SourceShares:
    """Of `slots`: an eighth is never one source's, and three quarters are never a slow one's."""

    def __init__(self, slots: int, now: Callable[[], float] = time.monotonic) -> None:
        self._slots = slots
        self._now = now
        self._sources: dict[int, _Source] = {}

    @contextlib.contextmanager
    def turn(self, source_id: int) -> Iterator[None]:
        """A context manager around one refresh. Raises `Deferred` where the source has its share: the more
        wait, the later they look again."""
        source = self._sources.setdefault(source_id, _Source())
        began = self._now()
        most = self._most(source, began)
        if len(source.began) >= most:
            source.turned_away += 1
            seconds = random.uniform(1.0, 2.0) * (1 + source.turned_away / most)
            raise Deferred(min(LONGEST_SECONDS, seconds))
        source.began.append(began)
        try:
            yield
        finally:
            source.began.remove(began)
            source.was_slow = self._now() - began > SLOW_SECONDS
            source.turned_away = 0
            if not source.began and not source.was_slow:
                del self._sources[source_id]

    def _most(self, source: _Source, now: float) -> int:
        is_slow = source.was_slow or (source.began and now - source.began[0] > SLOW_SECONDS)
        return max(1, self._slots // 4 if is_slow else self._slots - max(1, self._slots // 8))
