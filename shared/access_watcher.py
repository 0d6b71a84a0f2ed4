"""`AccessWatcher`: a change of tokens or blocks reaches this process within a second.

As with sources (source_watcher.py): the database notifies, and all is read anew after every reconnect
and once a minute. What was read is copied into the queue Redis, from where a process that starts
without a database takes it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

from shared.access import CHANNEL, AccessRepository, AccessState, keep_copy, read_copy
from shared.blocks import Blocks
from shared.clients.postgres import Database
from shared.clients.postgres_listen import Listener
from shared.clients.redis import RedisClient
from shared.errors import OrchardError
from shared.logs import get_logger
from shared.via import name_of

log = get_logger()

REREAD_SECONDS = 60.0
RETRY_SECONDS = 0.5
FIRST_SECONDS = 2.5  # a start waits so long for the first state, then goes on without


class AccessWatcher:
    """The newest known state. The caller opens and closes it."""

    def __init__(
        self,
        database: Database,
        queue_redis: RedisClient,
        on_change: Callable[[AccessState], None] | None = None,
    ) -> None:
        """`on_change` is called in the event loop with the first state and every newer one."""
        self._database = database
        self._repository = AccessRepository(database)
        self._redis = queue_redis
        self._on_change = on_change
        self._wake = asyncio.Event()
        self._stale = True
        self._listener: Listener | None = None
        self._task: asyncio.Task[None] | None = None
        self._first = asyncio.Event()
        self.state: AccessState | None = None
        self.blocks = Blocks()

    @property
    def own_name(self) -> str:
        """This installation's name in Via (shared/via.py); "" while it is not known."""
        return "" if self.state is None else name_of(self.state.installation)

    async def open(self) -> None:
        """Starts watching; waits a moment for a first state, which may come from the copy."""
        self._listener = await self._database.listen([CHANNEL], self._notified, self._reconnected)
        self._task = asyncio.create_task(self._run(), name="access watcher")
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(FIRST_SECONDS):
                await self._first.wait()
        if self.state is None:
            log.warning(
                "access_unknown", hint="neither PostgreSQL nor the queue Redis tells tokens and blocks"
            )

    async def aclose(self) -> None:
        """Stops watching."""
        if self._listener is not None:
            await self._listener.aclose()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def refresh(self) -> None:
        """Read the rows now: for who has just heard of something newer. Raises `DatabaseUnavailable`."""
        state = await self._repository.load()
        known = state.revision if self.state is None else self.state.revision
        self._take(await self._lifted(state, known))

    async def catch_up(self) -> None:
        """As `refresh`, if the rows have changed since: one small statement if not."""
        if self.state is None or await self._repository.revision() > self.state.revision:
            await self.refresh()

    def _notified(self, _channel: str, _payload: str) -> None:
        self._stale = True
        self._wake.set()

    def _reconnected(self) -> None:
        self._notified("", "")

    async def _run(self) -> None:
        while True:
            self._wake.clear()
            if self._stale:
                try:
                    await self._read()
                except Exception:  # or a token that is taken back stays good for ever
                    log.exception("access_change_failed")
                    self._stale = True
                self._first.set()  # an attempt is enough: a process starts without any store
            try:
                async with asyncio.timeout(RETRY_SECONDS if self._stale else REREAD_SECONDS):
                    await self._wake.wait()
            except TimeoutError:
                self._stale = True

    async def _read(self) -> None:
        self._stale = False  # before reading: a change meanwhile marks it again
        try:
            state = await self._repository.load()
        except OrchardError as error:
            self._stale = True
            log.debug("access_not_read", code=error.code)
            if self.state is None:
                copy = await read_copy(self._redis)
                if copy is not None:
                    log.warning("access_from_copy", revision=copy.revision)
                    self._take(copy)
            return
        known = -1 if self.state is None else self.state.revision
        with contextlib.suppress(OrchardError):  # at every read: the copy may have been lost
            known = max(known, await keep_copy(self._redis, state))
        with contextlib.suppress(OrchardError):
            state = await self._lifted(state, known)
        self._take(state)

    async def _lifted(self, state: AccessState, known: int) -> AccessState:
        """What the rows say, numbered above all that was read before: they may have been restored."""
        if known <= state.revision:
            return state
        if await self._repository.lift(known):
            log.warning("access_revision_lifted", found=state.revision, known=known)
        state = await self._repository.load()
        await keep_copy(self._redis, state)
        return state

    def _take(self, state: AccessState) -> None:
        known = self.state
        if known is not None and state.revision <= known.revision and known.installation:
            return
        blocks = Blocks(state.blocks) if known is None or state.blocks != known.blocks else self.blocks
        if self._on_change is not None:
            self._on_change(state)
        self.state, self.blocks = state, blocks  # last: what broke off on the way is taken again
