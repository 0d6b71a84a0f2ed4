"""What pages were made without: rows that several fetchers write."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest_asyncio

from services.fetcher.indexes.held_queue import HeldQueue
from shared.policy.age import Dated
from shared.policy.policy import Subject
from shared.policy.project import JudgedEntry
from shared.policy.verdict import Verdict
from shared.postgres.database import Database

WHY = Verdict(False, "minimum_age", "it is young", 2e9)


@pytest_asyncio.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    one = Database(database_url, max_size=2)
    await one.open()
    yield one
    await one.aclose()


def held(*versions: str) -> list[JudgedEntry]:
    return [
        (Dated(version, version, 1e9), Subject("npm", "demo", version, published=1e9), WHY)
        for version in versions
    ]


async def rows(database: Database) -> list[str]:
    found = await database.fetch("SELECT version FROM held_versions ORDER BY version")
    return [row["version"] for row in found]


async def test_two_fetchers__each_page_has_its_rows_whoever_wrote_between(database: Database) -> None:
    """As where an exemption came and ended, and one of them made no page meanwhile."""
    one, other = HeldQueue(database), HeldQueue(database)
    await one.note("npm", "demo", held("1.0.0"), {})
    await other.note("npm", "demo", held(), {})
    assert await rows(database) == []
    await one.note("npm", "demo", held("1.0.0"), {})
    assert await rows(database) == ["1.0.0"]


async def test_same_again__is_held_since_it_first_was(database: Database) -> None:
    queue = HeldQueue(database)
    await queue.note("npm", "demo", held("1.0.0"), {})
    before = await database.fetch("SELECT held_at, xmin FROM held_versions")
    await queue.note("npm", "demo", held("1.0.0", "2.0.0"), {})
    after = await database.fetch("SELECT held_at, xmin FROM held_versions WHERE version = '1.0.0'")
    assert [tuple(row) for row in before] == [tuple(row) for row in after]
    assert await rows(database) == ["1.0.0", "2.0.0"]


async def test_held__version__is_kept_as_its_file_spells_it_beside_its_key(database: Database) -> None:
    listed = Dated("demo-2.34.0-py3-none-any.whl", "2.34", 1e9, is_file=True)
    await HeldQueue(database).note("pypi", "demo", [(listed, Subject("pypi", "demo", "2.34"), WHY)], {})
    found = await database.fetch("SELECT version, told FROM held_versions")
    assert [tuple(row) for row in found] == [("2.34", "2.34.0")]
