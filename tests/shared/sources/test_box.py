"""Credentials at rest: sealed, bound to an origin, under keys that can be changed."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import AsyncIterator

import asyncpg
import pytest

from services.fetcher.sources.repository import SourceRepository
from shared.errors import ConfigurationError, SourceUnusable
from shared.postgres.database import Database
from shared.sources.box import SealingBox
from shared.sources.credentials import Credentials
from shared.sources.urls import SourceAddress

OLD, NEW = b"o" * 32, b"n" * 32
URL = "https://packages.example.com/simple/"
SECRET = Credentials("reader", "canary-s3cret")


def test_seal__opened_with_the_same_key__gives_the_credentials_back() -> None:
    box = SealingBox([NEW])
    for credentials in (
        SECRET,
        Credentials(token="t"),
        Credentials("ü", "p:ä\N{SNOWMAN}"),
        Credentials(token="t", hosts=("b.example.com:8443",)),
    ):
        assert box.open(box.seal(credentials, URL), URL) == credentials


def test_seal__twice__differs_and_shows_nothing() -> None:
    box = SealingBox([NEW])
    first, second = box.seal(SECRET, URL), box.seal(SECRET, URL)
    assert first != second
    assert "canary" not in first
    assert "canary" not in repr(SECRET)


def test_open__url_of_another_origin__refused() -> None:
    box = SealingBox([NEW])
    sealed = box.seal(SECRET, URL)
    assert box.open(sealed, "https://packages.example.com:443/other/") == SECRET
    for other in (
        "https://evil.example.com/simple/",
        "http://packages.example.com/",
        URL.replace("m/", "m:8/"),
    ):
        with pytest.raises(SourceUnusable, match="not of this URL"):
            box.open(sealed, other)


@pytest.mark.parametrize("where", [-1, -10, 14])
def test_open__changed_by_one_character__refused(where: int) -> None:
    box = SealingBox([NEW])
    sealed = box.seal(SECRET, URL)
    other = "A" if sealed[where] != "A" else "B"
    with pytest.raises(SourceUnusable):
        box.open(sealed[:where] + other + sealed[where:][1:], URL)


@pytest.mark.parametrize("text", ["", "1", "1:", "2:x:y", "1:zzzzzzzz:AAAA", "\x00", "1:" + "é" * 8 + ":AA"])
def test_open__what_is_no_sealed_text__refused(text: str) -> None:
    with pytest.raises(SourceUnusable):
        SealingBox([NEW]).open(text, URL)


def test_keys__new_one_in_front__old_texts_open_and_are_known_to_be_old() -> None:
    sealed = SealingBox([OLD]).seal(SECRET, URL)
    both = SealingBox([NEW, OLD])
    assert both.open(sealed, URL) == SECRET
    assert not both.is_current(sealed)
    assert both.is_current(both.seal(SECRET, URL))
    with pytest.raises(SourceUnusable, match="ORCHARD_SECRET_KEY"):
        SealingBox([NEW]).open(sealed, URL)


@pytest.mark.parametrize("text", ["", "short", b64encode(b"x" * 31).decode(), "!" * 44])
def test_from_texts__no_32_bytes_of_base64__refused_without_repeating_them(text: str) -> None:
    with pytest.raises(ConfigurationError, match=r"^ORCHARD_SECRET_KEY") as caught:
        SealingBox.from_texts([text])
    assert not text or text not in caught.value.message


# --- in the rows ----------------------------------------------------------------------------------------


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    made = Database(database_url, max_size=4)
    await made.open()
    yield made
    await made.aclose()


async def _column(url: str, column: str) -> list[str]:
    connection = await asyncpg.connect(url)
    try:
        return [
            row[0] for row in await connection.fetch(f"SELECT {column} FROM upstream_sources ORDER BY id")
        ]
    finally:
        await connection.close()


async def test_sync__address_with_password__row_holds_no_plain_word_of_it(
    database: Database, database_url: str
) -> None:
    repository = SourceRepository(database, SealingBox([NEW]))
    address = SourceAddress(URL, "reader", "canary-s3cret")
    await repository.sync("pypi", [address])
    rows = await _column(database_url, "to_jsonb(upstream_sources)::text")
    assert "canary" not in rows[0]
    assert "reader" not in rows[0]
    (source,) = await repository.list("pypi")
    assert (source.username, source.password, source.fault) == ("reader", "canary-s3cret", "")
    before = await repository.revision("pypi")
    await repository.sync("pypi", [address])
    assert await repository.revision("pypi") == before  # sealing anew would be a change


async def test_sync__password_without_a_key__refused_and_nothing_written(
    database: Database, database_url: str
) -> None:
    with pytest.raises(ConfigurationError, match=r"^ORCHARD_SECRET_KEY: .*ORCHARD_PYPI_UPSTREAM"):
        await SourceRepository(database).sync("pypi", [SourceAddress(URL, "reader", "canary-s3cret")])
    assert await _column(database_url, "id") == []


async def test_reseal__plain_row_and_older_key__sealed_with_the_first(
    database: Database, database_url: str
) -> None:
    await SourceRepository(database, SealingBox([OLD])).sync("pypi", [SourceAddress(URL, "a", "b")])
    await database.execute(
        "INSERT INTO upstream_sources (protocol, name, url, username, password) VALUES ($1, $2, $3, $4, $5)",
        "pypi", "mine", "https://mine.example.com/", "reader", "canary-s3cret",
    )  # fmt: skip
    repository = SourceRepository(database, SealingBox([NEW, OLD]))
    assert await repository.reseal("pypi") == (2, [])
    assert await repository.reseal("pypi") == (0, [])
    assert await _column(database_url, "password") == ["", ""]
    only_new = SourceRepository(database, SealingBox([NEW]))
    assert [(each.username, each.password) for each in await only_new.list("pypi")] == [
        ("a", "b"),
        ("reader", "canary-s3cret"),
    ]


async def test_list__key_is_missing__that_source_names_its_fault_and_others_go_on(database: Database) -> None:
    addresses = [SourceAddress(URL, "a", "b"), SourceAddress("https://open.example.com/")]
    await SourceRepository(database, SealingBox([OLD])).sync("pypi", addresses)
    sealed, plain = await SourceRepository(database, SealingBox([NEW])).list("pypi")
    assert "ORCHARD_SECRET_KEY" in sealed.fault
    assert (sealed.username, sealed.password) == ("", "")
    assert plain.fault == ""
    assert await SourceRepository(database, SealingBox([NEW])).reseal("pypi") == (0, ["pypi"])
