"""`Ledger`: the servings of one gateway, from memory into the queue Redis once a second.

A hit pays for two look-ups in dictionaries. Everything is bounded: the servings of a second, and the batches
that wait while Redis is away or full; what finds no room is dropped, counted, and told with the next batch.
"""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections import deque
from collections.abc import Callable
from typing import Any

import msgspec

from services.gateway.http.addresses import address_of
from services.gateway.http.requests import Headers
from services.gateway.ledger.agents import LONGEST, Agents
from services.gateway.ledger.entries import Entry
from services.gateway.ledger.refusals import Refusals
from shared.errors.passing import QueueUnavailable
from shared.ledger.batch import FORMAT, REFUSED, encode_batch
from shared.ledger.stream import put_batch
from shared.process.periodic import Every
from shared.redis.client import RedisClient
from shared.telemetry.logs import get_logger
from shared.telemetry.metrics import LEDGER_BYTES, LEDGER_SERVINGS

log = get_logger()

FLUSH_SECONDS = 1.0
FLUSH_ROWS = 1000  # sooner, so that no batch holds up the hits behind it for long
MOST_ROWS = 10_000  # in memory, while a flush waits for Redis
MOST_BYTES = 8 * 1024 * 1024  # of batches that wait for Redis
LAST_SECONDS = 2.0  # a stopping gateway tries for so long

_Key = tuple[str, bytes, str, Entry]
"""Address, User-Agent, name of the token; what was served. One dictionary of tuples: what the garbage
collector would look through costs as much as the rest."""


class Ledger:
    """Of one gateway process. Its owner opens and closes it."""

    def __init__(
        self,
        redis: RedisClient,
        token_of: Callable[[bytes], str],
        *,
        addresses: bool = True,
        most_bytes: int = MOST_BYTES,
    ) -> None:
        """`token_of`: the name of a valid token by its Authorization, "" for any other. `addresses`: whether
        those of clients are kept."""
        self._redis = redis
        self._token_of = token_of
        self._addresses = addresses
        self._most_bytes = most_bytes
        self._agents = Agents()
        self._refusals = Refusals()
        self._rows: dict[_Key, tuple[float, int, int]] = {}  # to when, how often, bytes
        self._dropped = 0  # since the last batch
        self._instance = uuid.uuid4().hex
        self._number = 0
        self._waiting: deque[tuple[bytes, int, int]] = deque()  # batch, its servings, dropped before it
        self._waiting_bytes = 0
        self._turns = Every(FLUSH_SECONDS, self._turn, name="ledger")

    async def open(self) -> None:
        """Start flushing."""
        await self._turns.open()

    async def aclose(self) -> None:
        """Flush the rest, trying for `LAST_SECONDS`."""
        await self._turns.aclose()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LAST_SECONDS):
                while not await self.flush():  # noqa: ASYNC110 - nobody tells when Redis is back
                    await asyncio.sleep(0.1)
        if self._waiting:
            lost = sum(servings for _, servings, _ in self._waiting)
            LEDGER_SERVINGS.labels("dropped").inc(lost)
            log.warning("servings_lost", servings=lost)

    def note(self, scope: Any, headers: Headers, entry: Entry, size_bytes: int, at: float) -> None:
        """One request is answered. `size_bytes` of the file went out, at `at` in unix seconds."""
        if entry.result == REFUSED:
            entry = self._refusals.bounded(entry)
        agent = headers.get(b"user-agent", b"")
        if len(agent) > LONGEST:
            agent = agent[:LONGEST]
        given = headers.get(b"authorization")
        address = address_of(scope) if self._addresses else ""
        key = (address, agent, "" if given is None else self._token_of(given), entry)
        rows = self._rows
        row = rows.get(key)
        if row is not None:
            rows[key] = (row[0], row[1] + 1, row[2] + size_bytes)
        elif len(rows) >= MOST_ROWS:
            self._drop(1)
        else:
            rows[key] = (at, 1, size_bytes)
            if len(rows) == FLUSH_ROWS:
                self._turns.wake()

    async def _turn(self) -> None:
        await self.flush()

    async def flush(self) -> bool:
        """Put all that was noted into Redis; whether all of it is there."""
        self._seal()
        try:
            while self._waiting:
                data, servings, dropped = self._waiting[0]
                if not await put_batch(self._redis, data, dropped=dropped):
                    break
                self._waiting.popleft()
                self._waiting_bytes -= len(data)
                LEDGER_SERVINGS.labels("kept").inc(servings)
        except QueueUnavailable:
            pass  # the circuit's own log line says so; the batches stay
        LEDGER_BYTES.set(self._waiting_bytes)
        return not self._waiting

    def _seal(self) -> None:
        """Make a batch of what was noted."""
        rows, self._rows = self._rows, {}
        if not rows:
            return
        # As `Client`, `File` and `Serving`; a struct each would cost as much as the rest.
        clients: list[tuple[str, ...]] = []
        files: list[msgspec.Raw] = []
        servings: list[tuple[Any, ...]] = []
        of_clients: dict[tuple[str, bytes, str], int] = {}  # places
        of_entries: dict[Entry, int] = {}
        count = 0
        for (address, agent, token, entry), (at, times, size_bytes) in rows.items():
            who = (address, agent, token)
            client = of_clients.get(who)
            if client is None:
                client = of_clients[who] = len(clients)
                clients.append((address, token, *self._agents.tool(agent)))
            file = of_entries.get(entry)
            if file is None:
                file = of_entries[entry] = len(files)
                files.append(entry.file)
            servings.append((at, client, file, entry.result, entry.cache, entry.code, times, size_bytes))
            count += times
        self._number += 1
        data = encode_batch((FORMAT, self._instance, self._number, self._dropped, clients, files, servings))
        if self._waiting_bytes + len(data) > self._most_bytes:
            self._drop(count)
            return
        self._waiting.append((data, count, self._dropped))
        self._waiting_bytes += len(data)
        self._dropped = 0

    def _drop(self, servings: int) -> None:
        if not self._dropped:
            log.warning("servings_dropped", waiting_bytes=self._waiting_bytes)
        self._dropped += servings
        LEDGER_SERVINGS.labels("dropped").inc(servings)
