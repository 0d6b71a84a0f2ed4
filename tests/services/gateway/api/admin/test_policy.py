"""The order in which a policy file is put in force and counted."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, cast

import pytest
import pytest_asyncio

from services.gateway.api.admin import policy
from services.gateway.api.admin.policy_rows import PolicyRows
from services.gateway.api.admin.popular import Popular
from services.gateway.api.admin.repository import Actor
from shared.access.watcher import AccessWatcher
from shared.errors.passing import DatabaseUnavailable
from shared.postgres.database import Database
from shared.process.resources import Resources
from shared.process.threads import BoundedThreads
from shared.settings import load_settings
from shared.stores import Stores, open_database

FILE = "[[rule]]\nname = 'out'\nprotocols = ['npm']\nnames = ['demo']\nrefuse = true\n"


@pytest_asyncio.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    async with Resources() as resources:
        yield await open_database(resources, load_settings({"ORCHARD_DATABASE_URL": database_url}))


class Watcher:
    """Is told of a change."""

    def __init__(self) -> None:
        self.refreshed = 0

    async def refresh(self) -> None:
        self.refreshed += 1


class Counting:
    """In place of the dry run: what is in force when it begins."""

    def __init__(self, database: Database, *, fails: bool = False) -> None:
        self.rows = PolicyRows(database)
        self.fails = fails
        self.in_force: list[str] = []

    async def __call__(self, *_: Any) -> list[Any]:
        self.in_force = [each.name for each in (await self.rows.standing([])).rules]
        if self.fails:
            raise DatabaseUnavailable("away")
        return []


async def apply(database: Database, *, yes: bool) -> tuple[policy.Applied, Watcher]:
    watcher, threads = Watcher(), BoundedThreads(1)
    applied = await policy.apply.fn(
        database=database,
        stores=cast(Stores, None),
        parsers=threads,
        actor=Actor("me"),
        access_watcher=cast(AccessWatcher, watcher),
        popular=Popular({}),
        data=policy.PolicyText(FILE, yes=yes),
    )
    await threads.aclose()
    return applied, watcher


@pytest.mark.parametrize("yes", [True, False])
async def test_yes__is_in_force_before_it_is_counted(
    database: Database, monkeypatch: pytest.MonkeyPatch, yes: bool
) -> None:
    counting = Counting(database)
    monkeypatch.setattr(policy, "dry_run", counting)
    applied, watcher = await apply(database, yes=yes)
    assert counting.in_force == (["out"] if yes else [])
    assert applied.applied and applied.counted and watcher.refreshed == 1


async def test_yes__what_cannot_be_counted__is_in_force_all_the_same(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(policy, "dry_run", Counting(database, fails=True))
    applied, _ = await apply(database, yes=True)
    assert (applied.applied, applied.counted, applied.would_refuse) == (True, False, [])
    assert [each.name for each in (await PolicyRows(database).standing([])).rules] == ["out"]
