"""The catalogue on a real PostgreSQL: pages, one statement each, indexes used."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from typing import Any

import pytest

from services.gateway.api import catalogue_rows as statements
from services.gateway.api.catalogue_rows import Catalogue, purl
from services.gateway.api.parameters import page_of, read_cursor
from shared.artifacts.repository import ArtifactRepository
from shared.models import Dependency, Extraction, FileName
from shared.postgres.database import Database
from tests.support.rows import row_of


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    database = Database(database_url, max_size=4)
    await database.open()
    yield database
    await database.aclose()


async def keep(
    database: Database, project: str, number: int = 0, *, requires: list[str] | None = None, **changes: Any
) -> str:
    """Store a file with its dependencies; its SHA256."""
    sha256 = hashlib.sha256(f"{project} {number}".encode()).hexdigest()
    repository = ArtifactRepository(database)
    file = FileName("pypi", project, sha256, f"{project}-{number}.0-py3-none-any.whl")
    row = row_of(file, f"{project} {number}".encode(), **{"size_bytes": 10, **changes})
    await repository.batch_create_artifacts([row])
    if requires is not None:
        needed = tuple(Dependency(at, name, name) for at, name in enumerate(requires))
        made = Extraction(sha256, "extracted", name=project, version=f"{number}.0", dependencies=needed)
        await repository.batch_upsert_dependencies([made])
    return sha256


async def test_artifact__unknown_source__still_told(database: Database) -> None:
    sha256 = await keep(database, "demo", 1, requires=["b"], source_id=99)
    before = database.statements
    found = await Catalogue(database).artifact(sha256)
    assert database.statements == before + 1
    assert found is not None
    assert (found.name, found.version, found.extraction_state) == ("demo", "1.0", "extracted")
    assert [(name.purl, name.source) for name in found.names] == [("pkg:pypi/demo@1.0", "")]
    assert await Catalogue(database).artifact("0" * 64) is None


async def test_artifact__its_source_was_removed__name_address_and_date_are_still_told(
    database: Database,
) -> None:
    row = await database.fetchrow(
        "INSERT INTO upstream_sources (protocol, name, url) VALUES ('pypi', 'corp', 'https://corp.example.com/')"
        " RETURNING id"
    )
    assert row is not None
    url = "https://corp.example.com/files/demo-2.0-py3-none-any.whl"
    sha256 = await keep(database, "demo", 2, source_id=row["id"], upstream_url=url, modified=1_700_000_000.0)
    await database.execute("DELETE FROM upstream_sources WHERE id = $1", row["id"])
    found = await Catalogue(database).artifact(sha256)
    assert found is not None
    (name,) = found.names
    assert (name.source, name.upstream_url, name.upstream_modified_at) == ("corp", url, 1_700_000_000.0)
    facts = await ArtifactRepository(database).get_cached_url_with_artifact(
        FileName("pypi", "demo", sha256, "demo-2.0-py3-none-any.whl")
    )
    assert facts is not None and facts.modified == 1_700_000_000.0


async def test_files__without_metadata__their_version_is_that_of_their_name(database: Database) -> None:
    jar = {"protocol": "maven", "file_id": "2.15", "filename": "io-2.15.jar"}
    sha256 = await keep(database, "org.example:io", **jar)
    purl = "pkg:maven/org.example/io@2.15"
    found = await Catalogue(database).files("maven", "org.example:io", None, 10)
    assert [(each.version, each.purl) for each, _ in found] == [("2.15", purl)]
    artifact = await Catalogue(database).artifact(sha256)
    assert artifact is not None
    assert [each.purl for each in artifact.names] == [purl]


async def test_dependents__paged__each_file_once_with_its_first_name(database: Database) -> None:
    hashes = {await keep(database, f"user-{number}", requires=["a", "needed"]) for number in range(7)}
    await keep(database, "other", requires=["needed-too"])
    catalogue = Catalogue(database)
    seen: list[str] = []
    after = None
    while True:
        rows, looked_after = await catalogue.dependents("pypi", "needed", after, 3)
        assert looked_after is None
        seen += [item.sha256 for item, _ in rows]
        if len(rows) < 3:
            break
        after = rows[-1][1]
    assert (len(seen), set(seen)) == (7, hashes)
    assert await catalogue.dependents("npm", "needed", None, 3) == ([], None)


async def test_dependents__of_another_protocols_package__a_page_looks_at_so_many_and_leads_on(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(statements, "LOOKED_AT", 2)
    monkeypatch.setattr(statements, "LOOKS", 2)
    for number in range(20):
        await keep(database, f"user-{number}", protocol="npm", requires=["needed"])
    ours = await keep(database, "ours", requires=["needed"])
    catalogue, pages = Catalogue(database), 0
    seen: list[str] = []
    after: list[Any] | None = None
    while True:
        before = database.statements
        rows, looked_after = await catalogue.dependents("pypi", "needed", after, 100)
        assert database.statements - before <= 2
        seen += [item.sha256 for item, _ in rows]
        pages += 1
        if looked_after is None:
            break
        after = looked_after
    assert (seen, pages) == ([ours], 6)
    page = page_of(rows, 100, ["ab", 1])
    assert read_cursor(page.next, str, int) == ["ab", 1]


async def test_packages__prefix__byte_order_and_no_neighbours(database: Database) -> None:
    for name in ("zope-event", "zope-interface", "zopf", "zope", "zop", "a_%"):
        await keep(database, name)
    catalogue = Catalogue(database)

    async def names(prefix: str, after: list[Any] | None = None) -> list[str]:
        return [item.name for item, _ in await catalogue.packages("pypi", prefix, after, 10)]

    assert await names("zope") == ["zope", "zope-event", "zope-interface"]
    assert await names("zope", ["zope-event"]) == ["zope-interface"]
    assert await names("%") == []
    assert len(await names("")) == 6


@pytest.mark.parametrize(
    ("query", "arguments", "index"),
    [
        (statements.PACKAGES, ("pypi", "", "zope", "zope\U0010ffff", 11), "packages_in_byte_order"),
        (statements.DEPENDENTS, ("pypi", "needed", b"", -1, 11), "artifact_dependencies_by_name"),
        (statements.FILES, ("pypi", "p-1", "", "", 11), "cached_urls_pkey"),
    ],
)
async def test_lists__many_rows__read_through_their_index(
    database: Database, query: str, arguments: tuple[Any, ...], index: str
) -> None:
    await database.execute("INSERT INTO projects (name) VALUES ('_pypi')")
    await database.execute(
        "INSERT INTO packages SELECT 'pypi', 'p-' || n, '_pypi' FROM generate_series(1, 5000) AS n"
    )
    await database.execute(
        "INSERT INTO artifacts (sha256, size_bytes, content_type, object_key) "
        "SELECT sha256(n::text::bytea), 1, 't', 'k' || n FROM generate_series(1, 5000) AS n"
    )
    await database.execute(
        "INSERT INTO cached_urls (protocol, project, file_id, filename, sha256, generation) "
        "SELECT 'pypi', 'p-' || n, 'f', 'f' || n, sha256(n::text::bytea), 1 "
        "FROM generate_series(1, 5000) AS n"
    )
    await database.execute(
        "INSERT INTO artifact_dependencies (sha256, position, requirement, name) "
        "SELECT sha256(n::text::bytea), 0, 'r', 'needed-' || n FROM generate_series(1, 5000) AS n"
    )
    for table in ("packages", "artifacts", "cached_urls", "artifact_dependencies"):
        await database.execute(f"ANALYZE {table}")
    plan = "\n".join(row[0] for row in await database.fetch(f"EXPLAIN {query}", *arguments))
    assert index in plan, plan


@pytest.mark.parametrize(
    ("protocol", "project", "expected"),
    [
        ("pypi", "zope-interface", "pkg:pypi/zope-interface@1.0"),
        ("npm", "@scope/name", "pkg:npm/%40scope/name@1.0"),
        ("maven", "org.example:lib", "pkg:maven/org.example/lib@1.0"),
    ],
)
def test_purl__each_protocol__namespace_apart(protocol: str, project: str, expected: str) -> None:
    assert purl(protocol, project, "1.0") == expected
