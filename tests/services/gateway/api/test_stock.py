"""What is stored: small tables are counted whole, of large ones a sample; counted once for all who ask."""

from __future__ import annotations

import asyncio

import pytest

from services.gateway.api.stock import Stock, StockCounter, Stocked, percent, read_stock
from shared.postgres.connection import session
from tests.services.gateway.conftest import Stores

_MANY = """
INSERT INTO packages (protocol, name, owner)
SELECT 'npm', 'package-of-many-' || n, (SELECT owner FROM packages LIMIT 1) FROM generate_series(1, 60000) n
"""


async def test_stock__small__is_exact_and_large__is_about_right(stores: Stores) -> None:
    await stores.put_artifact("demo", "demo-1.0-py3-none-any.whl", b"x" * 1000)
    await stores.put_artifact("demo", "demo-2.0-py3-none-any.whl", b"y" * 500)
    assert await read_stock(stores.database) == Stock([Stocked("pypi", 1, 2, 1500)], exact=True)
    async with session(stores.settings.database_url) as database:
        await database.fetch(_MANY)
    found = await read_stock(stores.database)
    npm = next(each for each in found.items if each.protocol == "npm")
    assert not found.exact
    assert 40_000 < npm.packages < 80_000


async def test_counter__many_ask_at_once__counts_once(
    stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    counter = StockCounter(stores.database)
    asked = 0
    fetch = stores.database.fetchrow

    async def counted(*arguments: object) -> object:
        nonlocal asked
        asked += 1
        return await fetch(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(stores.database, "fetchrow", counted)
    found = await asyncio.gather(*(counter.read() for _ in range(5)))
    assert (asked, found) == (1, [await counter.read()] * 5)
    await counter.aclose()


def test_percent__is_of_two_mebibytes() -> None:
    assert [percent(0), percent(2 * 1024**2), percent(200 * 1024**2)] == [100.0, 100.0, 1.0]
