"""Rules of the policy file that went: what comes back began when it first did."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from services.gateway.api.admin import policy_rows
from services.gateway.api.admin.policy_rows import PolicyRows
from services.gateway.api.admin.repository import Actor
from shared.errors import Conflict
from shared.policy.named import FORMAT, NamedRule
from shared.policy.reading import put_in_force
from shared.postgres.database import Database
from shared.process.resources import Resources
from shared.settings import load_settings
from shared.stores import open_database

ME = Actor("me")


@pytest_asyncio.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    async with Resources() as resources:
        yield await open_database(resources, load_settings({"ORCHARD_DATABASE_URL": database_url}))


def rule(name: str = "a", *licences: str, **more: str) -> NamedRule:
    fields = {"when": f"licence in {list(licences)!r}", "format": FORMAT, **more}
    return NamedRule(name, **fields)  # type: ignore[arg-type]


class Applying:
    """Applies rules as `orchard policy apply` does, at moments of its own."""

    def __init__(self, database: Database) -> None:
        self.rows = PolicyRows(database)

    async def at(self, now: float, *rules: NamedRule) -> list[float]:
        """Since when each counts then."""
        standing = await self.rows.standing(rules)
        wanted = put_in_force(rules, standing.before, now)
        await self.rows.replace(ME, wanted, standing)
        return [each.since for each in wanted]


async def test_rule_that_was_away__began_when_it_first_did(database: Database) -> None:
    apply = Applying(database)
    assert await apply.at(1.0, rule("a"), rule("b")) == [1.0, 1.0]
    assert await apply.at(2.0, rule("b")) == [1.0]
    assert await apply.at(3.0) == []
    assert await apply.at(4.0, rule("c"), rule("a")) == [4.0, 1.0]


async def test_rule_that_was_changed__begins_anew_and_back_again_when_it_first_did(
    database: Database,
) -> None:
    apply = Applying(database)
    assert await apply.at(1.0, rule("a", "MIT")) == [1.0]
    assert await apply.at(2.0, rule("a", "ISC")) == [2.0]
    assert await apply.at(3.0, rule("a", "0BSD")) == [3.0]
    assert await apply.at(4.0, rule("a", "MIT")) == [1.0]
    assert await apply.at(5.0, rule("a", "ISC", reason="in other words")) == [2.0]


async def test_rule_of_another_name__begins_now(database: Database) -> None:
    apply = Applying(database)
    await apply.at(1.0, rule("a"))
    await apply.at(2.0)
    assert await apply.at(3.0, rule("b")) == [3.0]


async def test_many_rules_that_went__the_last_are_remembered(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(policy_rows, "MOST_GONE", 2)
    apply = Applying(database)
    for number in range(5):
        await apply.at(float(number + 1), rule(f"r{number}"))
    await apply.at(9.0)
    count = await database.fetchrow("SELECT count(*) FROM policy_rules_gone")
    assert count is not None and count[0] <= 4  # what went with the last change, and those before it
    assert await apply.at(10.0, rule("r4"), rule("r0")) == [5.0, 10.0]


async def in_force(rows: PolicyRows) -> list[str]:
    return [each.name for each in (await rows.standing([])).rules]


@pytest.mark.parametrize("there", [[], [rule("old")]], ids=["none", "one"])
async def test_two_at_once__the_second_is_told_and_changes_nothing(
    database: Database, there: list[NamedRule]
) -> None:
    rows = PolicyRows(database)
    await rows.replace(ME, there, await rows.standing([]))
    read_by_both = await rows.standing([])
    await rows.replace(ME, [*there, rule("first")], read_by_both)
    with pytest.raises(Conflict, match="somebody else applied a policy file meanwhile"):
        await rows.replace(ME, [rule("second")], read_by_both)
    assert await in_force(rows) == [*(each.name for each in there), "first"]
    lines = await database.fetch("SELECT FROM audit WHERE action = 'policy.apply'")
    assert len(lines) == 2  # a change that was not made has none


async def test_two_at_the_same_moment__one_is_told(database: Database) -> None:
    rows = PolicyRows(database)
    standing = await rows.standing([])
    names = [f"of-{number}" for number in range(4)]
    done = await asyncio.gather(
        *(rows.replace(ME, [rule(name)], standing) for name in names), return_exceptions=True
    )
    assert sum(each is None for each in done) == 1
    assert sum(isinstance(each, Conflict) for each in done) == 3
    assert await in_force(rows) == [names[done.index(None)]]


async def test_other_changes_meanwhile__are_no_reason(database: Database) -> None:
    rows = PolicyRows(database)
    await rows.replace(ME, [rule("old")], await rows.standing([]))
    standing = await rows.standing([])
    await database.execute(
        "INSERT INTO blocks (protocol, name, version, reason, created_by) VALUES ('npm', 'x', '', 'no', 'me')"
    )
    await rows.replace(ME, [rule("new")], standing)
    assert await in_force(rows) == ["new"]
