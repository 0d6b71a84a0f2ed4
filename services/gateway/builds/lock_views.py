"""`LockViews`: kept locks as sealed builds (docs/decisions/0050)."""

from __future__ import annotations

from services.gateway.builds.sealed_lists import LOOK_WAIT_SECONDS, SealedLists
from services.gateway.builds.waiting import work_done
from services.gateway.serving.ports import Ports
from services.gateway.serving.rebasing import PLACEHOLDER
from shared.builds.entries import Session, decode_session
from shared.builds.rows import OF_LOCK, SEALED
from shared.errors import EnsureNotFound
from shared.errors.passing import StoreUnavailable
from shared.postgres.slots import deadline
from shared.queue.jobs import SealLock
from shared.stores import Stores


class LockViews:
    """All that one gateway knows of."""

    def __init__(self, stores: Stores, ports: Ports, lists: SealedLists) -> None:
        self._stores = stores
        self._ports = ports
        self._lists = lists

    async def read(self, key: str, request_id: str = "") -> Session:
        """A kept lock as a sealed build, made of it when it is first asked for, and anew once another lock is
        kept under its key. Raises `EnsureNotFound`, and what `SealLock` fails with."""

        async def is_kept(known: Session) -> bool:
            of = await self._kept(key, LOOK_WAIT_SECONDS)
            session = await self._sealed(key, of, LOOK_WAIT_SECONDS)
            return session is not None and session.list_key == known.list_key

        known = await self._lists.still(key, is_kept)
        if known is not None:
            return known
        seconds = self._ports.settings.request_seconds()
        of = await self._kept(key, seconds)
        session = await self._sealed(key, of, seconds)
        if session is None and not of:
            raise EnsureNotFound(f"there is no lock {key}")
        if session is not None:
            return session

        async def is_made() -> bool:
            return await self._sealed(key, of, seconds) is not None

        job = SealLock(key=key, base_url=PLACEHOLDER, request_id=request_id)
        await work_done(job, self._ports, until=is_made, seconds=seconds)
        session = await self._sealed(key, of, seconds)
        if session is None:
            raise StoreUnavailable("another lock was kept under the key meanwhile")
        return session

    async def _kept(self, key: str, seconds: float) -> str:
        """The SHA256 of the lock that is kept under a key; "": none is, as after an import."""
        with deadline(seconds):
            row = await self._stores.database.fetchrow(OF_LOCK, bytes.fromhex(key))
        return "" if row is None else str(row["sha256"])

    async def _sealed(self, key: str, of: str, seconds: float) -> Session | None:
        """What was made of the lock with this SHA256, or came in a bundle."""
        with deadline(seconds):
            row = await self._stores.database.fetchrow(SEALED, key)
        session = None if row is None else decode_session(bytes(row["session"]))
        return session if session is not None and of in ("", session.lock) else None
