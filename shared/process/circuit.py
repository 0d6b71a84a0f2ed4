"""`Circuit`: a circuit breaker for a server that does not answer, so that calls fail at once instead of
waiting.

It closes by a probe in the background, so no caller waits to find out.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from shared.telemetry.logs import get_logger

log = get_logger()

Probe = Callable[[], Awaitable[int]]
"""Ask the server once, within a bound. 0: it answered; else how many silences that is worth."""


class Circuit:
    """The circuit breaker of one server in one process. Callers check `is_open` before a call and report its
    outcome."""

    def __init__(
        self,
        probe: Probe,
        *,
        name: str,
        silences: int,
        pause_seconds: float,
        on_change: Callable[[bool], Awaitable[None]] | None = None,
    ) -> None:
        """So many `silences` in a row open it; then `probe` asks, `pause_seconds` apart, until the server
        answers. `on_change(is_open)` is awaited after each change, before the next probe."""
        self.is_open = False
        self._probe = probe
        self._name = name
        self._silences = silences
        self._pause_seconds = pause_seconds
        self._on_change = on_change
        self._count = 0  # of silences in a row
        self._announced = False  # the state that `on_change` was last called with
        self._probing: asyncio.Task[None] | None = None
        self._closed = False

    def silent(self, worth: int = 1) -> None:
        """A call was not answered."""
        self._count += worth
        if self._count >= self._silences and not self._closed:
            self.is_open = True
            self._start(self._pause_seconds)

    def answered(self) -> None:
        """A call was answered, if only by a refusal. While it is open, the probe alone decides."""
        if not self.is_open:
            self._count = 0

    def suspect(self) -> None:
        """A call is slow or has failed: have the server asked now, while calls go on."""
        if not self._closed:
            self._start(0.0)

    async def aclose(self) -> None:
        """Probe no more."""
        self._closed = True
        if self._probing is not None:
            self._probing.cancel()
            await asyncio.gather(self._probing, return_exceptions=True)

    def _start(self, pause: float) -> None:
        if self._probing is None or self._probing.done():
            self._probing = asyncio.create_task(self._probe_until_answered(pause), name=f"probe {self._name}")

    async def _probe_until_answered(self, pause: float) -> None:
        while True:
            await self._tell()
            await asyncio.sleep(pause)
            pause = self._pause_seconds
            try:
                worth = await self._probe()
            except Exception:  # a defect of the probe must not keep the circuit open for good
                log.exception("probe_broken", server=self._name)
                worth = 0
            if worth:
                self.silent(worth)
                continue
            self._count = 0
            self.is_open = False
            await self._tell()
            if not self.is_open:  # or calls have met silence meanwhile
                return

    async def _tell(self) -> None:
        if self._on_change is None or self._announced == self.is_open:
            return
        self._announced = self.is_open
        try:
            await self._on_change(self.is_open)
        except Exception:
            log.exception("circuit_change_failed", server=self._name)
