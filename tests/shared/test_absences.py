"""Kept absences in a real PostgreSQL: whose rows outlast those that anybody may have made up."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from shared.absences import AbsenceRepository
from shared.clients.postgres import Database


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    database = Database(database_url)
    await database.open()
    yield database
    await database.aclose()


@pytest.mark.parametrize(
    ("pins", "known"),
    [
        ("", False),
        ("INSERT INTO project_pins (protocol, project, source_id) VALUES ('maven', 'g:a', 1)", True),
        ("INSERT INTO shared_pins (protocol, project, source_id) VALUES ('maven', 'g:a', 1)", True),
    ],
    ids=["nothing", "one source", "several sources"],
)
async def test_note__project_that_is_pinned__is_known(database: Database, pins: str, known: bool) -> None:
    if pins:
        await database.execute(pins)
    await AbsenceRepository(database).note(
        "maven", "g/a", project="g:a", sources=[1], reason="no upstream has it", generation=1
    )
    row = await database.fetchrow("SELECT known FROM absences WHERE protocol = 'maven' AND identity = 'g/a'")
    assert row is not None
    assert row["known"] is known
