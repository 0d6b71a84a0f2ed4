"""Kept absences in a real PostgreSQL: whose rows outlast those that anybody may have made up."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from services.fetcher.sources import absences
from services.fetcher.sources.absences import AbsenceRepository
from shared.artifacts.repository import ArtifactRepository
from shared.models import StoredDocument
from shared.postgres.database import Database


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


async def test_document_is_stored__what_was_absent_is_so_no_more(database: Database) -> None:
    absences = AbsenceRepository(database)
    await absences.note(
        "pypi", "simple/demo", project="demo", sources=[1], reason="none has it", generation=1
    )
    stored = StoredDocument("pypi", "simple/demo", 1, 2, "documents/" + "a" * 64, 1_700_000_000.0, "", "")
    assert await ArtifactRepository(database).store_document(stored, project="demo")
    assert await absences.find("pypi", "simple/demo", [1]) is None


async def test_find__other_sources_may_be_asked_now__nothing_is_known(database: Database) -> None:
    absences = AbsenceRepository(database)
    await absences.note("maven", "g/a", project="g:a", sources=[2, 1], reason="neither has it", generation=1)
    assert await absences.find("maven", "g/a", [1, 2]) == "neither has it"
    for others in ([1], [1, 2, 3], [1, 3]):
        assert await absences.find("maven", "g/a", others) is None


async def test_prune__of_known_and_made_up_names__the_longest_unconfirmed_go_each_by_its_bound(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(absences, "MOST_KNOWN", 3)
    monkeypatch.setattr(absences, "MOST_UNKNOWN", 2)
    monkeypatch.setattr(absences, "PRUNED_EVERY", 1)
    await database.execute(
        "INSERT INTO absences (protocol, identity, project, sources, known, seen_at) "
        "SELECT 'pypi', k || n, k || n, '{1}', k = 'known', now() - n * interval '1 hour' "
        "FROM generate_series(1, 6) n, unnest(ARRAY['known', 'made-up']) k"
    )
    await AbsenceRepository(database).note("pypi", "new", project="new", sources=[1], reason="", generation=1)
    left = await database.fetch("SELECT identity FROM absences ORDER BY identity")
    assert [row["identity"] for row in left] == ["known1", "known2", "known3", "made-up1", "new"]
