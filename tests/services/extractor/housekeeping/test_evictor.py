"""Eviction: what goes, in which order, and everything that must stay."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

from services.extractor.housekeeping import evictor as module
from services.extractor.housekeeping.evictor import EvictionReport, Evictor
from services.extractor.housekeeping.sweeper import Sweeper
from services.gateway.hits.stored_objects import StoredObjects
from services.gateway.hits.uses import UseLog
from shared.artifacts.uses import keep_uses, read_uses, report_uses, reported_use
from shared.imports import rows
from shared.models import FileName
from shared.objects.guard import GuardedStore
from shared.objects.port import artifact_key
from shared.objects.verify import Verifier
from shared.process.threads import BoundedThreads
from shared.protocols.roles.importing import Imported, Listed
from tests.services.extractor.conftest import House
from tests.support.rows import row_of

DAY = 86_400.0
SIZE = 100_000


@pytest.fixture
async def source(house: House) -> AsyncIterator[int]:
    """An enabled source."""
    row = await house.database.fetchrow(
        "INSERT INTO upstream_sources (protocol, name, url) "
        "VALUES ('pypi', 'main', 'http://upstream.example/simple/') RETURNING id"
    )
    assert row is not None
    yield row["id"]


async def stored(
    house: House, source: int, name: str, *, days: float = 30, size: int = SIZE, **fields: str
) -> str:
    """A file that was put so many days ago; its digest."""
    content = name.encode().ljust(size, b".")
    sha256 = hashlib.sha256(content).hexdigest()
    key = artifact_key(sha256)
    await house.store.put_bytes(key, content)
    file = FileName("pypi", "demo", sha256, name)
    came = {"source_id": source, "upstream_url": f"http://upstream.example/{name}"}
    await house.artifacts.get_or_create_artifact(row_of(file, content, **came | fields))
    path = house.store.local_path(key)
    assert path is not None
    os.utime(path, (time.time() - days * DAY,) * 2)
    return sha256


async def evict(house: House, *, days: int = 7, max_bytes: int = 0, dry_run: bool = False) -> EvictionReport:
    return await Evictor(
        house.stores, days=days, max_bytes=max_bytes, dry_run=dry_run
    ).run()  # fmt: skip


async def there(house: House, *digests: str) -> list[bool]:
    return [await house.store.stat(artifact_key(each)) is not None for each in digests]


async def test_foreign_object_in_a_shared_store__neither_evicted_nor_swept(house: House, source: int) -> None:
    old = await stored(house, source, "old-1.0.whl", days=8)
    path = house.store.local_path(artifact_key(old))
    assert path is not None
    foreign = path.parent / "notes of somebody.txt"
    foreign.write_bytes(b"x" * SIZE)
    os.utime(foreign, (time.time() - 30 * DAY,) * 2)
    assert (await evict(house)).evicted == 1
    sweeper = Sweeper(house.stores, delete=True)
    assert (await sweeper.run()).orphans == 0
    assert foreign.exists()


async def test_age__unused_for_long__goes_and_its_row_stays(house: House, source: int) -> None:
    old = await stored(house, source, "old-1.0.whl", days=8)
    young = await stored(house, source, "young-1.0.whl", days=6)
    report = await evict(house, dry_run=True)
    assert (report.due, report.due_bytes, report.evicted) == (1, SIZE, 0)
    assert await there(house, old, young) == [True, True]
    report = await evict(house)
    assert (report.files, report.evicted, report.evicted_bytes) == (2, 1, SIZE)
    assert await there(house, old, young) == [False, True]
    facts = await house.artifacts.get_cached_url_with_artifact(FileName("pypi", "demo", old, "old-1.0.whl"))
    assert facts is not None and facts.sha256 == old


async def test_size__longest_unused_first_until_it_fits(house: House, source: int) -> None:
    files = [await stored(house, source, f"f-{n}.whl", days=20 - n) for n in range(4)]
    await report_uses(house.queue_redis, {bytes.fromhex(files[0]): time.time() - 2 * DAY})
    report = await evict(house, days=0, max_bytes=2 * SIZE)
    assert await there(house, *files) == [True, False, False, True], "the oldest was used since"
    assert (report.evicted, report.still_over_bytes) == (2, 0)


async def test_used_within_a_day__stays_even_when_too_much_is_stored(house: House, source: int) -> None:
    digest = await stored(house, source, "a.whl", days=0.5)
    report = await evict(house, days=0, max_bytes=1)
    assert report.evicted == 0 and report.still_over_bytes == SIZE - 1
    assert await there(house, digest) == [True]


async def hold(house: House, sha256: str, name: str) -> None:
    await house.database.execute(
        "INSERT INTO quarantine (protocol, project, file_id, filename, version, sha256, advisory) "
        "VALUES ('pypi', 'demo', $1, $2, '1', $3, 'MAL-1')",
        sha256, name, bytes.fromhex(sha256),
    )  # fmt: skip


async def test_under_quarantine__stays_under_whatever_name_and_however_full_it_is(
    house: House, source: int
) -> None:
    evil, other = [await stored(house, source, name) for name in ("evil-1.0.whl", "other-1.0.whl")]
    again = FileName("pypi", "again", evil, "again-1.0.whl")  # the same bytes under a name that is none
    came = {"source_id": source, "upstream_url": "http://upstream.example/again"}
    await house.artifacts.get_or_create_artifact(row_of(again, b"evil-1.0.whl".ljust(SIZE, b"."), **came))
    await hold(house, evil, "evil-1.0.whl")
    report = await evict(house, max_bytes=1)
    assert (report.evicted, report.protected) == (1, 1)
    assert await there(house, evil, other) == [True, False]


async def test_under_quarantine_since_the_run_began__stays(
    house: House, source: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    evil = await stored(house, source, "evil-1.0.whl")
    named = Evictor._named

    async def held_meanwhile(self: Evictor, since: float) -> Any:
        if since:  # once more under the lock, before the file goes
            await hold(house, evil, "evil-1.0.whl")
        return await named(self, since)

    monkeypatch.setattr(Evictor, "_named", held_meanwhile)
    assert (await evict(house)).evicted == 0
    assert await there(house, evil) == [True]


async def test_named_by_a_resolution_or_a_lock__stays(house: House, source: int) -> None:
    by_digest = await stored(house, source, "resolved.whl")
    by_name = await stored(house, source, "named-1.0.tgz")
    locked = await stored(house, source, "locked.whl")
    root = await stored(house, source, "root.whl")
    nobody = await stored(house, source, "nobody.whl")
    graph = {"nodes": [{"sha256": by_digest}, {"filename": "named-1.0.tgz", "sha256": ""}]}
    await house.database.execute(
        "INSERT INTO resolutions (key, protocol, artifact, body) VALUES ($1, 'npm', $2, $3)",
        bytes(32), bytes.fromhex(root), json.dumps(graph, separators=(",", ":")).encode(),
    )  # fmt: skip
    await house.database.execute(
        "INSERT INTO ensures (key, body) VALUES ($1, $2)",
        bytes(32), json.dumps({"packages": [{"sha256": locked}]}, separators=(",", ":")).encode(),
    )  # fmt: skip
    report = await evict(house)
    assert await there(house, by_digest, by_name, locked, root, nobody) == [True, True, True, True, False]
    assert report.protected == 4


async def test_named_by_any_of_many_answers__stays(
    house: House, source: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BODIES", 2)  # some at a time, however many there are
    kept = [await stored(house, source, f"kept-{number}.whl") for number in range(5)]
    nobody = await stored(house, source, "nobody.whl")
    for number, digest in enumerate(kept):
        for table in (
            "INSERT INTO ensures (key, body) VALUES ($1, $2)",
            "INSERT INTO resolutions (key, protocol, body) VALUES ($1, 'npm', $2)",
        ):
            named = digest if number % 2 == ("ensures" in table) else "0" * 64
            await house.database.execute(table, bytes([number]) * 32, json.dumps({"sha256": named}).encode())
    assert (await evict(house)).evicted == 1
    assert await there(house, *kept, nobody) == [True] * 5 + [False]


@pytest.mark.parametrize("why", ["metadata", "small", "no upstream", "disabled", "second name", "imported"])
async def test_not_to_be_had_again_or_not_worth_it__stays(house: House, source: int, why: str) -> None:
    unusual = {"metadata": {"role": "metadata"}, "no upstream": {"upstream_url": ""}}
    fields: dict[str, Any] = dict(unusual.get(why, {}))
    digest = await stored(house, source, "a.whl", size=1000 if why == "small" else SIZE, **fields)
    if why == "disabled":
        await house.database.execute("UPDATE upstream_sources SET enabled = false")
    if why == "second name":  # the same bytes came from a source that is no more
        await stored(house, source + 1, "a.whl", project="other")
    if why == "imported":  # it is fetched from this very object
        listed = Listed("demo", "1.0", "a.whl", "demo/a.whl")
        await rows.store(house.database, "pypi", [Imported(listed, digest, SIZE, {})])
    assert (await evict(house)).evicted == 0
    assert await there(house, digest) == [True]


async def test_being_put__left_alone(house: House, source: int) -> None:
    digest = await stored(house, source, "a.whl")
    guarded = GuardedStore(house.store, house.queue_redis)
    await guarded.put_bytes(artifact_key("ab" * 32), b"other")
    content = await house.store.read(artifact_key(digest))
    await guarded.put_bytes(artifact_key(digest), content)  # its mark stands for a while
    path = house.store.local_path(artifact_key(digest))
    assert path is not None
    os.utime(path, (time.time() - 30 * DAY,) * 2)
    assert (await evict(house)).evicted == 0
    assert await there(house, digest) == [True]


async def test_uses__told_by_a_gateway__kept_in_the_database(house: House, source: int) -> None:
    digest = await stored(house, source, "a.whl")
    uses = UseLog(house.queue_redis)
    await uses.open()
    threads = BoundedThreads(1)
    house.resources.add("threads", threads.aclose)
    objects = StoredObjects(house.store, Verifier(house.store, threads, seconds=60), threads, uses=uses)
    for _ in range(3):
        assert await objects.open(artifact_key(digest), 0, SIZE, size_bytes=SIZE)
    await uses.aclose()
    raw = bytes.fromhex(digest)
    assert time.time() - await reported_use(house.queue_redis, raw) < 60
    await report_uses(house.queue_redis, {bytes(32): time.time()})  # of a file that has no row
    assert await keep_uses(house.queue_redis, house.database) == 2
    assert await reported_use(house.queue_redis, raw) == 0.0
    assert time.time() - (await read_uses(house.database, [raw, bytes(32)]))[raw] < 60
    await report_uses(house.queue_redis, {raw: 1000.0})  # late, from a gateway that was cut off
    await keep_uses(house.queue_redis, house.database)
    assert (await read_uses(house.database, [raw]))[raw] > 1000.0
    assert (await evict(house)).evicted == 0
