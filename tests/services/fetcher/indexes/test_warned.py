"""What rules only warn of is told once, and of one project not without end."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest_asyncio

from services.fetcher.indexes.warned import AT_ONCE, MOST, Warned
from shared.policy.content import Held
from shared.policy.traits import Change
from shared.postgres.database import Database
from shared.process.resources import Resources
from shared.settings import load_settings
from shared.stores import open_database


@pytest_asyncio.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    async with Resources() as resources:
        yield await open_database(resources, load_settings({"ORCHARD_DATABASE_URL": database_url}))


def held(*versions: object, rule: str = "r", why: str = "w") -> dict[str, Held]:
    return {str(each): Held(None, Change(), {rule: why}) for each in versions}


async def told(database: Database) -> list[tuple[str, str]]:
    rows = await database.fetch(
        "SELECT detail ->> 'version' AS version, detail ->> 'rule' AS rule FROM events"
        " WHERE kind = 'rule_warned' AND count = 1 ORDER BY id"
    )
    return [(row["version"], row["rule"]) for row in rows]


async def test_same_version_and_rule__by_other_processes_and_words__is_told_once(database: Database) -> None:
    for why in ("first", "other words"):
        await Warned(database).note("npm", "a", held(1, why=why))
    await Warned(database).note("npm", "a", held(1, rule="another"))
    assert await told(database) == [("1", "r"), ("1", "another")]


async def test_versions_that_no_rule_warns_of__tell_nothing(database: Database) -> None:
    await Warned(database).note("npm", "a", {"1": Held(None, Change())})
    assert await told(database) == []


async def test_many_versions__the_newest_are_told_and_the_last_events_kept(database: Database) -> None:
    warned = Warned(database)
    await warned.note("npm", "a", held(*range(AT_ONCE + 5)))
    assert await told(database) == [(str(each), "r") for each in range(5, AT_ONCE + 5)]
    for start in range(0, 2 * MOST, AT_ONCE):
        await warned.note("npm", "a", held(*range(start, start + AT_ONCE)))
    kept = await told(database)
    assert len(kept) <= MOST and kept[-1] == (str(2 * MOST - 1), "r")
