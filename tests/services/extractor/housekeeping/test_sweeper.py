"""The sweeper: what it may delete, what it must not, and that a put is never lost to it."""

from __future__ import annotations

import asyncio
import hashlib
import os
import time
from collections.abc import Collection

import msgspec

from services.extractor.housekeeping.sweeper import Sweeper
from services.extractor.housekeeping.timer import SweepTimer
from shared.imports import rows
from shared.models import FORMAT, IndexHead, StoredDocument, VariantInfo
from shared.objects.guard import GuardedStore, sweeping
from shared.objects.port import VARIANTS, artifact_key, document_key, statement_key, tile_key
from shared.protocols.roles.importing import Imported, Listed
from tests.services.extractor.conftest import House

OLD = time.time() - 7200


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def age(house: House, key: str) -> None:
    """Make an object two hours old."""
    path = house.store.local_path(key)
    assert path is not None
    os.utime(path, (OLD, OLD))


def sweeper(house: House, *, delete: bool = True) -> Sweeper:
    return Sweeper(house.stores, delete=delete)


async def orphan(house: House, data: bytes = b"orphan") -> str:
    key = artifact_key(digest(data))
    await house.store.put_bytes(key, data)
    age(house, key)
    return key


def head_naming(variant: str) -> bytes:
    """The head of a page with that body."""
    info = VariantInfo(content_type="text/html", etag="e", size_bytes=7, object_key=variant)
    head = IndexHead(
        format=FORMAT, generation=1, status=200, source_revision=1, source_id=1, fetched_at=1.0,
        fresh_until=1.0, variants={"html.gzip": info},
    )  # fmt: skip
    return msgspec.msgpack.encode(head)


async def test_orphan__old__deleted_and_only_counted_in_a_dry_run(house: House) -> None:
    key = await orphan(house)
    report = await sweeper(house, delete=False).run()
    assert (report.orphans, report.orphan_bytes, report.deleted) == (1, 6, 0)
    assert await house.store.stat(key) is not None
    report = await sweeper(house).run()
    assert (report.orphans, report.deleted) == (1, 1)
    assert await house.store.stat(key) is None


async def test_orphan__young__stays(house: House) -> None:
    key = artifact_key(digest(b"young"))
    await house.store.put_bytes(key, b"young")
    assert (await sweeper(house).run()).orphans == 0
    assert await house.store.stat(key) is not None


async def test_named__by_an_artifact_a_document_or_a_page__stays(house: House) -> None:
    job = await house.keep("demo-1.0.whl", b"file")
    document, variant = document_key(digest(b"document")), f"{VARIANTS}/{digest(b'variant')}"
    await house.store.put_bytes(document, b"document")
    await house.store.put_bytes(variant, b"variant")
    await house.artifacts.store_document(
        StoredDocument(
            protocol="pypi", identity="demo", source_id=1, generation=1, document_key=document,
            fetched_at=1.0, upstream_etag="", upstream_last_modified="",
        ),
        project="demo",
    )  # fmt: skip
    await house.cache_redis.raw.set("orchard:package_index:pypi:demo", head_naming(variant))
    keys = [artifact_key(job.sha256), document, variant]
    for key in keys:
        age(house, key)
    report = await sweeper(house).run()
    assert (report.objects, report.orphans) == (3, 0)
    await house.cache_redis.raw.delete("orchard:package_index:pypi:demo")
    assert (await sweeper(house).run()).deleted == 1, "the page is gone, so its body is an orphan"
    assert await house.store.stat(variant) is None


async def test_tile_of_the_log__stays_and_one_that_no_row_names_goes(house: House) -> None:
    named, lost = tile_key(digest(b"tile")), tile_key(digest(b"lost"))
    await house.database.execute(
        "INSERT INTO log_tiles (level, index, sha256, root) VALUES (0, 0, $1, $1)",
        bytes.fromhex(digest(b"tile")),
    )
    for key, data in ((named, b"tile"), (lost, b"lost")):
        await house.store.put_bytes(key, data)
        age(house, key)
    assert (await sweeper(house).run()).deleted == 1
    assert await house.store.stat(named) is not None and await house.store.stat(lost) is None


async def test_statement__stays_and_one_that_no_row_names_goes(house: House) -> None:
    named, built, lost = (statement_key(digest(each)) for each in (b"file", b"build", b"lost"))
    await house.database.execute(
        "INSERT INTO statements VALUES ($1, 0, 'pypi', 'demo', '1', $1)", bytes.fromhex(digest(b"file"))
    )
    await house.database.execute("INSERT INTO builds (id, session) VALUES ('b', '')")
    await house.database.execute(
        "INSERT INTO build_statements VALUES ('b', 'provenance', $1)", bytes.fromhex(digest(b"build"))
    )
    for key, data in ((named, b"file"), (built, b"build"), (lost, b"lost")):
        await house.store.put_bytes(key, data)
        age(house, key)
    assert (await sweeper(house).run()).deleted == 1
    assert await house.store.stat(lost) is None
    assert await house.store.stat(named) is not None and await house.store.stat(built) is not None


async def test_imported__stays(house: House) -> None:
    key = artifact_key(digest(b"wheel"))
    await house.store.put_bytes(key, b"wheel")
    age(house, key)
    listed = Listed("demo", "1.0", "demo-1.0.whl", "demo/demo-1.0.whl")
    await rows.store(house.database, "pypi", [Imported(listed, digest(b"wheel"), 5, {})])
    assert (await sweeper(house).run()).orphans == 0
    assert await house.store.stat(key) is not None


async def test_unreadable_head__no_page_body_is_deleted(house: House) -> None:
    variant = f"{VARIANTS}/{digest(b'variant')}"
    await house.store.put_bytes(variant, b"variant")
    age(house, variant)
    await house.cache_redis.raw.set("orchard:package_index:pypi:newer", b"\xc1 of a later version")
    assert (await sweeper(house).run()).orphans == 0


async def test_body__its_head_was_out_of_sight__stays(house: House) -> None:
    variant = f"{VARIANTS}/{digest(b'variant')}"
    await house.store.put_bytes(variant, b"variant")
    age(house, variant)

    class Late(Sweeper):
        """Its first look falls between the end of a head and the one that takes its place."""

        async def _named_by_heads(self, keys: Collection[str]) -> set[str]:
            named = await super()._named_by_heads(keys)
            await house.cache_redis.raw.set("orchard:package_index:pypi:demo", head_naming(variant))
            return named

    report = await Late(house.stores, delete=True).run()
    assert (report.orphans, report.deleted) == (1, 0)
    assert await house.store.stat(variant) is not None


async def test_put__while_the_sweeper_is_at_it__object_is_there_afterwards(house: House) -> None:
    key = await orphan(house, b"wanted again")
    guarded = GuardedStore(house.store, house.queue_redis)
    async with sweeping(house.queue_redis, key) as alone:
        assert alone
        putting = asyncio.create_task(guarded.put_bytes(key, b"wanted again"))
        await asyncio.sleep(0.2)
        assert not putting.done(), "a put waits for the sweeper"
        await house.store.delete(key)
    await putting
    assert await house.store.read(key) == b"wanted again"


async def test_sweeper__after_a_put__leaves_the_object_alone(house: House) -> None:
    key = artifact_key(digest(b"just put"))
    await GuardedStore(house.store, house.queue_redis).put_bytes(key, b"just put")
    age(house, key)  # its row is still to come
    report = await sweeper(house).run()
    assert (report.orphans, report.deleted) == (1, 0)
    assert await house.store.stat(key) is not None


async def test_timer__a_run_breaks__the_others_and_later_turns_go_on(house: House) -> None:
    turns: list[str] = []
    enough = asyncio.Event()

    class Breaks:
        async def run(self) -> None:
            turns.append("breaks")
            raise ValueError("not foreseen")

    class Goes:
        async def run(self) -> None:
            turns.append("goes")
            if turns.count("goes") == 2:
                enough.set()

    timer = SweepTimer([Breaks(), Goes()], house.queue_redis, interval_seconds=0.02)
    await timer.open()
    try:
        async with asyncio.timeout(30):
            await enough.wait()
    finally:
        await timer.aclose()
    assert turns[:4] == ["breaks", "goes"] * 2
