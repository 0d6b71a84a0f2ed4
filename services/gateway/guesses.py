"""Wrong tokens are counted by where they come from: who guesses is told to wait.

What cannot be guessed is looked for all the same (access.py), so a guesser locks out few of its
neighbours.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from services.gateway.addresses import network_of

WINDOW_SECONDS = 60.0
MOST_ADDRESSES = 10_000  # remembered; then all are forgotten


class Guesses:
    """Of one gateway process."""

    def __init__(self, most: int, clock: Callable[[], float] = time.monotonic) -> None:
        """`most` wrong ones in a window, from one address; then its end is waited for. 0: no bound."""
        self._most = most
        self._clock = clock
        self._wrong: dict[str, tuple[float, int]] = {}  # address → when its window began, wrong ones in it

    def wait_seconds(self, address: str) -> float:
        """So long no other token of this address is looked at; 0: it is."""
        began, wrong = self._wrong.get(network_of(address), (0.0, 0))
        left = began + WINDOW_SECONDS - self._clock()
        return left if 0 < self._most <= wrong and left > 0 else 0.0

    def note(self, address: str) -> None:
        """This address sent a wrong token; "" (nobody's) is not counted."""
        if not address:
            return
        address, now = network_of(address), self._clock()
        began, wrong = self._wrong.get(address, (now, 0))
        if now - began >= WINDOW_SECONDS:
            began, wrong = now, 0
        if len(self._wrong) >= MOST_ADDRESSES and address not in self._wrong:
            self._wrong.clear()
        self._wrong[address] = (began, wrong + 1)
