"""A TCP link between two installations: delay, loss as TCP shows it (pauses, broken connections), cuts.

Over `bench.wan.link`, which has the delay. A lost segment costs its flow a retransmission's time; its order
is kept, as TCP does. Some connections are reset in the middle.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import threading
from collections.abc import Callable, Iterator

from bench.wan.link import CHUNK, Flow, Link, Quality, Way

RETRANSMISSION_SECONDS = 0.2  # RFC 6298: what Linux waits at least
NO_DELAY = Quality(0.0, 1e9)
BYTES_PER_SECOND = 4e6  # of a link with a delay: a transfer takes many round trips


class LossyWay(Way):
    """A way on which some chunks come late."""

    def __init__(self, quality: Quality, chance: random.Random) -> None:
        super().__init__(quality)
        self.loss = 0.0
        self._chance = chance

    async def turn(self, size: int) -> float:
        late = RETRANSMISSION_SECONDS if self._chance.random() < self.loss else 0.0
        return await super().turn(size) + late


class Tunnel:
    """A port that leads to another one. Its methods may be called from any thread."""

    def __init__(self, port: int, target: int, loop: asyncio.AbstractEventLoop, seed: int) -> None:
        self.port = port
        self.connections = 0
        self.broken = 0  # that were reset in the middle
        self.resets = 0.0  # the chance of that, for a chunk
        self._target = target
        self._loop = loop
        self._chance = random.Random(seed)
        self._link = Link(NO_DELAY)
        self._link.out = LossyWay(NO_DELAY, self._chance)
        self._link.back = LossyWay(NO_DELAY, self._chance)
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def become(self, *, round_trip: float, loss: float = 0.0, resets: float = 0.0) -> None:
        """Seconds there and back; chances, for each 16 KiB, of a pause and of a broken connection."""
        self._link.become(Quality(round_trip, BYTES_PER_SECOND if round_trip else 1e9))
        for way in (self._link.out, self._link.back):
            assert isinstance(way, LossyWay)
            way.loss = loss
        self.resets = resets

    def cut(self) -> None:
        """Nothing goes through, and what is open breaks."""
        self._do(self._cut)

    def mend(self) -> None:
        """It works again."""
        self._link.up = True

    def _cut(self) -> None:
        self._link.up = False
        for task in self._tasks:
            task.cancel()

    def _do(self, change: Callable[[], None]) -> None:
        done = threading.Event()
        self._loop.call_soon_threadsafe(lambda: (change(), done.set()))
        assert done.wait(10)

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            if self._link.up:
                await self._relay(reader, writer)
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            self._tasks.discard(task)
            writer.transport.abort()

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        await asyncio.sleep(self._link.quality.round_trip)
        there, back = await asyncio.open_connection("127.0.0.1", self._target, limit=4 * CHUNK)
        flows = [Flow(self._link.out, back), Flow(self._link.back, writer)]
        ways = [
            asyncio.create_task(self._copy(source, flow))
            for source, flow in zip((reader, there), flows, strict=True)
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_EXCEPTION)
        finally:
            for each in ways:
                each.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            for flow in flows:
                flow.stop()
            back.transport.abort()

    async def _copy(self, reader: asyncio.StreamReader, flow: Flow) -> None:
        while data := await reader.read(CHUNK):
            if self.resets and self._chance.random() < self.resets:
                self.broken += 1
                raise ConnectionResetError
            await flow.send(data)
        await flow.end()


@contextlib.contextmanager
def tunnel(target: int, *, seed: int = 1) -> Iterator[Tunnel]:
    """A tunnel to a port of this machine for the length of the block."""
    loop = asyncio.new_event_loop()
    ready = threading.Event()
    made: list[Tunnel] = []
    over = asyncio.Event()

    async def serve() -> None:
        made.append(Tunnel(0, target, loop, seed))
        server = await asyncio.start_server(made[0].handle, "127.0.0.1", 0, limit=4 * CHUNK)
        made[0].port = server.sockets[0].getsockname()[1]
        ready.set()
        await over.wait()
        server.close()
        made[0]._cut()
        await asyncio.gather(*made[0]._tasks, return_exceptions=True)

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()), name="tunnel", daemon=True)
    thread.start()
    assert ready.wait(10)
    try:
        yield made[0]
    finally:
        loop.call_soon_threadsafe(over.set)
        thread.join(15)
        loop.close()
