"""An import: everything in it is checked before anything can be seen, whatever the bundle says of itself."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from services.extractor.housekeeping.evictor import Evictor
from services.extractor.housekeeping.sweeper import Sweeper
from services.standalone.bundles import importing
from services.standalone.bundles.__main__ import _in_words
from services.standalone.bundles.importing import Imported, import_bundle
from shared.builds.entries import File, decode_list, decode_session
from shared.bundles.form import BundleRefused
from shared.bundles.manifest import Manifest, Object
from shared.errors.passing import DatabaseUnavailable
from shared.models import FileName
from shared.objects.port import artifact_key
from shared.process.resources import Resources
from shared.settings import load_settings
from shared.stores import Stores, open_stores
from shared.tlog.dsse import SPDX, key_id
from shared.tlog.notes import Key
from shared.tlog.proofs import check_file, read_proof
from shared.transparency.imported import ImportedRows
from tests.support.bundles import ID, OTHER, SIGNER, Log, Made, envelope, made, replaced, sha256
from tests.support.rows import row_of

SMALL, LARGE, PAGE = b"small wheel", b"large wheel " * 200_000, b'{"files": []}'
FILES = {"demo-1.0-py3-none-any.whl": SMALL, "demo-2.0-py3-none-any.whl": LARGE}
ROWS = "SELECT (SELECT count(*) FROM cached_urls) + (SELECT count(*) FROM builds) + " \
    "(SELECT count(*) FROM bundle_logs) + (SELECT count(*) FROM log_outbox) AS many"  # fmt: skip


UPSTREAM = """
INSERT INTO upstream_sources (protocol, name, url) VALUES ('pypi', 'main', 'http://upstream.example/simple/')
RETURNING id
"""
WAITING = """
SELECT FROM pg_locks l JOIN pg_database d ON d.oid = l.database
WHERE l.locktype = 'advisory' AND NOT l.granted AND d.datname = current_database()
"""


@dataclass
class Place:
    """An Orchard's stores, and a folder for bundles."""

    stores: Stores
    url: str
    folder: Path

    async def take(self, data: bytes | Made, *trusted: Key) -> Imported:
        path = self.folder / "some.bundle"
        path.write_bytes(data if isinstance(data, bytes) else data.data)
        keys = trusted or (SIGNER.key,)
        return await import_bundle(path, self.stores.bare_objects, self.url, keys, spool=self.folder)

    async def refuses(self, data: bytes | Made, *trusted: Key) -> str:
        """What is said; nothing that anybody could see is there afterwards that was not before."""
        before = await self.rows()
        with pytest.raises(BundleRefused) as refused:
            await self.take(data, *trusted)
        assert await self.rows() == before
        assert [each.name for each in self.folder.iterdir() if each.name.startswith(".import")] == []
        return str(refused.value)

    async def rows(self) -> int:
        row = await self.stores.database.fetchrow(ROWS)
        assert row is not None
        return int(row["many"])


@pytest.fixture
async def place(store_settings: dict[str, str], tmp_path: Path) -> AsyncIterator[Place]:
    settings = load_settings(store_settings)
    folder = tmp_path / "bundles"
    folder.mkdir()
    async with Resources() as resources:
        stores = await open_stores(resources, settings, max_connections=4)
        yield Place(stores, settings.database_url, folder)


def whole(log: Log | None = None) -> Made:
    return made(FILES, {"simple/demo": PAGE}, log=log)


async def test_import__the_build_its_objects_and_its_files_are_here(place: Place) -> None:
    done = await place.take(whole())
    assert (done.id, done.new, done.pages, done.files, done.absent, done.objects) == (ID, True, 1, 2, 1, 3)
    row = await place.stores.database.fetchrow("SELECT session FROM builds WHERE id = $1", ID)
    assert row is not None
    build = decode_session(bytes(row["session"]))
    listed = decode_list(await place.stores.bare_objects.read(build.list_key))
    assert (build.state, listed.pages[0].who, build.created_by) == ("sealed", "", "")
    assert await place.stores.bare_objects.read(listed.pages[0].info.object_key) == PAGE
    for name, content in FILES.items():
        file = FileName("pypi", "demo", sha256(content), name)
        stored = await place.stores.artifacts.get_cached_url_with_artifact(file)
        assert stored is not None
        assert await place.stores.bare_objects.read(stored.object_key) == content
        (entry,) = (each for each in listed.files if each.file == file)
        assert entry.stored is not None and entry.stored.created_at == stored.created_at > 5.0
    named = await place.stores.database.fetch("SELECT key FROM build_objects")
    assert len(named) == 4  # with the list
    told = await place.stores.database.fetch("SELECT body ->> 'checked' AS checked FROM log_outbox")
    assert [each["checked"] for each in told] == ['{"bundle": "sha256"}'] * 2


@pytest.mark.parametrize(("id", "path"), [(ID, f"/v/build-{ID}/"), ("e" * 64, f"/v/lock-{'e' * 64}/")])
def test_import__tells_the_view_of_a_build_or_of_a_lock(id: str, path: str) -> None:
    assert _in_words(Imported(id, "", True, 1, 1, 0, 1, 1, 0.1)).splitlines()[-1] == path


async def test_again__changes_nothing(place: Place) -> None:
    log = Log()
    await place.take(whole(log))
    before = await place.rows()
    assert not (await place.take(whole(log))).new
    log.admit("f" * 64)  # a younger bundle of the same build says nothing new
    assert not (await place.take(whole(log))).new
    assert await place.rows() == before


async def test_cut_off_at_any_byte__refused_where_it_ends__and_goes_on_as_if_nothing_had_been(
    place: Place,
) -> None:
    data = made({"demo-1.0-py3-none-any.whl": SMALL}, {"simple/demo": PAGE}).data
    for end in [*range(0, len(data), 97), len(data) - 1]:
        assert "byte " in await place.refuses(data[:end])
    assert (await place.take(data)).new


async def test_flipped_at_any_byte__refused(place: Place) -> None:
    data = made({"demo-1.0-py3-none-any.whl": SMALL}, {"simple/demo": PAGE}).data
    for at in [*range(0, len(data), 89), len(data) - 1]:
        await place.refuses(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
    assert (await place.take(data)).new


async def test_broken_off_before_the_rows__done_again_without_writing_what_is_there(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(*_: object) -> None:
        raise DatabaseUnavailable("away")

    with monkeypatch.context() as patched:
        patched.setattr(importing, "write_rows", away)
        with pytest.raises(DatabaseUnavailable):
            await place.take(whole())
    assert await place.rows() == 0
    written: list[str] = []

    async def put(key: str, *_: object, **__: object) -> None:
        written.append(key)

    with monkeypatch.context() as patched:
        patched.setattr(place.stores.bare_objects, "put_file", put)
        patched.setattr(importing, "write_rows", away)
        patched.setattr(place.stores.bare_objects, "put_bytes", put)
        with pytest.raises(DatabaseUnavailable):
            await place.take(whole())
    assert written == []
    assert (await place.take(whole())).new


Lie = Callable[[Manifest], Manifest]


def _file(**fields: object) -> Lie:
    def change(manifest: Manifest) -> Manifest:
        stored = manifest.listed.files[0].stored
        assert stored is not None
        return replaced(manifest, "files", 0, stored=msgspec.structs.replace(stored, **fields))

    return change


def _name(**fields: object) -> Lie:
    def change(manifest: Manifest) -> Manifest:
        file = msgspec.structs.replace(manifest.listed.files[0].file, **fields)
        changed = replaced(manifest, "files", 0, file=file)
        return _file(filename=fields["filename"])(changed) if "filename" in fields else changed

    return change


def _at_home(**fields: object) -> Lie:
    """With the address that such a name would have."""

    def change(manifest: Manifest) -> Manifest:
        file = msgspec.structs.replace(manifest.listed.files[0].file, **fields)
        return replaced(manifest, "files", 0, file=file, address=file.identity)

    return change


def _beside(manifest: Manifest) -> Manifest:
    """The first file once more, elsewhere."""
    first = manifest.listed.files[0]
    return _listed("files", 1, msgspec.structs.replace(first, address=f"{first.address}x"))(manifest)


def _listed(kind: str, factor: int, *more: File) -> Lie:
    def change(manifest: Manifest) -> Manifest:
        entries = [*(getattr(manifest.listed, kind) * factor), *more]
        listed = msgspec.structs.replace(manifest.listed, **{kind: entries})
        session = msgspec.structs.replace(manifest.session, **{kind: len(entries)})
        return msgspec.structs.replace(manifest, listed=listed, session=session)

    return change


def _objects(change: Callable[[list[Object]], list[Object]]) -> Lie:
    return lambda manifest: msgspec.structs.replace(manifest, objects=change(manifest.objects))


def _log(**fields: object) -> Lie:
    return lambda manifest: msgspec.structs.replace(
        manifest, log=msgspec.structs.replace(manifest.log, **fields)
    )


def _proof(**fields: object) -> Lie:
    def change(manifest: Manifest) -> Manifest:
        first, *rest = manifest.log.files
        return _log(files=[msgspec.structs.replace(first, **fields), *rest])(manifest)

    return change


LIES: dict[str, tuple[Lie, str]] = {
    "an unknown format": (lambda it: msgspec.structs.replace(it, format=2), "format: 2"),
    "an id that leads elsewhere": (
        lambda it: msgspec.structs.replace(it, session=msgspec.structs.replace(it.session, id="../" * 8)),
        "session:",
    ),
    "a build that is not sealed": (
        lambda it: msgspec.structs.replace(it, session=msgspec.structs.replace(it.session, state="open")),
        "session:",
    ),
    "counts of another list": (
        lambda it: msgspec.structs.replace(it, session=msgspec.structs.replace(it.session, files=9)),
        "session:",
    ),
    "a file twice": (_listed("files", 2), "is there twice"),
    "a page twice": (_listed("pages", 2), "is there twice"),
    "an object twice": (_objects(lambda them: [*them, them[0]]), "is named twice"),
    "an object that nothing names": (
        _objects(lambda them: [*them, Object("artifacts/" + "0" * 64, 1)]),
        "objects:",
    ),
    "an object less": (_objects(lambda them: them[1:]), "objects:"),
    "a key that is a path": (_objects(lambda them: [Object("../../etc/x", 1), *them]), "objects[0]"),
    "a key of another folder": (
        _objects(lambda them: [Object("tiles/" + "0" * 64, 1), *them]),
        "objects[0]",
    ),
    "giant sizes": (_objects(lambda them: [Object(each.key, 1 << 60) for each in them]), "objects[0]"),
    "negative sizes": (_objects(lambda them: [Object(each.key, -1) for each in them]), "objects[0]"),
    "giant counts": (_objects(lambda them: them * 20_000), "objects: 60000"),
    "another size": (_file(size_bytes=3), "objects:"),
    "another SHA256": (_file(sha256="0" * 64), "files[0]"),
    "another object": (_file(object_key="artifacts/" + "0" * 64), "files[0]"),
    "a file name with a path": (_name(filename="../demo.whl"), "is not where a file of its name lies"),
    "a project that leads elsewhere": (_name(project="../demo"), "is not where"),
    "a project of another spelling": (_at_home(project="De_mo"), "is not where"),
    "a project that is none": (_at_home(project=""), "is not where"),
    "a project that is too long": (_at_home(project="a" * 513), "is not where"),
    "another file's address": (lambda it: replaced(it, "files", 0, address="demo/x/y.whl"), "is not where"),
    "a name twice, at two addresses": (_beside, "files[2]: "),
    "a digest that its protocol does not keep": (_file(digests={"sha512": "0" * 128}), "does not keep"),
    "a header that its protocol does not keep": (_file(headers={"x-a": "b"}), "does not keep"),
    "a content type that is no header": (_file(content_type="é"), "cannot be sent in a header"),
    "a wheel that was read out of another file": (_file(provisional=True), "was read out of no other file"),
    "another protocol's name": (_name(protocol="npm"), "files[0]"),
    "a header that ends a line": (_file(headers={"x-a": "1\r\nset-cookie: x"}), "control character"),
    "a content type that ends a line": (_file(content_type="a\r\nb"), "control character"),
    "a date that no clock has": (_file(published=1e300), "files[0]: a time that no clock has"),
    "a Last-Modified that no clock has": (_file(modified=-1.0), "files[0]: a time that no clock has"),
    "an answer's time that no clock has": (
        lambda it: replaced(it, "pages", 0, at=1e13),
        "pages[0]: a time that no clock has",
    ),
    "a seal's time that no clock has": (
        lambda it: msgspec.structs.replace(it, session=msgspec.structs.replace(it.session, sealed_at=1e13)),
        "session: a time that no clock has",
    ),
    "a protocol that nobody speaks": (
        lambda it: replaced(it, "pages", 0, protocol="gopher"),
        "does not speak 'gopher'",
    ),
    "a page in the manifest": (lambda it: replaced(it, "pages", 0, body=b"x"), "is not an object"),
    "no proofs": (_log(files=[]), "log.files:"),
    "a proof of another file": (_proof(sha256="0" * 64), "log.files:"),
    "another entry": (_proof(entry=b"{}"), "log.files[0]"),
    "another place": (_proof(index=1), "log.files[0]"),
    "a place beyond the log": (_proof(index=1 << 62), "log.files[0]"),
    "hashes less": (_proof(hashes=[]), "log.files[0]"),
    "another size of the log": (_log(size=40), "log.size"),
    "no checkpoint": (_log(checkpoint=b""), "log.checkpoint"),
    "a checkpoint of another log": (_log(checkpoint=OTHER.checkpoint(2, b"0" * 32)), "log.checkpoint"),
}


@pytest.mark.parametrize("lie", LIES)
async def test_lie_that_is_signed__refused_by_its_place(place: Place, lie: str) -> None:
    change, said = LIES[lie]
    assert said in await place.refuses(whole().changed(change))


async def test_proof_that_admits_another_thing__refused(place: Place) -> None:
    log = Log()
    digests = [sha256(content) for content in FILES.values()]
    log.entries = [b'{"kind":"mutated","digests":{"sha256":"%s"}}' % each.encode() for each in digests]
    assert "is not the admission" in await place.refuses(whole(log))


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda data: b"", "this is no bundle"),
        (lambda data: b"PK" + data, "this is no bundle"),
        (lambda data: data.replace(b"orchard-bundle 1", b"orchard-bundle 2"), "reads format 1"),
        (lambda data: data[:17] + b"\xff" * 8 + data[25:], "too large"),
        (lambda data: data + b"+", "something follows"),
    ],
)
async def test_form_that_is_damaged__refused(
    place: Place, damage: Callable[[bytes], bytes], said: str
) -> None:
    assert said in await place.refuses(damage(whole().data))


async def test_wrong_bytes_under_a_right_size__refused(place: Place) -> None:
    it = whole()
    key = next(each.key for each in it.manifest.objects if each.size == len(LARGE))
    it.contents[key] = LARGE[:-1] + b"?"
    assert f"the bytes of {key} are others" in await place.refuses(it)


async def test_key_that_nobody_trusted__refused__and_once_trusted_remembered(place: Place) -> None:
    log = Log()
    assert "which nobody here has trusted" in await place.refuses(whole(log), OTHER.key)
    await place.take(whole(log))
    more = made({"more-1.0.whl": b"more"}, log=log, since=2, id="c" * 32)
    assert (await place.take(more, OTHER.key)).new
    foreign = replace(whole(log), signer=OTHER)
    assert "which nobody here has trusted" in await place.refuses(foreign)


async def test_manifest_that_another_key_signed_than_it_names__refused(place: Place) -> None:
    data = whole().data
    name = str(SIGNER.key).encode()
    other = str(OTHER.key).encode()
    assert name in data
    assert "the signed note" in await place.refuses(data.replace(name, other, 1), SIGNER.key, OTHER.key)


async def test_log__goes_on_from_what_was_seen_or_is_refused(place: Place) -> None:
    log = Log()
    await place.take(whole(log))  # a log of two
    old = Log(list(log.entries[:1]))
    small = made({"demo-1.0-py3-none-any.whl": SMALL}, log=old, id="c" * 32)
    assert "a checkpoint of 1 entries, and 2 were seen" in await place.refuses(small)
    forked = Log([log.entries[1], log.entries[0]])
    fork = made({"demo-1.0-py3-none-any.whl": SMALL}, log=forked, id="d" * 32)
    assert "the log was forked" in await place.refuses(fork)
    grown = Log(list(log.entries))
    unproven = made({"more-1.0.whl": b"more"}, log=grown, id="e" * 32)
    assert "--since" in await place.refuses(unproven)
    proven = made({"more-1.0.whl": b"more"}, log=grown, since=2, id="e" * 32)
    wrong = proven.changed(_log(consistency=[b"0" * 32]))
    assert "log:" in await place.refuses(wrong)
    assert (await place.take(proven)).new


async def test_left_out__taken_from_here_or_refused(place: Place) -> None:
    log = Log()
    first = whole(log)
    second = made(FILES | {"more-1.0.whl": b"more"}, log=log, since=2, id="c" * 32)
    second.left_out = frozenset(each.key for each in first.manifest.objects)
    assert "is left out, and is not here" in await place.refuses(second)
    await place.take(first)
    key = first.manifest.objects[1].key
    path = place.stores.bare_objects.local_path(key)
    assert path is not None
    right = path.read_bytes()
    path.write_bytes(right[:-1] + b"?")
    assert f"{key} is left out, and is not here" in await place.refuses(second)
    path.write_bytes(right)
    assert (await place.take(second)).new


async def test_other_bytes_stand_under_a_name__refused_by_name(place: Place) -> None:
    name = next(iter(FILES))
    file = FileName("pypi", "demo", sha256(SMALL), name)
    await place.stores.artifacts.get_or_create_artifact(row_of(file, b"what came first"))
    said = await place.refuses(whole())
    assert name in said and "is stored here with other bytes" in said


async def test_another_build_has_the_id__refused(place: Place) -> None:
    log = Log()
    await place.take(made({"other-1.0.whl": b"other"}, log=log))
    grown = made(FILES, log=log, since=1)
    assert "another build with the id" in await place.refuses(grown)


LOCK_KEY = "e" * 64


async def test_lock_made_anew__takes_the_place_of_what_the_same_orchard_told_before(place: Place) -> None:
    log = Log()
    await place.take(made({"demo-1.0-py3-none-any.whl": SMALL}, log=log, id=LOCK_KEY))
    anew = made({"demo-2.0-py3-none-any.whl": LARGE}, log=log, since=1, id=LOCK_KEY)
    assert (await place.take(anew)).new
    row = await place.stores.database.fetchrow("SELECT session FROM builds WHERE id = $1", LOCK_KEY)
    assert row is not None
    listed = decode_list(await place.stores.bare_objects.read(decode_session(bytes(row[0])).list_key))
    assert [each.file.filename for each in listed.files] == ["demo-2.0-py3-none-any.whl"]
    named = await place.stores.database.fetch("SELECT key FROM build_objects WHERE build = $1", LOCK_KEY)
    assert sha256(LARGE) in {each["key"][-64:] for each in named} and len(named) == 2
    stranger = made({"demo-1.0-py3-none-any.whl": SMALL}, signer=OTHER, id=LOCK_KEY)
    said = await place.refuses(stranger, OTHER.key)
    assert "another build with the id" in said and f"orchard build remove {LOCK_KEY}" in said


@pytest.mark.parametrize("left_out", [False, True])
async def test_digests_that_a_protocol_keeps__are_those_of_the_bytes_or_refused(
    place: Place, left_out: bool
) -> None:
    file = FileName("npm", "thing", "-", "thing-1.0.0.tgz")
    plain = made({file.filename: b"a tarball"})
    stored = plain.manifest.listed.files[0].stored
    assert stored is not None

    def told(sha512: str) -> Made:
        sha1 = hashlib.sha1(b"a tarball", usedforsecurity=False).hexdigest()
        digests = {"sha512": sha512, "sha1": sha1}
        fields = {"protocol": "npm", "file": file, "address": file.identity}
        it = plain.changed(
            lambda it: replaced(
                it, "files", 0, **fields, stored=msgspec.structs.replace(stored, digests=digests)
            )
        )
        it.left_out = frozenset(each.key for each in it.manifest.objects) if left_out else frozenset()
        return it

    right = hashlib.sha512(b"a tarball").hexdigest()
    if left_out:
        await place.stores.bare_objects.put_bytes(artifact_key(sha256(b"a tarball")), b"a tarball")
    assert "the sha512 of artifacts/" in await place.refuses(told("0" * 128))
    assert (await place.take(told(right))).new
    row = await place.stores.database.fetchrow("SELECT digests ->> 'sha512' AS told FROM cached_urls")
    assert row is not None and row["told"] == right


async def test_object_that_is_swept_while_the_others_come__refused(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = Log()
    first = whole(log)
    await place.take(first)
    second = made(FILES | {"more-1.0-py3-none-any.whl": b"more"}, log=log, since=2, id="c" * 32)
    second.left_out = frozenset(each.key for each in first.manifest.objects)
    key, take = first.manifest.objects[1].key, importing._Objects.take

    async def swept(self: Any, objects: Any) -> None:
        await take(self, objects)
        await place.stores.bare_objects.delete(key)

    monkeypatch.setattr(importing._Objects, "take", swept)
    assert f"{key} was removed" in await place.refuses(second)


FORK, ANOTHER = (
    made({"more-1.0.whl": b"more"}, id="c" * 32),
    made({"more-1.0.whl": b"more"}, signer=OTHER),
)


@pytest.mark.parametrize(
    ("meanwhile", "said"),
    [(FORK, "the log was forked"), (ANOTHER, f"another build with the id {ID} is here")],
    ids=["fork of its log", "build of its id"],
)
async def test_two_at_once__the_later_is_judged_by_what_the_first_wrote(
    place: Place, monkeypatch: pytest.MonkeyPatch, meanwhile: Made, said: str
) -> None:
    take = importing._Objects.take

    async def overtaken(self: Any, objects: Any) -> None:
        await take(self, objects)
        monkeypatch.setattr(importing._Objects, "take", take)
        assert (await place.take(meanwhile, SIGNER.key, OTHER.key)).new

    monkeypatch.setattr(importing._Objects, "take", overtaken)
    with pytest.raises(BundleRefused, match=said):
        await place.take(made({"demo-1.0-py3-none-any.whl": SMALL}))
    rows = await place.stores.database.fetch("SELECT key, size, root FROM bundle_logs")
    seen = [(each["key"], each["size"]) for each in rows]
    assert seen == [(str(meanwhile.signer.key), 1)]
    assert len(await place.stores.database.fetch("SELECT FROM builds")) == 1


async def test_two_at_once_of_one_bundle__the_later_changes_nothing(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    take, it = importing._Objects.take, whole()

    async def overtaken(self: Any, objects: Any) -> None:
        await take(self, objects)
        monkeypatch.setattr(importing._Objects, "take", take)
        assert (await place.take(it)).new

    monkeypatch.setattr(importing._Objects, "take", overtaken)
    assert not (await place.take(it)).new


async def test_young_object_of_other_bytes_and_the_same_size__is_put_anew(place: Place) -> None:
    it, store = whole(), place.stores.bare_objects
    for each in it.manifest.objects:
        await store.put_bytes(each.key, b"?" * each.size)
    assert (await place.take(it)).new
    for each in it.manifest.objects:
        assert await store.read(each.key) == it.contents[each.key]


@pytest.mark.parametrize("remover", ["evictor", "sweeper"])
async def test_object_that_is_removed_as_the_rows_come__refused_or_here(
    place: Place, monkeypatch: pytest.MonkeyPatch, remover: str
) -> None:
    """The remover has looked at the rows for the last time when the import looks at the objects."""
    log, content = Log(), b"a wheel" * 20_000
    second = made({"demo-1.0-py3-none-any.whl": content}, log=log, id="c" * 32)
    second.left_out = frozenset([artifact_key(sha256(content))])
    store, database = place.stores.bare_objects, place.stores.database
    await store.put_bytes(artifact_key(sha256(content)), content)
    path = store.local_path(artifact_key(sha256(content)))
    assert path is not None
    os.utime(path, (1.0, 1.0))
    if remover == "evictor":  # it takes what can be fetched again
        source = (await database.fetch(UPSTREAM))[0]["id"]
        file = FileName("pypi", "demo", sha256(content), "demo-1.0-py3-none-any.whl")
        row = row_of(file, content, source_id=source, upstream_url="http://upstream.example/demo")
        await place.stores.artifacts.get_or_create_artifact(row)
    reached, go_on = asyncio.Event(), asyncio.Event()
    delete = type(store).delete

    async def slow(self: Any, key: str) -> None:
        reached.set()
        await go_on.wait()
        await delete(self, key)

    monkeypatch.setattr(type(store), "delete", slow)
    removing = asyncio.create_task(
        Evictor(place.stores, days=1, max_bytes=0).run()
        if remover == "evictor"
        else Sweeper(place.stores, delete=True).run()
    )
    await reached.wait()
    taking = asyncio.create_task(place.refuses(second))
    while not taking.done() and not await database.fetch(WAITING):
        await asyncio.sleep(0.01)
    go_on.set()
    await removing
    assert "was removed while the others came" in await taking
    assert not path.exists()


async def test_object_that_lay_here_long__is_put_anew_where_no_time_can_be_touched(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = Log()
    first = whole(log)
    await place.take(first)
    store = place.stores.bare_objects
    paths = [store.local_path(each.key) for each in first.manifest.objects]
    for path in paths:
        assert path is not None
        os.utime(path, (1.0, 1.0))
    second = made(FILES | {"more-1.0-py3-none-any.whl": b"more"}, log=log, since=2, id="c" * 32)
    second.left_out = frozenset(each.key for each in first.manifest.objects)
    monkeypatch.setattr(type(store), "local_path", lambda self, key: None)
    assert (await place.take(second)).new
    for each in second.manifest.objects:
        found = await store.stat(each.key)
        assert found is not None and found.modified_at > 1.0, each.key


def stating(*envelopes: bytes) -> Made:
    return whole().changed(lambda manifest: msgspec.structs.replace(manifest, statements=list(envelopes)))


async def test_statements__are_kept_with_proofs_and_go_with_the_build(place: Place) -> None:
    own = envelope(SIGNER, "demo-1.0-py3-none-any.whl", SMALL)
    await place.take(stating(own))
    rows, digest = ImportedRows(place.stores.database), sha256(SMALL)
    assert await rows.of_file(digest) == [own] == await rows.of_version("pypi", "demo", "1")
    assert await rows.of_version("pypi", "demo", "2") == []
    for content in FILES.values():
        told = await rows.proof(sha256(content), str(SIGNER.key))
        assert told is not None
        check_file(sha256(content), read_proof(told), SIGNER.key)
    assert await rows.proof(digest, str(OTHER.key)) is None
    await place.stores.database.execute("DELETE FROM builds")
    assert await rows.of_file(digest) == [] and await rows.proof(digest, str(SIGNER.key)) is None


@pytest.mark.parametrize(
    "version", ["1.0", "1"], ids=["as its file spells it", "canonical, of an older Orchard"]
)
async def test_a_statement_about_a_version__however_spelt_is_kept_under_the_canonical_one(
    place: Place, version: str
) -> None:
    own = envelope(SIGNER, "demo-1.0-py3-none-any.whl", SMALL, f"pkg:pypi/demo@{version}")
    await place.take(stating(own))
    assert await ImportedRows(place.stores.database).of_version("pypi", "demo", "1") == [own]


async def test_a_statement_by_another_key__is_refused_unless_that_is_named(place: Place) -> None:
    foreign = envelope(OTHER, "demo-1.0-py3-none-any.whl", SMALL)
    assert "statements[0]: it is signed by a key that nobody here has trusted" in await place.refuses(
        stating(foreign)
    )
    assert (await place.take(stating(foreign), SIGNER.key, OTHER.key)).new


async def test_statements_that_lie__are_refused_with_their_place(place: Place) -> None:
    name = "demo-1.0-py3-none-any.whl"
    own = envelope(SIGNER, name, SMALL)
    claimed = envelope(OTHER, name, SMALL).replace(key_id(OTHER.key).encode(), key_id(SIGNER.key).encode())
    for wrong, said in {
        (own, own): "statements[1]: a second statement",
        (own, claimed): "statements[1]: the statement is not signed by",
        (envelope(SIGNER, name, b"other"),): "statements[0]: it is about no file of the bundle",
        (envelope(SIGNER, name, SMALL, "pkg:pypi/demo@9"),): "about no file",
        (envelope(SIGNER, name, SMALL, kind=SPDX),): "statements[0]: the statement's predicate is",
        (b"{}",): "nobody here has trusted",
        (b"x" * 70_000,): "70000 bytes are too many",
    }.items():
        assert said in await place.refuses(stating(*wrong)), said
