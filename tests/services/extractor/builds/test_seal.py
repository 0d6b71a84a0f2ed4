"""Sealing: one list however often it is cut off, nothing after it is closed, and what it names stays."""

from __future__ import annotations

import hashlib
import os
import time
from typing import Any

import pytest

from services.extractor.builds import seal as sealing
from services.extractor.builds.seal import SealBuildJob
from services.extractor.housekeeping.evictor import REFETCHABLE
from services.extractor.housekeeping.sweeper import Sweeper
from shared.builds import sessions as module
from shared.builds.entries import Absent, File, Page, Session, decode_list
from shared.builds.sessions import CLOSED, FULL, GONE, MANY, MANY_OF_ONE, PUT, STARTED, Sessions
from shared.errors import BuildNotFound, Conflict
from shared.errors.passing import DatabaseUnavailable
from shared.models import FileName, VariantInfo
from shared.objects.port import VARIANTS, artifact_key
from shared.queue.jobs import SealBuild
from tests.services.extractor.conftest import House
from tests.support.rows import row_of

NOW = time.time()
OLD = NOW - 30 * 86_400
BODY = b'{"files":[]}'


class Context:
    """The part of a job's context that is used."""

    ended = False

    def done(self, **_: Any) -> None:
        self.ended = True


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


async def opened(house: House, id: str = "a" * 32) -> Session:
    session = Session(id, "app", created_at=NOW)
    assert await Sessions(house.stores.queue_redis).start(session, NOW, "token t") == STARTED
    return session


def page(identity: str = "simple/demo", body: bytes = BODY, key: str = "") -> Page:
    info = VariantInfo(f'"{sha256(body)[:32]}"', len(body), "text/x", key)
    return Page("pypi", identity, "json.gzip", info, "", b"" if key else body, NOW)


async def file_of(house: House, name: str) -> File:
    content = name.encode() * 20_000
    key = artifact_key(sha256(content))
    await house.store.put_bytes(key, content)
    path = house.store.local_path(key)
    assert path is not None
    os.utime(path, (OLD, OLD))
    file = FileName("pypi", "demo", sha256(content), name)
    await house.artifacts.get_or_create_artifact(
        row_of(file, content, source_id=1, upstream_url="http://x/y")
    )
    return File("pypi", file.identity, file, at=NOW)


async def seal(house: House, id: str = "a" * 32) -> Session | None:
    context = Context()
    await SealBuildJob(house.stores)(context, SealBuild(build=id))  # type: ignore[arg-type]
    assert context.ended
    return await Sessions(house.stores.queue_redis).read(id)


async def test_start__so_many_of_one_client_and_so_many_in_all(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    sessions = Sessions(house.stores.queue_redis)
    monkeypatch.setattr(module, "MOST_OPEN", 4)
    monkeypatch.setattr(module, "MOST_OF_ONE", 2)

    async def start(id: str, client: str, now: float = NOW) -> int:
        return await sessions.start(Session(id * 32, "app", created_at=now), now, client)

    assert [await start(id, "one") for id in "abc"] == [STARTED, STARTED, MANY_OF_ONE]
    assert await sessions.drop("a" * 32) and not await sessions.drop("a" * 32)
    assert [await start(id, "one") for id in "de"] == [STARTED, MANY_OF_ONE]
    assert [await start(id, "other") for id in "fgh"] == [STARTED, STARTED, MANY]
    later = NOW + module.KEEP_SECONDS + 1
    assert [await start(id, "one", later) for id in "ij"] == [STARTED, STARTED]


async def test_put__open_closed_sealed_and_gone(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    sessions = Sessions(house.stores.queue_redis)
    session = await opened(house)
    assert await sessions.put(session.id, page(), NOW) == PUT
    assert await sessions.put(session.id, page(), NOW) == PUT  # the same again takes no more room
    monkeypatch.setattr(module, "MOST_BYTES", 1000)
    assert await sessions.put(session.id, page("simple/large", b"x" * 1000), NOW) == FULL
    monkeypatch.setattr(module, "MOST_ENTRIES", 1)
    assert await sessions.put(session.id, page("simple/other"), NOW) == FULL
    assert await sessions.put(session.id, page(), NOW) == PUT
    assert await sessions.close(session.id)
    assert await sessions.put(session.id, page(), NOW) == CLOSED
    assert [each.key for each in await sessions.entries(session.id)] == [page().key]
    await seal(house)
    assert await sessions.put(session.id, page(), NOW) == CLOSED
    assert await sessions.put("b" * 32, page(), NOW) == GONE
    assert not await sessions.close("b" * 32)


async def test_put__so_many_entries__objects_that_they_name_apart(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_ENTRIES", 3)
    sessions = Sessions(house.stores.queue_redis)
    session = await opened(house)

    async def put(identity: str, key: str) -> int:
        return await sessions.put(session.id, page(identity, key=key), NOW, key)

    assert [await put(f"simple/{each}", f"variants/{each}") for each in "abcd"] == [PUT, PUT, PUT, FULL]
    changes = [await put("simple/a", f"variants/a{number}") for number in range(9)]
    assert FULL in changes  # one page does not name objects without end


async def test_seal__the_list_holds_all_of_it_with_its_bytes(house: House) -> None:
    sessions = Sessions(house.stores.queue_redis)
    session = await opened(house)
    wheel = await file_of(house, "demo-1.0.whl")
    lost = File("pypi", "demo/x/y", FileName("pypi", "demo", "x", "y"), at=NOW)
    absent = Absent("pypi", "index/simple/gone", "project_not_found", "no upstream has gone", NOW)
    for entry in (page(), wheel, lost, absent):
        assert await sessions.put(session.id, entry, NOW) == PUT
    with pytest.raises(Conflict):
        await seal(house)
    await sessions.close(session.id)
    sealed = await seal(house)
    assert sealed is not None
    assert (sealed.state, sealed.pages, sealed.files, sealed.absent) == ("sealed", 1, 1, 1)
    assert sealed.missing == ("demo/x/y",)
    listed = decode_list(await house.store.read(sealed.list_key))
    assert await house.store.read(listed.pages[0].info.object_key) == BODY
    assert listed.files[0].stored is not None and listed.absent == [absent]
    assert await seal(house) == sealed


async def test_seal_cut_off_before_the_rows__comes_to_the_same_list(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    sessions = Sessions(house.stores.queue_redis)
    session = await opened(house)
    await sessions.put(session.id, page(), NOW)
    await sessions.close(session.id)

    async def away(*_: Any, **__: Any) -> None:
        raise DatabaseUnavailable("away")

    with monkeypatch.context() as patched:
        patched.setattr(house.database, "alone", away)
        with pytest.raises(DatabaseUnavailable):
            await seal(house)
    with monkeypatch.context() as patched:
        patched.setattr(Sessions, "finish", away)
        with pytest.raises(DatabaseUnavailable):
            await seal(house)
    row = await house.database.fetchrow("SELECT session FROM builds")
    assert row is not None
    sealed = await seal(house)
    assert sealed is not None and sealed.list_key.encode() in bytes(row["session"])


async def test_seal__a_file_is_removed_after_it_was_looked_at__it_is_missing(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    session, stored = await opened(house), sealing.store_held
    kept, removed = await file_of(house, "kept.whl"), await file_of(house, "removed.whl")
    sessions = Sessions(house.stores.queue_redis)
    for each in (kept, removed):
        assert await sessions.put(session.id, each, NOW) == PUT
    await sessions.close(session.id)
    path = house.store.local_path(artifact_key(removed.file.file_id))
    assert path is not None

    async def removed_first(*args: Any) -> list[str]:
        path.unlink(missing_ok=True)
        return await stored(*args)

    monkeypatch.setattr(sealing, "store_held", removed_first)
    sealed = await seal(house)
    assert sealed is not None and (sealed.state, sealed.files) == ("sealed", 1)
    assert sealed.missing == (removed.address,)


@pytest.mark.parametrize("row", ["removed before it is stored", "stored, and cut off"])
async def test_removed_while_it_is_sealed__does_not_come_back(
    house: House, monkeypatch: pytest.MonkeyPatch, row: str
) -> None:
    sessions, stored = Sessions(house.stores.queue_redis), sealing.store_held
    session = await opened(house)
    await sessions.put(session.id, page(), NOW)
    await sessions.close(session.id)

    async def meanwhile(*args: Any) -> list[str]:
        assert await sessions.drop(session.id)
        lost = await stored(*args)
        if row == "stored, and cut off":
            raise DatabaseUnavailable("away")
        return lost

    with monkeypatch.context() as patched:
        patched.setattr(sealing, "store_held", meanwhile)
        with pytest.raises((BuildNotFound, DatabaseUnavailable)):
            await seal(house)
    with pytest.raises(BuildNotFound):
        await seal(house)
    assert await house.database.fetch("SELECT FROM builds") == []
    assert await sessions.read(session.id) is None
    assert await sessions.put(session.id, page(), NOW) == GONE
    assert not await sessions.close(session.id) and not await sessions.drop(session.id)


async def test_seal__of_no_session__says_so(house: House) -> None:
    with pytest.raises(BuildNotFound):
        await seal(house, "z" * 32)


async def test_what_a_sealed_build_names__neither_swept_nor_evicted(house: House) -> None:
    sessions = Sessions(house.stores.queue_redis)
    session = await opened(house)
    large = b"large"
    key = f"{VARIANTS}/{sha256(large)}"
    await house.store.put_bytes(key, large)
    wheel = await file_of(house, "demo-1.0.whl")
    await sessions.put(session.id, page("simple/large", large, key), NOW, key)
    await sessions.put(session.id, wheel, NOW)
    await house.database.execute(
        "INSERT INTO upstream_sources (id, protocol, name, url) OVERRIDING SYSTEM VALUE "
        "VALUES (1, 'pypi', 'main', 'http://x/')"
    )
    digest = bytes.fromhex(wheel.file.file_id)
    assert len(await house.database.fetch(REFETCHABLE, [digest])) == 1

    async def swept() -> int:
        async for found in house.store.list(""):
            path = house.store.local_path(found.key)
            assert path is not None
            os.utime(path, (OLD, OLD))
        return (await Sweeper(house.stores, delete=False).run()).orphans

    assert await swept() == 0  # while it is open
    await sessions.close(session.id)
    sealed = await seal(house)
    assert sealed is not None and sealed.missing == ()
    assert await house.database.fetch(REFETCHABLE, [digest]) == []
    await house.database.execute("DELETE FROM cached_urls")
    await house.database.execute("DELETE FROM artifacts")
    assert await swept() == 0
    await house.database.execute("DELETE FROM builds")
    assert await swept() == 3  # the list, the page, the file
