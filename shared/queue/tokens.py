"""How an idle worker waits: blocked on a list of wake-up tokens, with the timeout as its timer.

A token is a hint that at least one job became due. Losing one (a worker died after taking it) costs
at most the timer's second.
"""

from __future__ import annotations

import asyncio

from redis.asyncio.connection import Connection
from redis.exceptions import RedisError

from shared.errors.passing import QueueUnavailable
from shared.redis.client import RedisClient

GRACE_SECONDS = 1.0  # beyond BLPOP's own timeout: then Redis hangs
LEAST_SECONDS = 0.005  # BLPOP takes 0 for "for ever"


class TokenWaiter:
    """One connection of its own, since a blocked one serves nobody else; opened when first needed."""

    def __init__(self, redis: RedisClient, tokens: str) -> None:
        self._redis = redis
        self._tokens = tokens
        self._connection: Connection | None = None
        self._pop: asyncio.Task[bool] | None = None
        self._woken = False

    async def wait(self, seconds: float) -> bool:
        """True: a token was taken. False: the time is over, or `wake` was called.

        Raises `QueueUnavailable` when Redis refuses, fails or does not answer in time.
        """
        if self._woken:
            return False
        self._pop = asyncio.create_task(self._take(max(seconds, LEAST_SECONDS)))
        try:
            await asyncio.wait([self._pop])
            return not self._pop.cancelled() and self._pop.result()
        finally:
            self._pop.cancel()
            self._pop = None

    def wake(self) -> None:
        """End the wait that goes on, and all later ones: the worker stops."""
        self._woken = True
        if self._pop is not None:
            self._pop.cancel()

    async def aclose(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            await self._connection.disconnect(nowait=True)
            self._connection = None

    async def _take(self, seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds + GRACE_SECONDS):
                if self._connection is None:
                    connection = self._redis.new_connection()
                    self._connection = connection
                    await connection.connect()  # type: ignore[no-untyped-call]
                await self._connection.send_command("BLPOP", self._tokens, f"{seconds:.3f}")
                return await self._connection.read_response() is not None
        except (RedisError, OSError, TimeoutError) as error:
            await self.aclose()
            self._redis.note_fault(error)
            raise QueueUnavailable(f"waiting for jobs failed: {type(error).__name__}") from error
        except asyncio.CancelledError:
            await self.aclose()  # an answer may still come: this connection is of no more use
            raise
