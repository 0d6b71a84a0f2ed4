"""Few connections for many concurrent callers: requests that gather while a reply is outstanding are sent
together.

A connection per call costs a checkout, a write and a read each (82 µs measured, 16–30 µs together), and a
burst of callers waits for connections that only other waiters could give back: of 256 calls on a pool of 64
some failed, as pipelines they take some milliseconds. Reads go together in one MGET, other commands one
behind the other.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Generic, TypeVar

from hiredis import pack_command
from redis.asyncio.connection import Connection
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError

LANES = 2  # calls in flight: one is answered while the next is on its way; more brought nothing
STALL_SECONDS = 0.1  # a timer this late shows that our own loop was stalled, not Redis

Request = TypeVar("Request")
Reply = TypeVar("Reply")

_Waiter = tuple[Request, "asyncio.Future[Reply]"]


class Lanes(Generic[Request, Reply]):
    """Collects the requests of concurrent callers while replies are outstanding.

    Each lane is a connection of its own. A caller that is cancelled leaves; the others still get
    their replies. Raises redis-py's exceptions and `TimeoutError`: `RedisClient` translates. What is
    sent may be sent twice: after a lost connection, and when our own loop stalled.
    """

    most = 64  # weight of what goes together

    def __init__(self, connection: Callable[[], Connection], *, deadline_seconds: float) -> None:
        self._connection = connection
        self._deadline = deadline_seconds
        self._waiting: deque[_Waiter[Request, Reply]] = deque()
        self._free: list[Connection | None] = [None] * LANES
        self._tasks: set[asyncio.Task[None]] = set()
        self._scheduled = False
        self._closed = False
        self.calls = 0  # round trips begun, which tests count

    def weigh(self, request: Request) -> int:
        """How much of `most` a request takes."""
        return 1

    async def exchange(
        self, connection: Connection, requests: Sequence[Request]
    ) -> Sequence[Reply | Exception]:
        """Send the requests, read a reply for each. An error that is one request's own is returned."""
        raise NotImplementedError

    async def submit(self, request: Request) -> Reply:
        """The reply to one request. Raises its error, or why Redis could not be asked."""
        if self._closed:
            raise RedisConnectionError("the client is closed")
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Reply] = loop.create_future()
        self._waiting.append((request, future))
        if self._free and not self._scheduled:
            # Not at once: callers that run in the same turn of the loop go together.
            self._scheduled = True
            loop.call_soon(self._start, loop)
        return await future

    async def aclose(self) -> None:
        """Fail whoever waits and close the lanes."""
        self._closed = True
        self._fail(self._waiting, lambda: RedisConnectionError("the client is closed"))
        self._waiting.clear()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for connection in self._free:
            if connection is not None:
                await connection.disconnect()

    # --- a lane ---------------------------------------------------------------------------------

    def _start(self, loop: asyncio.AbstractEventLoop) -> None:
        self._scheduled = False
        while self._free and self._waiting and not self._closed:
            batch = self._take()
            if batch:
                task = loop.create_task(self._run(self._free.pop(), batch))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)

    def _take(self) -> list[_Waiter[Request, Reply]]:
        """The next callers, up to the weight of `most` (one caller's request stays whole)."""
        batch: list[_Waiter[Request, Reply]] = []
        size = 0
        while self._waiting and (not batch or size + self.weigh(self._waiting[0][0]) <= self.most):
            waiter = self._waiting.popleft()
            if not waiter[1].done():  # cancelled meanwhile
                batch.append(waiter)
                size += self.weigh(waiter[0])
        return batch

    async def _run(self, connection: Connection | None, batch: list[_Waiter[Request, Reply]]) -> None:
        try:
            if connection is None:
                connection = self._connection()
            while batch:
                await self._answer(connection, batch)
                batch = self._take()
        finally:
            self._free.append(connection)
            if self._closed and connection is not None:
                await connection.disconnect(nowait=True)

    async def _answer(self, connection: Connection, batch: list[_Waiter[Request, Reply]]) -> None:
        try:
            replies = await self._with_deadline(connection, [request for request, _ in batch])
        except TimeoutError:
            # Those queued behind have waited as long: nobody waits for the deadline twice.
            self._fail(batch, lambda: TimeoutError("no answer in time"))
            self._fail(self._waiting, lambda: TimeoutError("no answer in time"))
            self._waiting.clear()
        except asyncio.CancelledError:
            self._fail(batch, lambda: RedisConnectionError("the client is closed"))
            raise
        except Exception as error:
            kind, text = type(error), str(error)
            self._fail(batch, lambda: kind(text))
        else:
            for (_, future), reply in zip(batch, replies, strict=True):
                if future.done():
                    continue
                if isinstance(reply, Exception):
                    future.set_exception(reply)
                else:
                    future.set_result(reply)

    async def _with_deadline(
        self, connection: Connection, requests: list[Request]
    ) -> Sequence[Reply | Exception]:
        clock = asyncio.get_running_loop().time
        due = clock() + self._deadline
        try:
            return await self._within_deadline(connection, requests)
        except TimeoutError:
            if clock() - due < STALL_SECONDS:
                raise
        return await self._within_deadline(connection, requests)  # the answer was there, we were not

    async def _within_deadline(
        self, connection: Connection, requests: list[Request]
    ) -> Sequence[Reply | Exception]:
        async with asyncio.timeout(self._deadline):
            fresh = False
            while True:
                try:
                    if not connection.is_connected:
                        fresh = True
                        await connection.connect()  # type: ignore[no-untyped-call]
                    self.calls += 1
                    return await self.exchange(connection, requests)
                except (RedisConnectionError, OSError):
                    await connection.disconnect(nowait=True)
                    if fresh:
                        raise
                    # The server closed an idle connection: one quick retry on a new one.

    @staticmethod
    def _fail(batch: Iterable[_Waiter[Request, Reply]], error: Callable[[], Exception]) -> None:
        for _, future in batch:
            if not future.done():
                future.set_exception(error())


KEYS_PER_CALL = 96  # bounds one reply: 32 pages of up to 256 KiB must pass a slow link in the deadline

Argument = str | bytes | int | float


class MGetBatcher(Lanes[Sequence[str], "list[bytes | None]"]):
    """The keys of concurrent callers in one MGET, each key once."""

    most = KEYS_PER_CALL

    def weigh(self, request: Sequence[str]) -> int:
        """A caller's keys."""
        return len(request)

    async def get_many(self, keys: Sequence[str]) -> list[bytes | None]:
        """The values in the order of `keys`; None where Redis has none."""
        if not keys and not self._closed:
            return []
        return await self.submit(keys)

    async def exchange(
        self, connection: Connection, requests: Sequence[Sequence[str]]
    ) -> list[list[bytes | None] | Exception]:
        """One MGET."""
        names = list(dict.fromkeys([key for keys in requests for key in keys]))
        packed = pack_command(("MGET", *names))  # type: ignore[arg-type]  # its stub allows one item
        await connection.send_packed_command([packed], check_health=False)
        values: list[bytes | None] = await connection.read_response()
        found = dict(zip(names, values, strict=True))
        return [[found[key] for key in keys] for keys in requests]


class Pipeline(Lanes["tuple[Argument, ...]", Any]):
    """Commands of concurrent callers in one write, their replies read in order.

    For commands that answer at once. They may be sent twice (see `Lanes`), so they must be idempotent.
    """

    def weigh(self, request: tuple[Argument, ...]) -> int:
        """One, and one more for each 16 KiB: a pipeline of bodies must pass a slow link in the deadline."""
        return 1 + sum([len(part) for part in request if isinstance(part, bytes)]) // (16 * 1024)

    async def exchange(
        self, connection: Connection, requests: Sequence[tuple[Argument, ...]]
    ) -> list[Any | Exception]:
        """All commands, then all replies; an error reply concerns its own command only."""
        packed = b"".join([pack_command(request) for request in requests])  # type: ignore[arg-type]
        await connection.send_packed_command([packed], check_health=False)
        replies: list[Any | Exception] = []
        for _ in requests:
            try:
                replies.append(await connection.read_response())
            except RedisConnectionError:
                raise  # LOADING and the like: also an error reply, but not the command's fault
            except ResponseError as error:
                replies.append(error)
        return replies
