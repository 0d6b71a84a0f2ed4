"""A budget of memory for all items of one kind: bounds per item alone do not limit the sum.

A semaphore in bytes whose holders may grow. So that holders which wait for each other never stand still, the
oldest may go over the budget: what is held is at most the budget and one item. So that nobody waits
for the end of a large one, the oldest counts for the others as half the budget at most.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import Iterator

from shared.errors.passing import Overloaded

WAIT_SECONDS = 5.0


class Share:
    """The bytes of one holder. Only its budget creates it."""

    __slots__ = ("_budget", "held", "owner")

    def __init__(self, budget: ByteBudget, owner: str) -> None:
        self._budget = budget
        self.owner = owner
        self.held = 0

    async def reach(self, size_bytes: int) -> None:
        """Hold `size_bytes` in all, or more if it is more already. Raises `Overloaded` when there is no
        room for some seconds, or when the owner holds as much as one may."""
        if size_bytes > self.held:
            await self._budget._grow(self, size_bytes - self.held)


class ByteBudget:
    """The budget of one process for one kind of item, which `what` names in errors."""

    def __init__(
        self, total_bytes: int, what: str, *, owner_bytes: int = 0, wait_seconds: float = WAIT_SECONDS
    ) -> None:
        """`owner_bytes`: the most that all holders of one owner may have together; 0 = no such bound."""
        self.total_bytes = total_bytes
        self.used_bytes = 0
        self._what = what
        self._owner_bytes = owner_bytes
        self._wait_seconds = wait_seconds
        self._shares: dict[Share, None] = {}  # those that hold something, the oldest first
        self._of_owner: defaultdict[str, int] = defaultdict(int)
        self._freed: list[asyncio.Future[None]] = []

    @contextlib.contextmanager
    def share(self, owner: str = "") -> Iterator[Share]:
        """A context manager: an empty share, released at the end."""
        share = Share(self, owner)
        try:
            yield share
        finally:
            self._release(share)

    async def _grow(self, share: Share, more: int) -> None:
        if self._owner_bytes and self._of_owner[share.owner] + more > self._owner_bytes:
            self._forget_owner(share.owner)
            raise Overloaded(f"{self._what} of this client take all the memory that one client may have")
        if not self._fits(share, more):
            try:
                async with asyncio.timeout(self._wait_seconds):
                    while not self._fits(share, more):
                        freed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
                        self._freed.append(freed)
                        await freed
            except TimeoutError:
                self._forget_owner(share.owner)
                raise Overloaded(f"{self._what} take all the memory that there is for them") from None
        self._shares.setdefault(share)
        share.held += more
        self.used_bytes += more
        self._of_owner[share.owner] += more

    def _fits(self, share: Share, more: int) -> bool:
        oldest = next(iter(self._shares), share)
        if oldest is share:
            return True
        of_others = self.used_bytes - oldest.held
        return min(oldest.held, self.total_bytes // 2) + of_others + more <= self.total_bytes

    def _release(self, share: Share) -> None:
        if not share.held:
            return
        self.used_bytes -= share.held
        self._of_owner[share.owner] -= share.held
        self._forget_owner(share.owner)
        del self._shares[share]
        freed, self._freed = self._freed, []
        for each in freed:
            if not each.done():
                each.set_result(None)

    def _forget_owner(self, owner: str) -> None:
        if not self._of_owner[owner]:
            del self._of_owner[owner]
