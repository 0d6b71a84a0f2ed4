"""The repository on a real PostgreSQL: one statement each, the first writer wins, races included."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from shared.artifacts.repository import ArtifactRepository, EventRecord
from shared.errors import InvalidData
from shared.models import (
    CachedUrl,
    Dependency,
    Extraction,
    FileName,
    IndexState,
    SealedFile,
    StandingFile,
    StoredDocument,
    StoredFile,
)
from shared.policy.age import Seen
from shared.policy.evidence import Evidence, Publisher
from shared.postgres.batches import BatchWriter
from shared.postgres.database import Database
from tests.support.rows import row_of

VERIFIED = Evidence("verified", Publisher("GitHub", "us/lib", "release.yml"), root="1", signature="verified")
FALSE = Evidence("failed", why="no", root="1", signature="verified")
STRANGE = Evidence("unknown", why="of a strange kind", root="1")
UNSEEN = Evidence("unknown", root="1")


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    database = Database(database_url, max_size=16)
    await database.open()
    yield database
    await database.aclose()


@pytest.fixture
def repository(database: Database) -> ArtifactRepository:
    return ArtifactRepository(database)


def url(number: int = 0, *, content: str = "", project: str = "demo", **changes: Any) -> CachedUrl:
    file = FileName("pypi", project, f"{number:064x}", f"{project}-{number}-py3-none-any.whl")
    made: dict[str, Any] = {
        "size_bytes": 1000 + number,
        "generation": 10,
        "source_id": 1,
        "upstream_url": f"https://files.example.com/{number}.whl",
    }
    return row_of(file, (content or f"content {number}").encode(), **made | changes)


def extraction(sha256: str, count: int, **changes: object) -> Extraction:
    made = Extraction(
        sha256=sha256,
        state="extracted",
        name="demo",
        version="1.0",
        requires_python=">=3.9",
        extras=("socks", "dev"),
        dependencies=tuple(
            Dependency(
                position=position,
                requirement=f"dep-{position}[x,y]>=1; extra == 'dev'",
                name=f"dep-{position}",
                specifier=">=1",
                marker='extra == "dev"',
                extras=("x", "y"),
                optional=True,
            )
            for position in range(count)
        ),
    )
    return msgspec.structs.replace(made, **changes)


async def lookup(repository: ArtifactRepository, one: CachedUrl) -> StoredFile | None:
    return await repository.get_cached_url_with_artifact(one.file)


# --- artifacts ------------------------------------------------------------------------------------


async def test_store__new_artifact__one_statement_and_all_rows(
    database: Database, repository: ArtifactRepository
) -> None:
    before = database.statements
    stood = await repository.get_or_create_artifact(url())
    assert database.statements - before == 1
    assert msgspec.structs.replace(stood, created_at=0.0) == url().stored
    assert stood.created_at > 0
    row = await database.fetchrow("SELECT owner FROM packages WHERE protocol = 'pypi' AND name = 'demo'")
    assert row is not None and row["owner"] == "_pypi"


async def test_kept_headers_and_date__read_back_and_the_first_ones_stand(
    repository: ArtifactRepository,
) -> None:
    first = url(headers={"x-colour": "red"}, modified=1_714_557_600.0)
    later = url(headers={"x-colour": "blue"}, modified=1_714_557_601.0)
    for each in (first, later):
        stood = await repository.get_or_create_artifact(each)
        assert (stood.headers, stood.modified) == (first.stored.headers, first.stored.modified)
    facts = await lookup(repository, first)
    (same,) = await repository.batch_get_cached_urls([first.file])
    for found in (facts, same):
        assert found == stood


async def test_lookup__many_at_once__one_statement_and_their_order(
    database: Database, repository: ArtifactRepository
) -> None:
    stored = await repository.batch_create_artifacts([url(1), url(2)])
    names = [url(1).file, url(2).file]
    missing = FileName("pypi", "demo", "", "none.whl")
    before = database.statements
    found = await repository.batch_get_cached_urls([names[1], missing, *names])
    assert database.statements - before == 1
    assert found == [stored[1], None, *stored]


async def test_lookup__stored_and_unknown__one_statement_each(
    database: Database, repository: ArtifactRepository
) -> None:
    stored = await repository.get_or_create_artifact(url())
    before = database.statements
    assert await lookup(repository, url()) == stored
    assert database.statements - before == 1
    assert await lookup(repository, url(7)) is None


async def test_store__other_bytes_under_a_known_name__first_row_stands(
    database: Database, repository: ArtifactRepository
) -> None:
    first = await repository.get_or_create_artifact(url())
    other = url(content="other bytes", generation=99)
    assert await repository.get_or_create_artifact(other) == first
    rows = await database.fetch("SELECT 1 FROM artifacts")
    assert len(rows) == 1  # the refused bytes left no artifact row


async def test_store__same_bytes_under_two_names__one_artifact(
    database: Database, repository: ArtifactRepository
) -> None:
    await repository.batch_create_artifacts([url(1, content="same"), url(2, content="same")])
    assert len(await database.fetch("SELECT 1 FROM artifacts")) == 1
    assert len(await database.fetch("SELECT 1 FROM cached_urls")) == 2


async def test_store__key_twice_in_one_batch__first_wins_and_both_learn_it(
    repository: ArtifactRepository,
) -> None:
    first, second = await repository.batch_create_artifacts([url(content="a"), url(content="b")])
    assert first.sha256 == second.sha256 == url(content="a").stored.sha256


async def test_store__many_racing_for_one_name__all_see_the_same_row(
    database: Database, repository: ArtifactRepository
) -> None:
    for number in range(20):
        stood = await asyncio.gather(
            *(
                repository.get_or_create_artifact(url(number, content=f"{number} by {writer}"))
                for writer in range(16)
            )
        )
        assert len({one.sha256 for one in stood}) == 1


async def test_store__racing_equal_batches__all_rows_returned_complete(
    repository: ArtifactRepository,
) -> None:
    for round_ in range(5):
        batch = [url(number, project=f"p{round_}") for number in range(50)]
        results = await asyncio.gather(*(repository.batch_create_artifacts(batch) for _ in range(8)))
        for result in results:
            assert [one.sha256 for one in result] == [one.stored.sha256 for one in batch]
            assert [one.size_bytes for one in result] == [one.stored.size_bytes for one in batch]


async def test_store__reversed_batches_of_many_projects__no_deadlock(
    repository: ArtifactRepository,
) -> None:
    for round_ in range(10):
        batch = [url(number, project=f"p{round_}-{number % 7}") for number in range(60)]
        batches = [batch, batch[::-1], batch[20:] + batch[:20], batch[::-1][30:] + batch[::-1][:30]]
        await asyncio.gather(*(repository.batch_create_artifacts(one) for one in batches * 2))


async def test_store__100_artifacts__one_statement(
    database: Database, repository: ArtifactRepository
) -> None:
    before = database.statements
    await repository.batch_create_artifacts([url(number) for number in range(100)])
    assert database.statements - before == 1


async def test_store__first_package_of_a_new_protocol__gets_its_system_project(
    database: Database, repository: ArtifactRepository
) -> None:
    await repository.get_or_create_artifact(url(protocol="toy"))
    rows = await database.fetch("SELECT name, system FROM projects")
    assert [(row["name"], row["system"]) for row in rows] == [("_toy", True)]


@pytest.mark.parametrize(
    "changes",
    [
        {"filename": "a\x00b"},
        {"filename": "a\ud800b"},
        {"upstream_url": "https://example.com/\udfff"},
        {"project": "x" * 513},
        {"filename": "x" * 1025},
        {"sha256": "no hex"},
        {"sha256": "abcd"},
        {"size_bytes": 2**70},
    ],
)
async def test_store__value_that_cannot_be_stored__invalid_data(
    repository: ArtifactRepository, changes: dict[str, Any]
) -> None:
    with pytest.raises(InvalidData):
        await repository.get_or_create_artifact(url(**changes))
    await repository.get_or_create_artifact(url())  # the connection is still good


# --- metadata and sealed files ----------------------------------------------------------------------


def metadata_of(url: CachedUrl, content: str) -> CachedUrl:
    file = msgspec.structs.replace(url.file, filename=f"{url.file.filename}.metadata")
    return row_of(file, content.encode(), generation=10, source_id=1, role="metadata")


async def test_seal_metadata__second_with_another_hash__first_stays_pinned(
    repository: ArtifactRepository,
) -> None:
    await repository.get_or_create_artifact(url())
    first = await repository.seal_metadata(metadata_of(url(), "first"))
    second = await repository.seal_metadata(metadata_of(url(), "second"))
    assert second.sha256 == first.sha256


async def test_seal_metadata__nothing_to_extract__not_left_pending(
    repository: ArtifactRepository,
) -> None:
    sealed = await repository.seal_metadata(metadata_of(url(), "metadata"))
    known = await repository.get_extraction(sealed.sha256)
    assert known is not None and known.state == "unknown"


async def test_standing_file__read_or_not__one_query_tells_all_an_extraction_needs(
    database: Database, repository: ArtifactRepository
) -> None:
    stored = await repository.get_or_create_artifact(url(1))
    names = (url(1).file, f"{stored.filename}.metadata", "simple/demo")
    plain = StandingFile(stored, "pending", False, "", "")
    assert await repository.standing_file(*names) == plain
    await repository.seal_metadata(metadata_of(url(1), "metadata"))
    await repository.store_document(document(5), project="demo")
    before = database.statements
    found = await repository.standing_file(*names)
    assert database.statements - before == 1
    assert found == msgspec.structs.replace(plain, has_metadata=True, document_key="documents/5")
    assert await repository.standing_file(FileName("pypi", "demo", "", "none.whl"), "", "simple/demo") is None


@pytest.mark.parametrize("same", [True, False])
async def test_provisional_metadata__pinned__replaced_by_what_the_file_holds_and_never_again(
    repository: ArtifactRepository, same: bool
) -> None:
    await repository.get_or_create_artifact(url(1))
    read = msgspec.structs.replace(metadata_of(url(1), "metadata"), role="provisional")
    early = await repository.get_or_create_artifact(read)
    assert early.provisional and await repository.get_cached_url_with_artifact(read.file) == early
    standing = await repository.standing_file(url(1).file, early.filename, "simple/demo")
    assert standing is not None and (standing.has_metadata, standing.provisional_sha256) == (
        False,
        early.sha256,
    )
    true = metadata_of(url(1), "metadata" if same else "other")
    pinned = await repository.seal_metadata(true)
    assert (pinned.sha256, pinned.provisional) == (true.stored.sha256, False)
    assert pinned.created_at > early.created_at
    for standing_now in (
        await repository.get_cached_url_with_artifact(read.file),
        await repository.get_or_create_artifact(read),
        await repository.seal_metadata(metadata_of(url(1), "third")),
    ):
        assert standing_now == pinned
    assert await repository.drop_provisional(read.file) == 0.0


async def test_provisional_metadata__dropped__is_gone(repository: ArtifactRepository) -> None:
    read = msgspec.structs.replace(metadata_of(url(1), "metadata"), role="provisional")
    early = await repository.get_or_create_artifact(read)
    assert await repository.drop_provisional(read.file) == early.created_at
    assert await repository.get_cached_url_with_artifact(read.file) is None


# --- dependencies -----------------------------------------------------------------------------------


async def test_dependencies__fifty__one_statement_and_read_back_equal(
    database: Database, repository: ArtifactRepository
) -> None:
    stored = await repository.get_or_create_artifact(url())
    before = database.statements
    assert await repository.batch_upsert_dependencies([extraction(stored.sha256, 50)]) == [True]
    assert database.statements - before == 1
    assert await repository.get_extraction(stored.sha256) == extraction(stored.sha256, 50)


async def test_dependencies__of_100_artifacts_at_once__at_most_two_statements(
    database: Database, repository: ArtifactRepository
) -> None:
    stored = await repository.batch_create_artifacts([url(number) for number in range(100)])
    writer = BatchWriter(repository.batch_upsert_dependencies)
    before = database.statements
    results = await asyncio.gather(*(writer.add(extraction(one.sha256, 10)) for one in stored))
    await writer.aclose()
    assert results == [True] * 100
    assert database.statements - before <= 2
    rows = await database.fetch("SELECT count(*) AS n FROM artifact_dependencies")
    assert rows[0]["n"] == 1000


async def test_dependencies__none_yet__pending(repository: ArtifactRepository) -> None:
    stored = await repository.get_or_create_artifact(url())
    assert await repository.get_extraction(stored.sha256) == Extraction(stored.sha256, "pending")
    assert await repository.get_extraction("0" * 64) is None


async def test_dependencies__already_extracted__final(repository: ArtifactRepository) -> None:
    stored = await repository.get_or_create_artifact(url())
    await repository.batch_upsert_dependencies([extraction(stored.sha256, 2)])
    late = extraction(stored.sha256, 0, state="unextractable", reason="late")
    assert await repository.batch_upsert_dependencies([late]) == [False]
    assert await repository.get_extraction(stored.sha256) == extraction(stored.sha256, 2)


async def test_dependencies__unknown_then_extracted__replaced(repository: ArtifactRepository) -> None:
    stored = await repository.get_or_create_artifact(url())
    unknown = extraction(stored.sha256, 5, state="unknown", reason="old sdist")
    assert await repository.batch_upsert_dependencies([unknown]) == [True]
    assert await repository.batch_upsert_dependencies([extraction(stored.sha256, 2)]) == [True]
    assert await repository.get_extraction(stored.sha256) == extraction(stored.sha256, 2)


async def test_dependencies__of_an_artifact_not_stored__not_written(
    repository: ArtifactRepository,
) -> None:
    assert await repository.batch_upsert_dependencies([extraction(url().stored.sha256, 2)]) == [False]


async def test_dependencies__same_artifact_twice_in_a_batch__extracted_preferred(
    repository: ArtifactRepository,
) -> None:
    stored = await repository.get_or_create_artifact(url())
    twice = [extraction(stored.sha256, 1), extraction(stored.sha256, 0, state="unknown")]
    assert await repository.batch_upsert_dependencies(twice) == [True, True]
    assert await repository.get_extraction(stored.sha256) == extraction(stored.sha256, 1)


async def test_dependencies__reversed_batches_at_once__no_deadlock(
    repository: ArtifactRepository,
) -> None:
    stored = await repository.batch_create_artifacts([url(number) for number in range(40)])
    for state in ("unknown", "unextractable", "unknown", "extracted"):
        batch = [extraction(one.sha256, 3, state=state) for one in stored]
        await asyncio.gather(*(repository.batch_upsert_dependencies(one) for one in [batch, batch[::-1]] * 4))
    assert await repository.get_extraction(stored[0].sha256) == extraction(stored[0].sha256, 3)


@pytest.mark.parametrize(
    "changes",
    [{"name": "a\x00"}, {"requirement": "\ud800"}, {"name": "x" * 513}, {"extras": ("a\x1fb",)}],
)
async def test_dependencies__bad_row__invalid_data_and_state_unchanged(
    repository: ArtifactRepository, changes: dict[str, object]
) -> None:
    stored = await repository.get_or_create_artifact(url())
    good = extraction(stored.sha256, 1).dependencies[0]
    bad = msgspec.structs.replace(good, position=1, **changes)
    with pytest.raises(InvalidData):
        await repository.batch_upsert_dependencies([extraction(stored.sha256, 0, dependencies=(good, bad))])
    assert await repository.get_extraction(stored.sha256) == Extraction(stored.sha256, "pending")


async def test_batch_writer__one_bad_extraction_among_100__fails_alone(
    database: Database, repository: ArtifactRepository
) -> None:
    stored = await repository.batch_create_artifacts([url(number) for number in range(100)])
    extractions = [extraction(one.sha256, 2) for one in stored]
    bad = msgspec.structs.replace(extractions[61].dependencies[1], name="x" * 513)
    extractions[61] = extraction(stored[61].sha256, 0, dependencies=(extractions[61].dependencies[0], bad))
    writer = BatchWriter(repository.batch_upsert_dependencies)
    results = await asyncio.gather(*(writer.add(one) for one in extractions), return_exceptions=True)
    await writer.aclose()
    assert isinstance(results.pop(61), InvalidData)
    assert results == [True] * 99
    rows = await database.fetch("SELECT extraction_state, count(*) AS n FROM artifacts GROUP BY 1 ORDER BY 1")
    assert [(row["extraction_state"], row["n"]) for row in rows] == [("extracted", 99), ("pending", 1)]


async def test_batch_writer__one_bad_artifact_among_100__fails_alone(
    database: Database, repository: ArtifactRepository
) -> None:
    urls = [url(number) for number in range(100)]
    urls[13] = url(13, filename="nul\x00.whl")
    writer = BatchWriter(repository.batch_create_artifacts)
    results = await asyncio.gather(*(writer.add(one) for one in urls), return_exceptions=True)
    await writer.aclose()
    assert [nth for nth, result in enumerate(results) if isinstance(result, BaseException)] == [13]
    assert isinstance(results[13], InvalidData)
    assert len(await database.fetch("SELECT 1 FROM cached_urls")) == 99


# --- documents and pins -------------------------------------------------------------------------------


def document(generation: int, source_id: int = 1, identity: str = "simple/demo") -> StoredDocument:
    return StoredDocument(
        protocol="pypi",
        identity=identity,
        source_id=source_id,
        generation=generation,
        document_key=f"documents/{generation}",
        fetched_at=1_700_000_000.25,
        upstream_etag='"e"',
        upstream_last_modified="Tue, 14 Nov 2023 22:13:20 GMT",
    )


async def test_document__stored__read_back_and_pinned_in_one_statement(
    database: Database, repository: ArtifactRepository
) -> None:
    before = database.statements
    assert await repository.store_document(document(5), project="demo")
    assert database.statements - before == 1
    assert await repository.stored_document("pypi", "simple/demo") == document(5)
    assert await repository.stored_document("pypi", "simple/other") is None
    assert await repository.pinned("pypi", ["demo"]) == {1}


async def test_index_state__document_pin_and_files__in_one_query(
    database: Database, repository: ArtifactRepository
) -> None:
    one, two, _ = await repository.batch_create_artifacts(
        [url(1, digests={"sha512": "ab"}), url(2), url(3, project="other")]
    )
    sealed = await repository.seal_metadata(metadata_of(url(2), "metadata"))
    assert await repository.store_document(document(2**52), project="demo")
    await repository.mark_gone("pypi", "simple/demo", 2**52)
    before = database.statements
    state = await repository.index_state("pypi", "simple/demo", "demo", ["demo", "demo-*"])
    assert database.statements - before == 1
    assert state.document == await repository.stored_document("pypi", "simple/demo")
    assert state.pinned == {1}
    assert state.sealed == [
        SealedFile(one.filename, url(1).file.file_id, one.sha256, 1001, "", {"sha512": "ab"}, one.created_at),
        SealedFile(two.filename, url(2).file.file_id, two.sha256, 1002, sealed.sha256, {}, two.created_at),
    ]


async def test_index_state__nothing_known__empty(repository: ArtifactRepository) -> None:
    assert await repository.index_state("pypi", "simple/", "", ()) == IndexState(None, frozenset(), [])


async def test_index_state__several_names_and_sources__those_of_the_first_pinned_name(
    database: Database, repository: ArtifactRepository
) -> None:
    await repository.pin_first("maven", "g:*", 7)
    await database.execute(
        "INSERT INTO shared_pins (protocol, project, source_id) SELECT 'maven', 'g:a', generate_series(1, 2)"
    )
    pinned = [
        (await repository.index_state("maven", project, project, [project, "g:*"])).pinned
        for project in ("g:a", "g:b")
    ]
    assert pinned == [{1, 2}, {7}]


async def test_document__older_generation__refused(repository: ArtifactRepository) -> None:
    assert await repository.store_document(document(5), project="demo")
    assert not await repository.store_document(document(4), project="demo")
    assert await repository.store_document(document(5), project="demo")  # a retry of the same claim
    assert await repository.store_document(document(6), project="demo")
    assert await repository.stored_document("pypi", "simple/demo") == document(6)


async def test_mark_gone__by_an_older_generation__changes_nothing(repository: ArtifactRepository) -> None:
    assert await repository.store_document(document(5), project="demo")
    await repository.mark_gone("pypi", "simple/demo", 4)
    assert await repository.stored_document("pypi", "simple/demo") == document(5)
    await repository.mark_gone("pypi", "simple/demo", 6)
    gone = await repository.stored_document("pypi", "simple/demo")
    assert gone is not None and gone.gone_at > 0 and gone.generation == 6
    assert not await repository.store_document(document(5), project="demo")  # too late to bring it back


async def test_document__project_pinned_elsewhere__refused_until_unpinned(
    database: Database,
    repository: ArtifactRepository,
) -> None:
    assert await repository.store_document(document(1, source_id=1), project="demo")
    assert not await repository.store_document(document(2, source_id=2), project="demo")
    assert not await repository.store_document(document(2, 2, "json/demo"), project="demo")
    assert await repository.stored_document("pypi", "json/demo") is None
    await database.execute("DELETE FROM project_pins")
    assert await repository.store_document(document(2, source_id=2), project="demo")
    assert await repository.pinned("pypi", ["demo"]) == {2}


async def test_document__two_sources_racing__one_pin_and_one_winner(
    repository: ArtifactRepository,
) -> None:
    stored = await asyncio.gather(
        *(
            repository.store_document(document(1, source, f"kind{source}/demo"), project="demo")
            for source in range(1, 9)
        )
    )
    assert stored.count(True) == 1
    assert await repository.pinned("pypi", ["demo"]) == {stored.index(True) + 1}


async def test_document__list_of_all_projects__pins_nothing(
    database: Database, repository: ArtifactRepository
) -> None:
    assert await repository.store_document(document(1, identity="simple/"), project="")
    assert await database.fetch("SELECT 1 FROM project_pins") == []


async def test_document__late_writer_after_unpin__does_not_pin_again(
    database: Database,
    repository: ArtifactRepository,
) -> None:
    assert await repository.store_document(document(5), project="demo")
    await database.execute("DELETE FROM project_pins")
    assert not await repository.store_document(document(4), project="demo")
    assert await repository.pinned("pypi", ["demo"]) == frozenset()


async def test_pin_first__stands__whoever_comes_later(repository: ArtifactRepository) -> None:
    assert await repository.pin_first("maven", "g:a", 1) == 1
    assert await repository.pin_first("maven", "g:a", 2) == 1
    assert await repository.pinned("maven", ["g:a", "g:*"]) == {1}


async def test_pins__several_sources_of_one_project__no_pin_beside_them(
    database: Database, repository: ArtifactRepository
) -> None:
    await database.execute(
        "INSERT INTO shared_pins (protocol, project, source_id) SELECT 'pypi', 'demo', generate_series(1, 2)"
    )
    assert await repository.pin_first("pypi", "demo", 3) == 0
    assert await repository.store_document(document(1, source_id=2), project="demo")
    assert await repository.pinned("pypi", ["demo"]) == {1, 2}
    assert await database.fetch("SELECT 1 FROM project_pins") == []


async def test_pins__of_a_group__for_projects_without_their_own(
    repository: ArtifactRepository,
) -> None:
    assert await repository.pin_first("maven", "g:*", 1) == 1
    assert await repository.pinned("maven", ["g:a", "g:*"]) == {1}
    assert await repository.pin_first("maven", "g:a", 2) == 2
    assert await repository.pinned("maven", ["g:a", "g:*"]) == {2}


async def test_document__pinned_to_one_of_its_owner__stored(repository: ArtifactRepository) -> None:
    assert await repository.store_document(document(1, source_id=1), project="demo")
    assert await repository.store_document(document(2, source_id=2), project="demo", owner=[1, 2])
    assert await repository.pinned("pypi", ["demo"]) == {1}


# --- events ---------------------------------------------------------------------------------------------


async def test_events__the_same_again__counted(database: Database, repository: ArtifactRepository) -> None:
    detail = {"was": "aa", "now": "bb"}
    await repository.record_event("upstream_mutated", "pypi", "demo", "demo.whl", detail)
    again = EventRecord("upstream_mutated", "pypi", "demo", "demo.whl", dict(reversed(detail.items())))
    other = EventRecord("upstream_mutated", "pypi", "demo", "demo.whl", {"was": "aa", "now": "cc"})
    before = database.statements
    await repository.batch_record_events([again, again, other])
    assert database.statements - before == 1
    rows = await database.fetch("SELECT count FROM events ORDER BY count")
    assert [row["count"] for row in rows] == [1, 3]


@pytest.mark.parametrize("value", ["a\x00", "a\ud800"])
async def test_events__value_that_cannot_be_stored__invalid_data(
    repository: ArtifactRepository, value: str
) -> None:
    with pytest.raises(InvalidData):
        await repository.record_event("object_decayed", "pypi", "demo", "f", {"value": value})


@pytest.mark.parametrize(
    ("before", "now", "stays"),
    [
        (VERIFIED, UNSEEN, True),
        (VERIFIED, STRANGE, True),
        (VERIFIED, FALSE, False),
        (FALSE, UNSEEN, True),
        (FALSE, STRANGE, False),
        (FALSE, VERIFIED, False),
        (STRANGE, UNSEEN, False),
        (UNSEEN, VERIFIED, False),
    ],
)
async def test_evidence__unknown_takes_nothing_away(
    repository: ArtifactRepository, before: Evidence, now: Evidence, stays: bool
) -> None:
    await repository.note_seen("pypi", "demo", lambda noted: noted or Seen(1.0))
    assert await repository.store_evidence("pypi", "demo", {"a": before, "b": now}) == {
        "a": before,
        "b": now,
    }
    now = msgspec.structs.replace(now, root="2", signature="failed")
    expected = msgspec.structs.replace(before if stays else now, signature="failed")
    assert await repository.store_evidence("pypi", "demo", {"a": now}) == {"a": expected}
    seen = await repository.first_seen("pypi", "demo")
    assert seen is not None
    assert seen.evidence["a"] == expected
