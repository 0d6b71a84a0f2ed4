"""The cache role on a Redis Cluster: each command goes to the master that has its keys' slot.

Which master that is the cluster tells (CLUSTER SLOTS), and corrects (MOVED, ASK). Commands of concurrent
callers go together per master, as they do to a single server (`lanes.py`). A key that no master answers for
is as a cache that is away.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

from redis.asyncio.connection import Connection
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError, ResponseError

from shared.redis.lanes import Argument, Pipeline
from shared.redis.slots import SLOTS, slot_of, tagged

Address = tuple[str, int]
Connect = Callable[[Address], Connection]
Request = tuple[Argument, ...]

TRIES = 4  # of one command: it may be moved while it is under way


class Cluster:
    """The masters of a cluster: who has which slot, and a pipeline to each."""

    def __init__(self, seeds: Sequence[Address], connect: Connect, *, deadline_seconds: float) -> None:
        """`seeds`: any of the cluster's nodes; the others are asked of them."""
        self._seeds = list(seeds)
        self._connect = connect
        self._deadline = deadline_seconds
        self._owners: list[Address | None] = [None] * SLOTS
        self._lanes: dict[Address, Pipeline] = {}
        self._asking: asyncio.Task[None] | None = None
        self._closing: set[asyncio.Task[None]] = set()
        self.calls = 0  # round trips begun on lanes that are closed by now

    async def aclose(self) -> None:
        """Close every connection; callers still waiting get an error."""
        if self._asking is not None:
            self._asking.cancel()
            await asyncio.gather(self._asking, return_exceptions=True)
        await asyncio.gather(*(lane.aclose() for lane in self._lanes.values()), *self._closing)

    # --- commands ---------------------------------------------------------------------------------

    async def submit(self, request: Request) -> Any:
        """The reply to one idempotent command, whose keys all have one slot. Raises redis-py's exceptions,
        `TimeoutError` after the deadline."""
        request, slot = spelt(request)
        async with asyncio.timeout(self._deadline):
            for number in range(TRIES):
                address = await self._owner(slot)
                try:
                    return await self._lane(address).submit(request)
                except ResponseError as error:
                    told = redirection(error)
                    if told is None or number == TRIES - 1:
                        raise
                    word, (host, port) = told
                    if word == "ASK":
                        return await self._ask((host or address[0], port), request)
                except RedisConnectionError:
                    if number == TRIES - 1:
                        raise
                await self.refresh()
        raise AssertionError("the last try returns or raises")

    async def get_many(self, keys: Sequence[str]) -> list[bytes | None]:
        """The values in the order of `keys`; those of one slot are read together."""
        slots: dict[int, list[str]] = {}
        for key in dict.fromkeys(keys):
            slots.setdefault(slot_of(tagged(key)), []).append(key)
        replies = await asyncio.gather(*(self.submit(("MGET", *group)) for group in slots.values()))
        found: dict[str, bytes | None] = {}
        for group, values in zip(slots.values(), replies, strict=True):
            found.update(zip(group, values, strict=True))
        return [found[key] for key in keys]

    async def unlink(self, keys: Sequence[str]) -> int:
        """Remove keys of any slots; how many there were."""
        replies = await asyncio.gather(*(self.submit(("UNLINK", key)) for key in dict.fromkeys(keys)))
        return sum(int(reply) for reply in replies)

    async def on_each(self, request: Request) -> list[Any]:
        """The replies of all masters to one command without keys."""
        masters = await self.masters()
        return list(await asyncio.gather(*(self._lane(each).submit(request) for each in masters)))

    async def scan(self, pattern: str, count: int) -> AsyncIterator[list[bytes]]:
        """The keys of every master that match, as the cluster spells them."""
        for address in await self.masters():
            cursor: Argument = b"0"
            while True:
                async with asyncio.timeout(self._deadline):
                    reply = await self._lane(address).submit(
                        ("SCAN", cursor, "MATCH", pattern, "COUNT", count)
                    )
                cursor, names = reply
                yield list(names)
                if cursor == b"0":
                    break

    async def _ask(self, address: Address, request: Request) -> Any:
        """One command where its slot is being moved to: ASKING must stand right before it."""
        connection = self._connect(address)
        try:
            await connection.connect()  # type: ignore[no-untyped-call]
            await connection.send_command("ASKING")
            await connection.read_response()
            await connection.send_command(*request)
            return await connection.read_response()
        finally:
            await connection.disconnect(nowait=True)

    # --- who has what -----------------------------------------------------------------------------

    async def masters(self) -> list[Address]:
        """All masters that have slots, in a fixed order. Raises redis-py's `ConnectionError`."""
        await self._owner(0)
        return sorted({address for address in self._owners if address is not None})

    async def refresh(self) -> None:
        """Ask who has which slot; those who want to know at once share one question."""
        if self._asking is None or self._asking.done():
            self._asking = asyncio.get_running_loop().create_task(self._find())
            self._asking.add_done_callback(lambda asked: asked.cancelled() or asked.exception())
        await asyncio.shield(self._asking)

    async def _owner(self, slot: int) -> Address:
        if self._owners[slot] is None:
            await self.refresh()
        owner = self._owners[slot]
        if owner is None:
            raise RedisConnectionError(f"no master of the cluster has slot {slot}")
        return owner

    async def _find(self) -> None:
        known = list(dict.fromkeys([address for address in self._owners if address is not None]))
        for address in dict.fromkeys([*known, *self._seeds]):
            with contextlib.suppress(RedisError, OSError, TimeoutError):
                async with asyncio.timeout(self._deadline / 2):
                    ranges = await self._slots_by(address)
                if ranges:
                    self._take(ranges, address)
                    return
        raise RedisConnectionError("no node of the cluster tells who has which slot")

    async def _slots_by(self, address: Address) -> list[Any]:
        connection = self._connect(address)
        try:
            await connection.connect()  # type: ignore[no-untyped-call]
            await connection.send_command("CLUSTER", "SLOTS")
            return list(await connection.read_response())
        finally:
            await connection.disconnect(nowait=True)

    def _take(self, ranges: Sequence[Any], told_by: Address) -> None:
        owners: list[Address | None] = [None] * SLOTS
        for first, last, master, *_ in ranges:
            host = master[0].decode() if isinstance(master[0], bytes) else str(master[0] or "")
            address = (host or told_by[0], int(master[1]))  # "": the one that was asked
            owners[int(first) : int(last) + 1] = [address] * (int(last) - int(first) + 1)
        self._owners = owners
        for gone in self._lanes.keys() - set(owners):
            lane = self._lanes.pop(gone)
            self.calls += lane.calls
            task = asyncio.get_running_loop().create_task(lane.aclose())
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)

    def _lane(self, address: Address) -> Pipeline:
        lane = self._lanes.get(address)
        if lane is None:
            lane = self._lanes[address] = Pipeline(
                lambda: self._connect(address), deadline_seconds=self._deadline
            )
        return lane


def redirection(error: ResponseError) -> tuple[str, Address] | None:
    """MOVED or ASK, and the address that it names (host "": the one that was asked); None for others."""
    words = str(error).split()
    if len(words) != 3 or words[0] not in ("MOVED", "ASK"):
        return None
    host, _, port = words[2].rpartition(":")
    return (words[0], (host, int(port))) if port.isdigit() else None


def spelt(request: Request) -> tuple[Request, int]:
    """A command as the cluster is sent it, and the slot of its keys; slot 0 for one without."""
    name = request[0]
    if name in ("EVAL", "EVALSHA"):
        first, last = 3, 3 + int(request[2])
    elif name in ("MGET", "UNLINK"):
        first, last = 1, len(request)
    else:
        first, last = 1, min(2, len(request))
    keys = [tagged(str(key)) for key in request[first:last]]
    slot = slot_of(keys[0]) if keys else 0
    return (*request[:first], *keys, *request[last:]), slot
