"""Watched rows are read when they have changed, and again until that has worked."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest

from shared.errors.passing import DatabaseUnavailable
from shared.postgres import watcher
from shared.postgres.database import Database
from shared.postgres.watcher import RowWatcher


@pytest.fixture
async def database(empty_database_url: str) -> AsyncIterator[Database]:
    database = Database(empty_database_url, max_size=4)
    await database.open()
    yield database
    await database.aclose()


class Reads:
    def __init__(self) -> None:
        self.keys: list[str] = []
        self.errors: list[Exception] = []
        self._changed = asyncio.Condition()

    async def read(self, key: str) -> None:
        self.keys.append(key)
        async with self._changed:
            self._changed.notify_all()
        if self.errors:
            raise self.errors.pop()

    async def until(self, condition: Callable[[list[str]], bool]) -> None:
        async with asyncio.timeout(30), self._changed:
            await self._changed.wait_for(lambda: condition(self.keys))


async def opened(database: Database, reads: Reads) -> RowWatcher:
    rows = RowWatcher(database, "things", reads.read, keys=["a", "b"])
    await rows.open()
    async with asyncio.timeout(30):
        while not rows.connected:
            await asyncio.sleep(0.01)
    await asyncio.sleep(0.05)  # the reading that the first connection brings
    return rows


async def test_change__of_one_key__that_key_is_read(database: Database) -> None:
    reads = Reads()
    rows = await opened(database, reads)
    assert set(reads.keys) == {"a", "b"}
    reads.keys.clear()
    await database.execute("SELECT pg_notify('things', 'nobody'), pg_notify('things', 'b')")
    await reads.until(lambda keys: bool(keys))
    await rows.aclose()
    assert reads.keys == ["b"]


@pytest.mark.parametrize("error", [DatabaseUnavailable("away"), ValueError("not foreseen")])
async def test_read__raises__is_called_again(database: Database, error: Exception) -> None:
    reads = Reads()
    rows = await opened(database, reads)
    reads.keys.clear()
    reads.errors = [error]
    await database.execute("SELECT pg_notify('things', 'a')")
    await reads.until(lambda keys: len(keys) == 2)
    await rows.aclose()
    assert reads.keys == ["a", "a"]


async def test_notifications_are_lost__all_is_read_anew_at_intervals(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watcher, "REREAD_SECONDS", 0.1)
    reads = Reads()
    rows = await opened(database, reads)
    await reads.until(lambda keys: keys.count("a") >= 4 and keys.count("b") >= 4)
    await rows.aclose()
