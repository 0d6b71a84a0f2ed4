"""Memory for files that are passed on, verified and not stored, while the disk has no room for them."""

from __future__ import annotations

import os

from shared.errors.passing import StoreUnavailable
from shared.process.disk import in_words


class RelayRoom:
    """Memory of files that are passed on while the disk has no room for them, in bytes; 0: none are."""

    def __init__(self, most_bytes: int) -> None:
        self._most = most_bytes if hasattr(os, "memfd_create") else 0
        self.taken_bytes = 0

    def take(self, count: int, why: StoreUnavailable) -> None:
        """Raises `why`, with what is lacking, if there is not so much left."""
        if self.taken_bytes + count > self._most:
            left = in_words(self._most - self.taken_bytes)
            raise StoreUnavailable(
                f"{why.message}; nor is there memory to pass it on: {left} of {in_words(self._most)} "
                "(ORCHARD_RELAY_BYTES)"
            )
        self.taken_bytes += count

    def give_back(self, count: int) -> None:
        """What was taken."""
        self.taken_bytes -= count
