"""Rate limits per client: work that no cache answers is metered, hits never are.

Who starts a job pays for it; who joins one that runs does not. Counted in this process: a budget is a guard
against floods, not a bill, and holds while Redis is away. N gateways give N budgets.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

from services.gateway.door.access import Access, client_of
from services.gateway.http.requests import Headers
from shared.errors.passing import BudgetSpent
from shared.process.bounded import Bounded
from shared.queue.jobs import AnyJob, Ensure, FetchArtifact, MakeBundle, Resolve, SealLock
from shared.settings import Settings

WINDOW_SECONDS = 300
MOST_CLIENTS = 65_536  # clients remembered; the least recently seen is forgotten

asking: ContextVar[tuple[Any, Headers] | None] = ContextVar("asking", default=None)
"""The scope and headers of the request that is being answered."""


class Window:
    """A sliding window counter: of the window before counts the part that still overlaps."""

    def __init__(self, amount: int, *, now: Callable[[], float] = time.monotonic) -> None:
        """`amount` per client in `WINDOW_SECONDS`; 0 = no limit."""
        self._amount = amount
        self._now = now
        self._counts = Bounded[str, tuple[int, int, int]](MOST_CLIENTS)  # number, before, in it

    def wait_seconds(self, client: str) -> int:
        """0 while something is left, else when to ask again."""
        _number, before, within, passed = self._at(client)
        if not self._amount or before * (1 - passed) + within < self._amount:
            return 0
        left = WINDOW_SECONDS * (1 - passed)
        return max(1, math.ceil(left if within >= self._amount else min(left, 10)))

    def count(self, client: str, cost: int = 1) -> None:
        """Take `cost` out of what is left, even below zero."""
        number, before, within, _ = self._at(client)
        self._counts.put(client, (number, before, within + cost))

    def _at(self, client: str) -> tuple[int, int, int, float]:
        number, passed = divmod(self._now() / WINDOW_SECONDS, 1)
        last, before, within = self._counts.get(client) or (0, 0, 0)
        if last != number:
            before, within = (within if last == number - 1 else 0), 0
        return int(number), before, within, passed


class Budgets:
    """The budgets of all clients of one gateway."""

    def __init__(self, settings: Settings, access: Access) -> None:
        self._access = access
        self._misses = Window(settings.client_misses)
        self._starts = Window(settings.client_starts)
        self._cold_bytes = Window(settings.client_cold_bytes)

    def start(self, job: AnyJob) -> None:
        """Count a job that is started for the request of this context. Raises `BudgetSpent`."""
        client = self._client()
        if client is None:
            return
        if isinstance(job, Resolve | Ensure | MakeBundle | SealLock):
            _check(self._starts, client, "resolutions, ensure files and bundles")
            self._starts.count(client)
            return
        _check(self._misses, client, "pages and files that were not here")
        if isinstance(job, FetchArtifact):
            _check(self._cold_bytes, client, "bytes that were not here")
        self._misses.count(client)

    def came(self, size_bytes: int | None) -> None:
        """Count the bytes of a file whose download was started for this context's request."""
        client = self._client()
        if client is not None and size_bytes:
            self._cold_bytes.count(client, size_bytes)

    def _client(self) -> str | None:
        request = asking.get()
        return None if request is None else client_of(self._access, *request)


def _check(window: Window, client: str, what: str) -> None:
    seconds = window.wait_seconds(client)
    if seconds:
        raise BudgetSpent(
            f"this client has asked for too many {what} in {WINDOW_SECONDS} s",
            retry_after_seconds=min(60, seconds),
        )
