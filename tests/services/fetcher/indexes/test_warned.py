"""What rules only warn of is told once, and of one project not without end."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import pytest_asyncio

from services.fetcher.indexes.warned import AT_ONCE, MOST, MOST_VERSIONS, Warned
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


Told = tuple[str, str, str, list[str]]


async def told(database: Database) -> list[Told]:
    """Rule, why, newest version and all versions of each event."""
    rows = await database.fetch(
        "SELECT detail::text AS detail FROM events WHERE kind = 'rule_warned' AND count = 1 ORDER BY id"
    )
    found = [json.loads(row["detail"]) for row in rows]
    return [(each["rule"], each["why"], each["version"], each.get("versions", [])) for each in found]


async def test_versions_of_one_project__are_one_event_for_each_rule(database: Database) -> None:
    await Warned(database).note("npm", "a", held(1, 2, 3) | {"4": Held(None, Change(), {"r": "w", "s": "x"})})
    assert await told(database) == [("r", "w", "4", ["1", "2", "3", "4"]), ("s", "x", "4", ["4"])]


async def test_same_versions__by_other_processes_and_words__are_told_once(database: Database) -> None:
    for why in ("first", "other words"):
        await Warned(database).note("npm", "a", held(1, why=why))
    await Warned(database).note("npm", "a", held(1, rule="another"))
    assert await told(database) == [("r", "first", "1", ["1"]), ("another", "w", "1", ["1"])]


async def test_further_version__is_added_to_the_event_of_the_day_and_is_one_of_its_own_later(
    database: Database,
) -> None:
    warned = Warned(database)
    await warned.note("npm", "a", held(1))
    await warned.note("npm", "b", held(7))
    await warned.note("npm", "a", held(1, 2, why="also"))
    assert await told(database) == [("r", "also", "2", ["1", "2"]), ("r", "w", "7", ["7"])]
    await database.execute("UPDATE events SET at = at - interval '25 hours'")
    await warned.note("npm", "a", held(1, 2, 3))
    assert await told(database) == [
        ("r", "also", "2", ["1", "2"]),
        ("r", "w", "7", ["7"]),
        ("r", "w", "3", ["3"]),
    ]


async def test_event_of_the_version_before__is_known_and_grows(database: Database) -> None:
    await database.execute(
        "INSERT INTO events (kind, protocol, project, filename, detail, detail_digest) VALUES"
        """ ('rule_warned', 'npm', 'a', '', '{"rule": "r", "version": "1", "why": "w"}', sha256('x'))"""
    )
    await Warned(database).note("npm", "a", held(1))
    assert await told(database) == [("r", "w", "1", [])]
    await Warned(database).note("npm", "a", held(1, 2))
    assert await told(database) == [("r", "w", "2", ["1", "2"])]


async def test_versions_that_no_rule_warns_of__tell_nothing(database: Database) -> None:
    await Warned(database).note("npm", "a", {"1": Held(None, Change())})
    assert await told(database) == []


async def test_many_versions__the_newest_are_told_and_the_last_kept(database: Database) -> None:
    warned = Warned(database)
    await warned.note("npm", "a", held(*range(AT_ONCE + 5)))
    ((*_, versions),) = await told(database)
    assert versions == [str(each) for each in range(5, AT_ONCE + 5)]
    for start in range(0, 2 * MOST_VERSIONS, AT_ONCE):
        await warned.note("npm", "a", held(*range(start, start + AT_ONCE)))
    ((*_, versions),) = await told(database)
    assert len(versions) == MOST_VERSIONS and versions[-1] == str(2 * MOST_VERSIONS - 1)


async def test_many_rules__the_last_events_are_kept(database: Database) -> None:
    for each in range(MOST + 3):
        await Warned(database).note("npm", "a", held(1, rule=f"r{each}"))
    kept = await told(database)
    assert len(kept) == MOST and kept[-1][0] == f"r{MOST + 2}"
