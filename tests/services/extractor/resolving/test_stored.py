"""What is stored of the documents of resolutions, on a real PostgreSQL: one statement each."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator

import pytest

from services.extractor.resolving.stored import StoredFiles
from shared.artifacts.repository import ArtifactRepository
from shared.models import Extraction, FileName
from shared.postgres.database import Database
from shared.protocols.resolution import Document, RootFile
from tests.support.rows import row_of


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    database = Database(database_url, max_size=4)
    await database.open()
    yield database
    await database.aclose()


async def keep(database: Database, project: str, *, extracted: bool = False) -> str:
    """Store a file; its SHA256."""
    sha256 = hashlib.sha256(project.encode()).hexdigest()
    repository = ArtifactRepository(database)
    await repository.get_or_create_artifact(
        row_of(
            FileName("pypi", project, sha256, f"{project}-0.0-py3-none-any.whl"),
            project.encode(),
            size_bytes=10,
        )
    )
    if extracted:
        await repository.batch_upsert_dependencies([Extraction(sha256, "extracted", name=project)])
    return sha256


async def test_stored_metadata__in_order_in_one_statement(database: Database) -> None:
    bare = await keep(database, "bare")
    full = await keep(database, "full", extracted=True)
    await ArtifactRepository(database).seal_metadata(
        row_of(
            FileName("pypi", "full", full, "full-0.0-py3-none-any.whl.metadata"),
            b"abc",
            sha256="ab" * 32,
            object_key="artifacts/metadata",
            role="metadata",
        )
    )
    documents = [
        Document("metadata", "nowhere", "0", "x.whl"),
        Document("metadata", "full", full, "full-0.0-py3-none-any.whl"),
        Document("metadata", "bare", bare, "bare-0.0-py3-none-any.whl"),
    ]
    before = database.statements
    found = await StoredFiles(database).stored_metadata(
        "pypi", documents, [f"{each.filename}.metadata" for each in documents]
    )
    assert database.statements == before + 1
    assert [(row.object_key, row.sha256, row.extraction_state) for row in found] == [
        ("", "", ""),
        ("artifacts/metadata", full, "extracted"),
        ("", bare, "pending"),
    ]
    sealed = await StoredFiles(database).sealed("pypi", ["full", "nowhere"])
    assert [file.metadata_sha256 for file in sealed["full"].values()] == ["ab" * 32]
    state = await ArtifactRepository(database).index_state("pypi", "simple/full", "full", ())
    assert list(sealed["full"].values()) == state.sealed
    assert sealed["nowhere"] == {}


async def test_root__a_stored_file__in_its_own_protocol_alone(database: Database) -> None:
    sha256 = await keep(database, "first")
    found = await StoredFiles(database).root(sha256, "pypi")
    assert found == RootFile("first", sha256, "first-0.0-py3-none-any.whl", sha256, 10)
    assert await StoredFiles(database).root(sha256, "npm") is None
