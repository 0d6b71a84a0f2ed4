"""`SealedLists`: the lists of sealed builds, and of locks as builds, in one gateway's memory."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from services.gateway.builds.replay import Replay
from shared.builds.entries import Session, decode_list
from shared.errors import OrchardError
from shared.errors.passing import StoreUnavailable
from shared.objects.verify import read_whole
from shared.process.bounded import Bounded
from shared.protocols.reading.views import BUILD, LOCK, is_lock_key
from shared.stores import Stores

MOST_LISTS = 64
MOST_BYTES = 256 * 1024 * 1024  # of lists in memory, estimated
LIST_FACTOR = 4  # memory of a list's objects to its bytes
LOOK_SECONDS = 5.0  # so often a gateway asks whether what is in its memory is still there
LOOK_WAIT_SECONDS = 1.0  # so long it waits for that


@dataclass
class Sealed:
    """One in memory."""

    session: Session
    replay: Replay
    look_at: float  # monotonic: when it is asked next whether it is still there

    def is_known(self) -> bool:
        """Whether it is surely there, without asking."""
        return time.monotonic() < self.look_at


class SealedLists:
    """Bounded by count and by bytes; the oldest goes, and is read again."""

    def __init__(self, stores: Stores, forget_hot: Callable[[str], None]) -> None:
        """`forget_hot`: forgets the finished answers in memory of a view."""
        self._stores = stores
        self._forget_hot = forget_hot
        self._lists = Bounded[str, Sealed](MOST_LISTS, max_weight=MOST_BYTES)

    async def still(self, id: str, look: Callable[[Session], Awaitable[bool]]) -> Session | None:
        """What is in memory under an id or key, if that is still there; None: nothing is, or not any more.
        `look` tells; where nobody can be asked it is there, for it answers offline."""
        known = self._lists.get(id)
        if known is None or known.is_known():
            return None if known is None else known.session
        known.look_at = time.monotonic() + LOOK_SECONDS  # one request asks for all
        try:
            is_there = await look(known.session)
        except OrchardError:
            is_there = True
        if not is_there:
            self.forget(id)
            return None
        return known.session

    async def open(self, session: Session) -> Sealed:
        """A sealed session's list, to be answered from. Raises `StoreUnavailable`."""
        known = self._lists.get(session.id)
        if known is not None:
            return known
        try:
            body = await read_whole(self._stores.bare_objects, session.list_key, self._stores.threads)
        except StoreUnavailable as error:
            raise StoreUnavailable(
                f"the list of the build {session.id} cannot be read: {error.message}"
            ) from None
        replay = Replay(decode_list(body), session.missing)
        known = Sealed(session, replay, time.monotonic() + LOOK_SECONDS)
        self._lists.put(session.id, known, len(body) * LIST_FACTOR)
        return known

    def forget(self, id: str) -> None:
        """Forget it, and what it answered."""
        self._lists.pop(id)
        self.forget_answers(id)

    def forget_answers(self, id: str) -> None:
        """Forget what was answered in it."""
        self._forget_hot((LOCK if is_lock_key(id) else BUILD) + id)
