"""An import takes what is whole and is what its store says, names what it leaves out, and can be resumed."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from services.standalone.imports.importing import Importer, Report
from services.standalone.imports.taking import Refused
from shared.errors.passing import StoreUnavailable
from shared.imports import rows
from shared.objects.port import artifact_key
from shared.process.resources import Resources
from shared.protocols import PROTOCOLS
from shared.protocols.roles.importing import Imported, Listed
from shared.settings import load_settings
from shared.stores import Stores, open_stores
from tests.support.builders import build_sdist, build_wheel
from tests.support.cargo_builders import build_crate
from tests.support.maven_builders import build_jar, build_pom
from tests.support.npm_builders import build_tarball

WHEEL, WHEEL_NAME = build_wheel("acme-app", "1.0"), "acme_app-1.0-py3-none-any.whl"
TARBALL = build_tarball("@acme/app", "1.0.0")
POM, JAR = build_pom("com.acme", "app", "1.0"), build_jar("app")
CRATE = build_crate("acme-core", "0.3.0")
VERSION = "com/acme/app/1.0"


def sha1(content: bytes) -> str:
    return hashlib.sha1(content, usedforsecurity=False).hexdigest()


@dataclass
class Place:
    """An Orchard's stores, and a folder to import."""

    stores: Stores
    url: str
    root: Path
    spool: Path

    def put(self, path: str, content: bytes | str) -> Path:
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content.encode() if isinstance(content, str) else content)
        return target

    async def take(self, *own: str, dry: bool = False, store: Any = None, most: int = 10**9) -> Report:
        importer = Importer(
            self.root, store or self.stores.bare_objects, self.url, spool=self.spool, most=most, tell=len
        )
        try:
            return await importer.run(own, dry=dry)
        finally:
            assert list(self.spool.iterdir()) == [], "a copy was left behind"

    async def listed(self) -> set[tuple[str, str]]:
        found = await self.stores.database.fetch("SELECT protocol, path FROM imported_files")
        return {(row["protocol"], row["path"]) for row in found}

    async def sources(self) -> list[tuple[str, str, list[str]]]:
        query = "SELECT protocol, name, include FROM upstream_sources ORDER BY protocol, name"
        return [tuple(row.values()) for row in await self.stores.database.fetch(query)]


@pytest.fixture
async def place(store_settings: dict[str, str], tmp_path: Path) -> AsyncIterator[Place]:
    settings = load_settings(store_settings)
    root, spool = tmp_path / "root", tmp_path / "spool"
    root.mkdir()
    spool.mkdir()
    async with Resources() as resources:
        stores = await open_stores(resources, settings, max_connections=4)
        yield Place(stores, settings.database_url, root, spool)


def one_of_each(place: Place) -> None:
    place.put(f"wheels/{WHEEL_NAME}", WHEEL)
    place.put("tarballs/whatever.tgz", TARBALL)
    place.put(f"m2/{VERSION}/app-1.0.pom", POM)
    place.put(f"m2/{VERSION}/app-1.0.jar", JAR)
    place.put(f"m2/{VERSION}/_remote.repositories", "noise")
    place.put("crates/acme-core-0.3.0.crate", CRATE)


EACH = {
    ("pypi", f"acme-app/{WHEEL_NAME}"),
    ("npm", "@acme/app/-/app-1.0.0.tgz"),
    ("maven", f"{VERSION}/app-1.0.pom"),
    ("maven", f"{VERSION}/app-1.0.jar"),
    ("cargo", "crates/acme-core/0.3.0/download"),
}


async def test_plain_folders__every_protocol_finds_its_files(place: Place) -> None:
    one_of_each(place)
    report = await place.take()
    assert report.imported == {"pypi": 1, "npm": 1, "maven": 2, "cargo": 1}
    assert (report.left_out, report.passed_over) == (0, 1)
    assert await place.listed() == EACH
    for content in (WHEEL, TARBALL, POM, JAR, CRATE):
        key = artifact_key(hashlib.sha256(content).hexdigest())
        assert await place.stores.bare_objects.read(key) == content
    assert await place.sources() == [(each.name, "import", []) for each in sorted(PROTOCOLS, key=_name)]


def _name(protocol: Any) -> str:
    return str(protocol.name)


async def test_dry_run__says_what_there_is_and_changes_nothing(place: Place) -> None:
    one_of_each(place)
    report = await place.take("pypi/acme-*", dry=True)
    assert sum(report.imported.values()) == 5
    assert await place.listed() == set()
    assert await place.sources() == []
    assert [each async for each in place.stores.bare_objects.list("artifacts/")] == []


async def test_again__nothing_is_put_twice(place: Place) -> None:
    one_of_each(place)
    await place.take()
    report = await place.take()
    assert (report.imported, report.here_already) == ({}, 5)


class _Failing:
    """A store that takes so many objects, and then none."""

    def __init__(self, store: Any, left: int) -> None:
        self._store, self._left = store, left

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def put_file(self, key: str, path: Path, *, sha256: str) -> None:
        if self._left == 0:
            raise StoreUnavailable("full")
        self._left -= 1
        await self._store.put_file(key, path, sha256=sha256)


async def test_broken_off__goes_on_where_it_was(place: Place) -> None:
    one_of_each(place)
    with pytest.raises(StoreUnavailable):
        await place.take(store=_Failing(place.stores.bare_objects, 3))
    before = await place.listed()
    report = await place.take()
    assert sum(report.imported.values()) + report.here_already == 5
    assert report.here_already == len(before)
    assert await place.listed() == EACH


async def test_other_bytes_under_an_address__the_first_stay(place: Place) -> None:
    place.put(f"a/{WHEEL_NAME}", WHEEL)
    await place.take()
    place.put(f"a/{WHEEL_NAME}", build_wheel("acme-app", "1.0", size_bytes=10))
    report = await place.take()
    assert (report.imported, report.left_out) == ({}, 1)
    assert "other bytes stand here" in report.named[0].why


ALIKE = {
    "acme-app-1.0.tar.gz": ["Acme_App-1.0.tar.gz", "acme.app-1.0.0.tar.gz"],
    WHEEL_NAME: ["acme.app-1.0-py3-none-any.whl", "Acme_App-1.0.0-py3-none-any.whl"],
}


@pytest.mark.parametrize("at_once", [True, False], ids=["in one import", "one after the other"])
@pytest.mark.parametrize("first", ALIKE, ids=["sdists", "wheels"])
async def test_names_that_clients_take_for_one_file__the_first_stays_and_the_others_are_named(
    place: Place, first: str, at_once: bool
) -> None:
    build = build_wheel if first.endswith(".whl") else build_sdist
    place.put(f"a/{first}", build("acme-app", "1.0"))
    if not at_once:
        await place.take()
    others = [f"b/{name}" for name in ALIKE[first]]
    for number, name in enumerate(others):
        place.put(name, build("acme-app", "1.0", requires=[f"other{number}"]))
    place.put("c/same/" + ALIKE[first][0], build("acme-app", "1.0"))
    report = await place.take()
    assert await place.listed() == {("pypi", f"acme-app/{first}")}
    assert [each.path for each in report.named] == sorted(others)
    assert all(f"as acme-app/{first}" in each.why for each in report.named)
    assert report.here_already == (1 if at_once else 2)


async def test_file_that_is_left_out__its_name_is_shown_in_one_line_without_controls(place: Place) -> None:
    place.put("evil\x1b[31m\n\u202e-1.0-py3-none-any.whl", b"no wheel")
    (left,) = (await place.take()).named
    assert left.path == "evil\\x1b[31m\\n\\u202e-1.0-py3-none-any.whl"


async def test_own_names__are_bound_and_later_ones_are_added(place: Place) -> None:
    place.put(WHEEL_NAME, WHEEL)
    await place.take("pypi/acme-*")
    await place.take("pypi/other")
    assert ("pypi", "import-own", ["acme-*", "other"]) in await place.sources()


async def test_source_of_the_same_name__is_not_touched(place: Place) -> None:
    statement = (
        "INSERT INTO upstream_sources (protocol, name, url) VALUES ('pypi', 'import', 'https://a.example')"
    )
    await place.stores.database.execute(statement)
    place.put(WHEEL_NAME, WHEEL)
    with pytest.raises(Refused, match="another source of pypi is called import"):
        await place.take()


def _packument(version: str = "1.0.0", shasum: str = "") -> str:
    about = {"name": "@acme/app", "version": version, "dist": {"shasum": shasum or sha1(TARBALL)}}
    return json.dumps({"name": "@acme/app", "versions": {version: about}})


DIGEST = hashlib.sha256(WHEEL).hexdigest()
BLAKE2B = hashlib.blake2b(WHEEL, digest_size=32).hexdigest()


def _blob(name: str, digest: str) -> str:
    return f"#2026\n@BlobStore.blob-name={name}\n@Bucket.repo-name=own\nsha1={digest}\n"


@pytest.mark.parametrize(
    "files",
    [
        {f"+files/acme/prod/+f/{DIGEST[:3]}/{DIGEST[3:16]}/{WHEEL_NAME}": WHEEL},
        {f"web/packages/{BLAKE2B[:2]}/{BLAKE2B[2:4]}/{BLAKE2B[4:]}/{WHEEL_NAME}": WHEEL},
        {"storage/@acme/app/app-1.0.0.tgz": TARBALL, "storage/@acme/app/package.json": _packument()},
        {
            "v/c/1.bytes": WHEEL,
            "v/c/1.properties": _blob(f"/packages/acme-app/1.0/{WHEEL_NAME}", sha1(WHEEL)),
        },
        {"v/c/2.bytes": TARBALL, "v/c/2.properties": _blob("@acme/app/-/app-1.0.0.tgz", sha1(TARBALL))},
        {"v/c/3.bytes": JAR, "v/c/3.properties": _blob(f"/{VERSION}/app-1.0.jar", sha1(JAR))},
        {f"{VERSION}/app-1.0.jar": JAR, f"{VERSION}/app-1.0.jar.sha1": f"{sha1(JAR)}  app-1.0.jar"},
    ],
    ids=["devpi", "bandersnatch", "verdaccio", "nexus-wheel", "nexus-tarball", "nexus-jar", "maven"],
)
async def test_stores__are_read_and_believed_only_where_their_digest_fits(
    place: Place, files: dict[str, bytes | str]
) -> None:
    for path, content in files.items():
        place.put(path, content)
    report = await place.take()
    assert (sum(report.imported.values()), report.named) == (1, [])
    await place.stores.database.execute("DELETE FROM imported_files")
    path, content = next(iter(files.items()))
    assert isinstance(content, bytes)
    place.put(path, content[:-1] + bytes([content[-1] ^ 1]))
    report = await place.take()
    assert report.imported == {}
    assert "its store says another" in report.named[0].why


@pytest.mark.parametrize(
    ("path", "content", "why"),
    [
        (WHEEL_NAME, WHEEL[:200], "zip"),
        ("acme_app-2.0-py3-none-any.whl", WHEEL, "names another version"),
        ("acme_app-1.0.tar.gz", build_sdist("acme-other", "1.0"), "names another project"),
        ("notes.tar.gz", b"", "no name of a distribution"),
        ("a.tgz", TARBALL[:100], "cut off"),
        ("a.tgz", build_tarball("../../etc", "1.0.0"), "no name that a package can have"),
        ("a.tgz", build_tarball("acme", "latest"), "no version"),
        ("storage/@acme/app/app-1.0.0.tgz", build_tarball("acme", "1.0.0"), "as another package"),
        (f"{VERSION}/app-1.0.jar", b"<html>", "does not begin as files of its kind"),
        ("com/other/app/1.0/app-1.0.pom", POM, "folder of another group"),
        ("com/acme/app/1.0/app-1.0.pom", b"<project", "its POM cannot be read"),
        ("com/acme/app/1.0-SNAPSHOT/app-1.0-SNAPSHOT.jar", JAR, "a snapshot"),
        ("a-1.0.0.crate", build_crate("acme-core", "0.3.0", folder="other"), "another folder"),
        ("a-1.0.0.crate", b"no crate", "broken"),
    ],
)
async def test_what_is_damaged_or_lies__is_left_out_by_name(
    place: Place, path: str, content: bytes, why: str
) -> None:
    place.put("other/acme-core-0.3.0.crate", CRATE)
    place.put(path, content)
    if path.startswith("storage"):
        told = {"name": "@acme/app", "version": "1.0.0", "dist": {"shasum": sha1(content)}}
        listed = {"name": "@acme/app", "versions": {"1.0.0": told}}
        place.put("storage/@acme/app/package.json", json.dumps(listed))
    report = await place.take()
    assert [each.path for each in report.named] == [path]
    assert why in report.named[0].why
    assert report.imported == {"cargo": 1}, "the others are imported"


async def test_tarball_that_its_store_does_not_list__is_left_out(place: Place) -> None:
    place.put("storage/@acme/app/app-1.0.0.tgz", TARBALL)
    place.put("storage/@acme/app/package.json", _packument("2.0.0"))
    report = await place.take()
    assert "lists no version 1.0.0" in report.named[0].why


async def test_deleted_blob__is_passed_over(place: Place) -> None:
    place.put("1.bytes", WHEEL)
    place.put("1.properties", _blob(WHEEL_NAME, sha1(WHEEL)) + "deleted=true\n")
    report = await place.take()
    assert (report.imported, report.named) == ({}, [])


async def test_links_and_what_is_no_file__are_never_opened(place: Place, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / WHEEL_NAME).write_bytes(WHEEL)
    (place.root / WHEEL_NAME).symlink_to(outside / WHEEL_NAME)
    (place.root / "folder").symlink_to(outside)
    os.mkfifo(place.root / "acme_app-2.0-py3-none-any.whl")
    place.put(f"v/{VERSION}/app-1.0.jar", JAR)
    (place.root / f"v/{VERSION}/app-1.0.pom").symlink_to(outside / WHEEL_NAME)
    report = await place.take()
    assert {each.path for each in report.named} == {WHEEL_NAME, "folder", f"v/{VERSION}/app-1.0.pom"}
    assert all("links are not followed" in each.why for each in report.named)


@pytest.mark.parametrize("name", ["a\nb-1.0.0.tgz", "a\\b-1.0.0.tgz", "a\x7f.tgz"])
async def test_hostile_name__is_left_out(place: Place, name: str) -> None:
    place.put(name, TARBALL)
    report = await place.take()
    assert "no package's name can" in report.named[0].why


async def test_hostile_name_of_a_blob__is_left_out(place: Place) -> None:
    place.put("1.bytes", JAR)
    place.put("1.properties", _blob("../com/acme/app/1.0/app-1.0.jar", sha1(JAR)))
    report = await place.take()
    assert (report.imported, report.left_out) == ({}, 1)


async def test_larger_than_allowed__is_left_out(place: Place) -> None:
    place.put(WHEEL_NAME, WHEEL)
    report = await place.take(most=len(WHEEL) - 1)
    assert "larger than" in report.named[0].why


async def test_row_without_an_object__gets_it_again(place: Place) -> None:
    """As where a sweep came between the two."""
    place.put(WHEEL_NAME, WHEEL)
    key = artifact_key(hashlib.sha256(WHEEL).hexdigest())

    class Swept(_Failing):
        async def put_file(self, key: str, path: Path, *, sha256: str) -> None:
            self._left += 1
            if self._left > 1:
                await self._store.put_file(key, path, sha256=sha256)

    await place.take(store=Swept(place.stores.bare_objects, 0))
    assert await place.stores.bare_objects.read(key) == WHEEL


async def test_another_import_comes_first__its_bytes_stay(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = build_wheel("acme-app", "1.0", size_bytes=10)
    place.put(WHEEL_NAME, WHEEL)
    find = rows.standing

    async def late(*arguments: Any) -> dict[str, str]:
        found = await find(*arguments)
        listed = Listed("acme-app", "1.0", WHEEL_NAME, f"acme-app/{WHEEL_NAME}")
        await rows.store(arguments[0], "pypi", [Imported(listed, hashlib.sha256(other).hexdigest(), 1, {})])
        return found

    monkeypatch.setattr(rows, "standing", late)
    report = await place.take()
    assert (report.imported, report.left_out) == ({}, 1)
    assert "another import came first" in report.named[0].why


async def test_pages__are_asked_anew_after_an_import(place: Place) -> None:
    place.put(WHEEL_NAME, WHEEL)
    query = "SELECT revision FROM source_revisions WHERE protocol = 'pypi'"
    await place.take()
    first = await place.stores.database.fetchrow(query)
    place.put("acme_app-2.0-py3-none-any.whl", build_wheel("acme-app", "2.0"))
    await place.take()
    second = await place.stores.database.fetchrow(query)
    assert first is not None and second is not None
    assert second["revision"] > first["revision"]
    files = await rows.of_project(place.stores.database, "pypi", "acme-app")
    assert [each.listed.version for each in files] == ["1.0", "2.0"]
