"""Which blocks of an Orchard upstream count here; what it tells may be anything. In a real PostgreSQL."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import msgspec
import pytest

from services.fetcher.http.response import FetchedBody
from services.fetcher.sources.repository import SourceSet
from services.fetcher.sources.upstream_blocks import MAX_REASON, MOST, UpstreamBlockRows, address_of, read
from shared.artifacts.repository import ArtifactRepository
from shared.errors import UpstreamInvalid
from shared.models import CachedUrl, FileName, StoredFile, UpstreamSource
from shared.policy.rules import ToldBlock
from shared.postgres.database import Database
from shared.protocols import PROTOCOLS, protocol_named
from shared.sources.options import SourceOptions

CENTRAL = UpstreamSource(
    id=1, protocol="pypi", name="central", url="https://central.example.com/pypi/simple/"
)
OTHER = UpstreamSource(
    id=2, protocol="pypi", name="corp", url="https://corp.example.com/simple/", include=("corp-*",)
)
SECOND = UpstreamSource(id=3, protocol="pypi", name="second", url="https://second.example.com/", priority=200)

ADDRESSES = {
    "https://central.example.com{mount}": "https://central.example.com",
    "https://central.example.com{mount}simple/": "https://central.example.com",
    "http://central.example.com:8080/a/path{mount}simple/": "http://central.example.com:8080/a/path",
    "http://central.example.com{mount}x{mount}": "http://central.example.com{mount}x",
    "https://packages.example.com/": "",
    "https:/{mount}": "",
}


@pytest.mark.parametrize("url", ADDRESSES)
@pytest.mark.parametrize("name", [protocol.name for protocol in PROTOCOLS])
def test_address__the_root_is_what_stands_before_the_protocol(url: str, name: str) -> None:
    protocol = protocol_named(name)
    root = ADDRESSES[url].replace("{mount}", protocol.mount[:-1] + "/" if "x" in url else protocol.mount)
    wanted = f"{root}/api/v1/blocks?protocol={name}" if root else ""
    assert address_of(protocol, url.replace("{mount}", protocol.mount)) == wanted.replace("//api", "/api")


def told_by(body: bytes) -> tuple[ToldBlock, ...]:
    return read(CENTRAL, FetchedBody(200, {"etag": '"1"'}, CENTRAL.url, body)).told


def items(*values: object) -> bytes:
    return json.dumps({"items": values}).encode()


def test_read__in_canonical_names() -> None:
    found = told_by(items({"protocol": "pypi", "name": "Evil.Lib", "version": "1", "reason": "bad"}))
    assert found == (ToldBlock("bad", "pypi", "evil-lib", "1"),)


NONSENSE = {
    "another protocol's": {"protocol": "npm", "name": "evil", "reason": "bad"},
    "no name": {"protocol": "pypi", "reason": "bad"},
    "a long name": {"protocol": "pypi", "name": "x" * 600, "reason": "bad"},
    "control characters": {"protocol": "pypi", "name": "a\u0000b", "reason": "bad"},
    "no digest": {"sha256": "g" * 64, "reason": "bad"},
}


@pytest.mark.parametrize("kind", NONSENSE)
def test_read__nonsense_is_left_out(kind: str) -> None:
    good = {"sha256": "ab" * 32, "reason": "bad"}
    assert [each.sha256 for each in told_by(items(NONSENSE[kind], good))] == ["ab" * 32]


def test_read__within_bounds() -> None:
    many = [{"protocol": "pypi", "name": f"n{number}", "reason": "x\n" * 1100} for number in range(MOST + 1)]
    found = told_by(items(*many))
    assert len(found) == MOST
    assert found[0].reason == "x" * MAX_REASON


def test_read__rows_without_end__so_many_are_looked_at() -> None:
    good = {"sha256": "ab" * 32, "reason": "bad"}
    assert len(told_by(items(*[{"reason": ""}] * (MOST - 1), good, good))) == 1


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"items": 1}', b'{"items": [{"reason": 1}]}'])
def test_read__no_list_of_blocks__is_invalid(body: bytes) -> None:
    with pytest.raises(UpstreamInvalid):
        told_by(body)


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    database = Database(database_url)
    await database.open()
    yield database
    await database.aclose()


async def counting(database: Database, *sources: UpstreamSource, told: ToldBlock) -> bool:
    found = SourceSet("pypi", 1, sources)
    rows = UpstreamBlockRows(database)
    return bool(await rows.counting(protocol_named("pypi"), CENTRAL, found, [told]))


async def pin(database: Database, project: str, source: UpstreamSource, protocol: str = "pypi") -> None:
    await database.execute(
        "INSERT INTO project_pins (protocol, project, source_id) VALUES ($3, $1, $2)"
        " ON CONFLICT (protocol, project) DO UPDATE SET source_id = excluded.source_id",
        project,
        source.id,
        protocol,
    )


async def test_counting__what_it_serves_or_would_be_asked_for_first(database: Database) -> None:
    await pin(database, "its", CENTRAL)
    await pin(database, "theirs", SECOND)
    above = UpstreamSource(id=3, protocol="pypi", name="second", url=SECOND.url, priority=1)
    cases = [
        ("its", (CENTRAL, SECOND), True),
        ("its", (above, CENTRAL), True),
        ("theirs", (CENTRAL, SECOND), False),
        ("unknown", (CENTRAL, SECOND), True),
        ("unknown", (above, CENTRAL), False),
        ("corp-lib", (CENTRAL, OTHER), False),
    ]
    for name, sources, counts in cases:
        told = ToldBlock("bad", "pypi", name)
        assert await counting(database, *sources, told=told) is counts, (name, sources)


ALIKE = {
    "another spelling is another's": ("cargo", {"my_crate": 3}, "my-crate", False),
    "some spelling is another's": ("cargo", {"my-crate": 1, "my_crate": 3}, "my-crate", False),
    "another spelling is its": ("cargo", {"my_crate": 1}, "my-crate", True),
    "nobody's": ("cargo", {}, "my-crate", True),
    "more spellings than can be looked for": ("cargo", {}, "a-b-c-d-e-f-g", False),
    "its group, and another's artifact": ("maven", {"g:*": 1, "g:a": 3}, "g:a", False),
    "another's group, and its artifact": ("maven", {"g:*": 3, "g:a": 1}, "g:a", True),
    "another's group": ("maven", {"g:*": 3}, "g:a", False),
}


@pytest.mark.parametrize("case", ALIKE)
async def test_counting__what_is_blocked_with_it_is_its_too(database: Database, case: str) -> None:
    protocol, pins, name, counts = ALIKE[case]
    central, second = (msgspec.structs.replace(each, protocol=protocol) for each in (CENTRAL, SECOND))
    for project, id in pins.items():
        await pin(database, project, central if id == central.id else second, protocol)
    rows, told = UpstreamBlockRows(database), ToldBlock("bad", protocol, name)
    found = SourceSet(protocol, 1, (central, second))
    assert bool(await rows.counting(protocol_named(protocol), central, found, [told])) is counts


async def test_counting__more_spellings_than_can_be_looked_for__nobody_else_is_there(
    database: Database,
) -> None:
    central, told = (
        msgspec.structs.replace(CENTRAL, protocol="cargo"),
        ToldBlock("bad", "cargo", "a-b-c-d-e-f-g"),
    )
    found = SourceSet("cargo", 1, (central,))
    assert await UpstreamBlockRows(database).counting(protocol_named("cargo"), central, found, [told])


async def test_counting__bytes_that_came_from_it_and_nobody_else(database: Database) -> None:
    artifacts = ArtifactRepository(database)
    for number, ids in enumerate([(1,), (2,), (1, 2)]):
        digest = f"{number:064x}"
        stored = StoredFile(digest, 1, "a/b", f"artifacts/{digest}", "f")
        for id in ids:
            name = FileName("pypi", "its", f"{number}-{id}", "f")
            await artifacts.batch_create_artifacts([CachedUrl(name, stored, 1, source_id=id)])
        told = ToldBlock("bad", sha256=digest)
        assert await counting(database, CENTRAL, SECOND, told=told) is (ids == (1,))
    assert not await counting(database, CENTRAL, told=ToldBlock("bad", sha256="ff" * 32))


@pytest.mark.parametrize(("version", "count"), [("", 2), ("1.0", 1), ("3.0", 0)])
async def test_counting__project_that_it_has_with_others__what_is_stored_from_it(
    database: Database, version: str, count: int
) -> None:
    options = SourceOptions(merge="corp")
    central, second = (
        msgspec.structs.replace(each, protocol="maven", options=options) for each in (CENTRAL, SECOND)
    )
    artifacts = ArtifactRepository(database)
    for number, source in enumerate((central, central, second)):
        digest = f"{number + 77:064x}"
        of = f"{number + 1}.0"
        name = FileName("maven", "org.corp:shared", of, f"shared-{of}.jar")
        stored = StoredFile(digest, 1, "a/b", f"artifacts/{digest}", name.filename)
        await artifacts.batch_create_artifacts([CachedUrl(name, stored, 1, source_id=source.id)])
    told = ToldBlock("bad", "maven", "org.corp:shared", version)
    found = SourceSet("maven", 1, (central, second))
    counted = await UpstreamBlockRows(database).counting(protocol_named("maven"), central, found, [told])
    assert len(counted) == count and all(each.sha256 for each in counted)
