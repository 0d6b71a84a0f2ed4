"""Opens what a process owns, in order, and closes it in reverse.

One failed or hanging close never stops the rest: each has its time, and is logged. A failed open
closes what was opened before it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Protocol, Self, TypeVar

from shared.telemetry.logs import get_logger

log = get_logger()

CLOSE_SECONDS = 3.0  # three slow closes still fit into the ten seconds that a stop may take
_CANCEL_SECONDS = 0.5  # for a cancelled close to end


class Openable(Protocol):
    """Something with connections, files or tasks of its own."""

    def open(self) -> Awaitable[None]:
        """Make it usable."""

    def aclose(self) -> Awaitable[None]:
        """Release everything."""


R = TypeVar("R", bound=Openable)


class Resources:
    """What a process owns. `async with Resources() as resources: await resources.open("cache", client)`."""

    def __init__(self, *, close_seconds: float = CLOSE_SECONDS) -> None:
        self._close_seconds = close_seconds
        self._closers: list[tuple[str, Callable[[], Awaitable[None]], float]] = []

    async def open(self, name: str, resource: R, *, close_seconds: float | None = None) -> R:
        """Open a resource and own it; what its `open` raises passes through."""
        started = time.monotonic()
        self.add(name, resource.aclose, close_seconds=close_seconds)  # half-open is closed as well
        await resource.open()
        log.debug("resource_opened", resource=name, seconds=round(time.monotonic() - started, 4))
        return resource

    def add(
        self, name: str, close: Callable[[], Awaitable[None]], *, close_seconds: float | None = None
    ) -> None:
        """Own something that is open already: `close` is awaited when its turn comes."""
        self._closers.append((name, close, close_seconds or self._close_seconds))

    async def aclose(self) -> None:
        """Close all, last opened first. Never raises but for the caller's own cancellation, and then
        only after all were closed."""
        cancelled: asyncio.CancelledError | None = None
        while self._closers:
            name, close, seconds = self._closers.pop()
            closing = asyncio.ensure_future(_close(name, close, seconds))
            while not closing.done():
                try:
                    await asyncio.shield(closing)
                except asyncio.CancelledError as error:
                    cancelled = error
        if cancelled is not None:
            raise cancelled

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exception_type: type[BaseException] | None,
        exception: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    def __repr__(self) -> str:
        return f"Resources({', '.join(name for name, _, _ in self._closers)})"


async def _close(name: str, close: Callable[[], Awaitable[None]], seconds: float) -> None:
    started = time.monotonic()
    closing = asyncio.ensure_future(close())
    # Not asyncio.timeout: a close that swallows its cancellation would go on for ever.
    await asyncio.wait({closing}, timeout=seconds)
    if not closing.done():
        log.warning("resource_close_timed_out", resource=name, seconds=seconds)
        closing.cancel()
        await asyncio.wait({closing}, timeout=_CANCEL_SECONDS)
        if not closing.done():
            return
    if closing.cancelled():
        return
    error = closing.exception()
    if error is not None:
        log.error("resource_close_failed", resource=name, exc_info=error)
    else:
        log.debug("resource_closed", resource=name, seconds=round(time.monotonic() - started, 4))
