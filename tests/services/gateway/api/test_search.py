"""Search finds what people type: a name in any spelling, one version as each protocol's people write it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from services.gateway.api import search
from services.gateway.api.catalogue_rows import LAST, Catalogue
from services.gateway.api.search import Found, find
from shared.errors import InvalidParameter
from shared.postgres.database import Database

KNOWN = [
    ("pypi", "flask"),
    ("pypi", "zope-interface"),
    ("npm", "flask"),
    ("npm", "JSONStream"),
    ("npm", "jsonstream-next"),
    ("npm", "@example/button"),
    ("npm", "a%b"),
    ("maven", "org.example:Library_Core"),
    ("cargo", "serde-like"),
]


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    database = Database(database_url, max_size=8)
    await database.open()
    await database.execute("INSERT INTO projects (name) VALUES ('_test')")
    for protocol, name in KNOWN:
        await database.execute("INSERT INTO packages VALUES ($1, $2, '_test')", protocol, name)
    yield database
    await database.aclose()


async def _found(database: Database, text: str) -> Found:
    return await find(database, Catalogue(database), text)


@pytest.mark.parametrize(
    ("text", "first"),
    [
        ("JsonStream", ("npm", "JSONStream", "")),
        ("jsonstream@1.3.5", ("npm", "JSONStream", "1.3.5")),
        ("Zope.Interface", ("pypi", "zope-interface", "")),
        ("zope__interface==6.0", ("pypi", "zope-interface", "6.0")),
        ("zope_interface @ 6.0", None),
        ("@Example/BUTTON@4.2.0", ("npm", "@example/button", "4.2.0")),
        ("@example/button", ("npm", "@example/button", "")),
        ("org.example:library-core", ("maven", "org.example:Library_Core", "")),
        ("ORG.EXAMPLE:Library_Core:1.4", ("maven", "org.example:Library_Core", "1.4")),
        ("org.example:Library_Core@1.4", ("maven", "org.example:Library_Core", "1.4")),
        ("serde_like@1.0.0", ("cargo", "serde-like", "1.0.0")),
        ("pkg:cargo/serde-like@1.0.0", ("cargo", "serde-like", "1.0.0")),
        ("pkg:npm/%40example/button", ("npm", "@example/button", "")),
        ("BUTTON", ("npm", "@example/button", "")),
        ("a%b", ("npm", "a%b", "")),
        ("%", ("npm", "a%b", "")),
        ("_", ("pypi", "zope-interface", "")),
        ("nobody-has-it", None),
    ],
)
@pytest.mark.parametrize("large", [False, True], ids=["all names", "beginnings"])
async def test_search__as_people_write_it__finds_the_package(
    database: Database,
    text: str,
    first: tuple[str, str, str] | None,
    large: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if large:
        monkeypatch.setattr(search, "_SCANNED_BYTES", 0)
    found = await _found(database, text)
    assert found.complete != large
    if first is None or (large and text in ("BUTTON", "%", "_")):
        assert not found.items or text == "_"
        return
    names = [(each.protocol, each.name, each.version) for each in found.items]
    assert first in names if text == "_" else names[0] == first, names


async def test_search__exact_names_first__then_what_begins_so(database: Database) -> None:
    found = await _found(database, "JSONSTREAM")
    assert [(each.name, each.exact) for each in found.items] == [
        ("JSONStream", True),
        ("jsonstream-next", False),
    ]
    one = await _found(database, "jsonstream@1.3.5")
    assert [(each.name, each.version) for each in one.items] == [
        ("JSONStream", "1.3.5"),
        ("jsonstream-next", ""),
    ]
    both = await _found(database, "flask@3.0.0")
    assert {(each.protocol, each.version, each.purl) for each in both.items} == {
        ("pypi", "3.0.0", "pkg:pypi/flask@3.0.0"),
        ("npm", "3.0.0", "pkg:npm/flask@3.0.0"),
    }


@pytest.mark.parametrize("text", ["x" * 513, "a\x00b", "pkg:nothing/x", "pkg:npm/"])
async def test_search__what_cannot_be__is_an_error(database: Database, text: str) -> None:
    with pytest.raises(InvalidParameter):
        await _found(database, text)


async def test_search__many_names__reads_beginnings_through_their_index(database: Database) -> None:
    await database.execute(
        "INSERT INTO packages SELECT 'pypi', 'p-' || n, '_test' FROM generate_series(1, 5000) n"
    )
    await database.execute("ANALYZE packages")
    plan = await database.fetch("EXPLAIN " + search.BEGINNING, "pypi", "p-49", "p-49" + LAST, 50)
    assert any("packages_by_spelling" in row[0] for row in plan)


@pytest.mark.parametrize("large", [False, True], ids=["all names", "beginnings"])
async def test_search__more_than_a_page__goes_on_until_each_was_shown_once(
    database: Database, large: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if large:
        monkeypatch.setattr(search, "_SCANNED_BYTES", 0)
    for protocol, begin in (("pypi", "pear-"), ("npm", "pear-"), ("cargo", "a-pear-"), ("maven", "g:pear-")):
        await database.execute(
            "INSERT INTO packages SELECT $1, $2 || n, '_test' FROM generate_series(1, 40) n", protocol, begin
        )
    pages, start = [], 0
    while not pages or pages[-1].next:
        pages.append(await find(database, Catalogue(database), "Pear_", start))
        assert pages[-1].first == start
        start += len(pages[-1].items)
    names = [(each.protocol, each.name) for page in pages for each in page.items]
    assert [len(page.items) for page in pages] == ([50, 30] if large else [50, 50, 50, 10])
    assert len(set(names)) == len(names) == (80 if large else 160)
    assert {protocol for protocol, _ in names[:80]} == {"pypi", "npm"}, "what begins so comes first"


async def test_search__looks_no_further_than_its_bound(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search, "MOST_FOUND", 100)
    await database.execute(
        "INSERT INTO packages SELECT 'npm', 'pear-' || n, '_test' FROM generate_series(1, 200) n"
    )
    last = await find(database, Catalogue(database), "pear", 50)
    assert (len(last.items), last.next) == (50, "")
