"""The batch writer: at once when idle, together under load, one bad row fails alone."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Sequence

import pytest

from shared.errors import InvalidData
from shared.errors.passing import DatabaseUnavailable, ShuttingDown
from shared.postgres.batches import BatchWriter


class Sink:
    """Records batches; `gate` holds writes back, `bad` values are refused, `error` fails all."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.bad: set[int] = set()
        self.error: Exception | None = None
        self.active = 0
        self.most_active = 0

    async def write(self, items: Sequence[int]) -> list[int]:
        self.batches.append(list(items))
        self.active += 1
        self.most_active = max(self.most_active, self.active)
        try:
            await asyncio.sleep(0)
            await self.gate.wait()
        finally:
            self.active -= 1
        if self.error is not None:
            raise self.error
        if self.bad & set(items):
            raise InvalidData("bad")
        return [item * 2 for item in items]


async def test_add__idle__written_at_once_without_waiting_for_the_timer() -> None:
    sink = Sink()
    writer = BatchWriter(sink.write, max_wait_seconds=60)
    assert await writer.add(1) == 2
    assert await writer.add(2) == 4
    assert sink.batches == [[1], [2]]
    await writer.aclose()


async def test_add__many_in_one_turn__one_batch_with_each_its_result() -> None:
    sink = Sink()
    writer = BatchWriter(sink.write)
    assert await asyncio.gather(*(writer.add(item) for item in range(50))) == [i * 2 for i in range(50)]
    assert sink.batches == [list(range(50))]
    await writer.aclose()


async def test_add__more_than_a_batch__split_at_max_rows() -> None:
    sink = Sink()
    writer = BatchWriter(sink.write, max_rows=100)
    await asyncio.gather(*(writer.add(item) for item in range(250)))
    assert [len(batch) for batch in sink.batches] == [100, 100, 50]
    assert sink.most_active == 2
    await writer.aclose()


async def test_add__busy__gathers_until_the_wait_is_over() -> None:
    sink = Sink()
    sink.gate.clear()
    writer = BatchWriter(sink.write, max_wait_seconds=0.05)
    tasks = [asyncio.create_task(writer.add(0))]
    await asyncio.sleep(0.01)
    for item in (1, 2, 3):
        tasks.append(asyncio.create_task(writer.add(item)))
        await asyncio.sleep(0)
    assert sink.batches == [[0]]  # the others wait: something is being written
    await asyncio.sleep(0.1)
    assert sink.batches == [[0], [1, 2, 3]]
    sink.gate.set()
    assert await asyncio.gather(*tasks) == [0, 2, 4, 6]
    await writer.aclose()


async def test_flush__bad_row_among_100__fails_alone() -> None:
    sink = Sink()
    sink.bad = {37}
    writer = BatchWriter(sink.write)
    results = await asyncio.gather(*(writer.add(item) for item in range(100)), return_exceptions=True)
    assert isinstance(results[37], InvalidData)
    assert [result for item, result in enumerate(results) if item != 37] == [
        item * 2 for item in range(100) if item != 37
    ]
    await writer.aclose()


async def test_flush__store_away__all_of_the_batch_fail_unsplit() -> None:
    sink = Sink()
    sink.error = DatabaseUnavailable("away")
    writer = BatchWriter(sink.write)
    results = await asyncio.gather(*(writer.add(item) for item in range(10)), return_exceptions=True)
    assert all(isinstance(result, DatabaseUnavailable) for result in results)
    assert len(sink.batches) == 1
    sink.error = None
    assert await writer.add(1) == 2  # and the next one is tried again
    await writer.aclose()


async def test_flush__wrong_number_of_results__nobody_hangs() -> None:
    async def write(items: Sequence[int]) -> list[int]:
        return []

    writer = BatchWriter(write)
    with pytest.raises(RuntimeError):
        await writer.add(1)
    await writer.aclose()


async def test_add__caller_gives_up__others_get_their_results() -> None:
    sink = Sink()
    sink.gate.clear()
    writer = BatchWriter(sink.write)
    first, second = asyncio.create_task(writer.add(1)), asyncio.create_task(writer.add(2))
    await asyncio.sleep(0.01)
    first.cancel()
    sink.gate.set()
    assert await second == 4
    assert sink.batches == [[1, 2]]
    await writer.aclose()


async def test_aclose__pending_rows__written_first_then_refused() -> None:
    sink = Sink()
    sink.gate.clear()
    writer = BatchWriter(sink.write, max_rows=10, max_wait_seconds=60)
    tasks = [asyncio.create_task(writer.add(item)) for item in range(55)]
    await asyncio.sleep(0.01)
    closing = asyncio.create_task(writer.aclose())
    await asyncio.sleep(0.01)
    sink.gate.set()
    await closing
    assert await asyncio.gather(*tasks) == [item * 2 for item in range(55)]
    with pytest.raises(ShuttingDown):
        await writer.add(1)


async def test_flush__request_with_a_deadline__does_not_bind_the_batch() -> None:
    limit: contextvars.ContextVar[int | None] = contextvars.ContextVar("limit", default=None)
    seen: list[int | None] = []

    async def write(items: Sequence[int]) -> list[int]:
        seen.append(limit.get())
        return list(items)

    writer = BatchWriter(write)
    limit.set(5)
    await writer.add(1)
    assert seen == [None]
    await writer.aclose()
