"""What housekeeping asks the stores for 1,000 objects: batches, and no more where there is more of other
things."""

from __future__ import annotations

import hashlib
import json
import os
import time
from typing import Any

import pytest

from services.extractor.housekeeping import evictor, scrubber, sweeper
from services.extractor.housekeeping.evictor import Evictor
from services.extractor.housekeeping.scrubber import Scrubber
from services.extractor.housekeeping.sweeper import ROUND, Sweeper
from services.extractor.housekeeping.timer import Resting
from shared.objects.port import ARTIFACTS, VARIANTS, artifact_key
from shared.objects.verify import Verifier
from shared.redis.client import RedisClient
from tests.services.extractor.conftest import House
from tests.services.extractor.housekeeping.test_evictor import source, stored, there  # noqa: F401
from tests.services.extractor.housekeeping.test_sweeper import head_naming, orphan

OLD = time.time() - 7200


def put_many(house: House, kind: str, count: int) -> list[str]:
    """Small old objects, their keys."""
    keys = [f"{kind}/{hashlib.sha256(b'%d' % number).hexdigest()}" for number in range(count)]
    for key in keys:
        path = house.store.local_path(key)
        assert path is not None
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
        os.utime(path, (OLD, OLD))
    return keys


async def calls(redis: RedisClient) -> int:
    return int((await redis.raw.info("stats"))["total_commands_processed"])


async def test_sweep__large_bodies__heads_are_read_once_however_many_bodies_there_are(house: House) -> None:
    keys = put_many(house, VARIANTS, 3000)
    heads = {f"orchard:package_index:pypi:simple/p{n}": head_naming(key) for n, key in enumerate(keys)}
    await house.cache_redis.raw.mset(heads)
    before = await calls(house.cache_redis)
    report = await Sweeper(house.stores, delete=True).run()
    assert (report.objects, report.orphans) == (3000, 0)
    # SCAN and MGET for each 1,000 keys, and what INFO and the clock ask.
    assert await calls(house.cache_redis) - before <= 2 * (len(heads) // 1000 + 3) + 4


async def test_sweep__orphaned_bodies__heads_are_read_twice_however_many_go(house: House) -> None:
    keys = put_many(house, VARIANTS, 200)
    heads = {f"orchard:package_index:pypi:simple/p{n}": head_naming(key) for n, key in enumerate(keys[:100])}
    await house.cache_redis.raw.mset(heads)
    before = await calls(house.cache_redis)
    assert (await Sweeper(house.stores, delete=True).run()).deleted == 100
    assert await calls(house.cache_redis) - before <= 2 * 2 + 4
    assert [await house.store.stat(key) is not None for key in keys] == [True] * 100 + [False] * 100


async def test_sweep__files__two_statements_for_each_thousand(house: House) -> None:
    put_many(house, ARTIFACTS, 2500)
    before = house.database.statements
    assert (await Sweeper(house.stores, delete=False).run()).orphans == 2500
    assert house.database.statements - before == 6  # by rows of files, and by builds


async def test_sweep__more_than_one_run_looks_at__the_next_goes_on(house: House) -> None:
    files, bodies = put_many(house, ARTIFACTS, 25), put_many(house, VARIANTS, 5)
    places = []
    for _ in range(3):
        assert (await Sweeper(house.stores, delete=False, most=10).run()).objects == 10
        places.append(json.loads(await house.queue_redis.raw.get(ROUND))["at"])
    assert places == [sorted(files)[9], sorted(files)[19], ""]
    found = [await Sweeper(house.stores, delete=True, most=10).run() for _ in range(3)]
    assert [each.deleted for each in found] == [10, 10, 10]
    assert not any([await house.store.stat(key) for key in (*files, *bodies)])
    key = await orphan(house)
    assert (await Sweeper(house.stores, delete=True, most=10).run()).deleted in (
        0,
        1,
    )  # the round may end first
    await Sweeper(house.stores, delete=True, most=10).run()
    assert await house.store.stat(key) is None


async def test_sweep__its_place_is_of_a_stranger__begins_anew(house: House) -> None:
    await house.queue_redis.raw.set(ROUND, b"\xff no place")
    await orphan(house)
    assert (await Sweeper(house.stores, delete=True).run()).deleted == 1


async def test_sweep__by_hand__is_of_everything_and_moves_nobody(house: House) -> None:
    put_many(house, ARTIFACTS, 25)
    await Sweeper(house.stores, delete=False, most=10).run()
    place = await house.queue_redis.raw.get(ROUND)
    assert (await Sweeper(house.stores, delete=False, most=0).run()).objects == 25
    assert await house.queue_redis.raw.get(ROUND) == place


async def test_scrub__statements_and_commands_are_of_batches(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scrubber, "LEAST_OBJECTS", 10_000)
    await house.database.execute(
        "INSERT INTO artifacts (sha256, size_bytes, content_type, object_key) "
        "SELECT sha256(n::text::bytea), 1, 'x', 'artifacts/' || encode(sha256(n::text::bytea), 'hex') "
        "FROM generate_series(1, 2000) n"
    )
    statements, commands = house.database.statements, await calls(house.queue_redis)
    report = await Scrubber(
        house.stores, Verifier(house.store, house.threads, seconds=1), days=30, interval_seconds=3600
    ).run()
    assert (report.looked, report.at) == (2000, "")
    assert house.database.statements - statements <= 2000 // scrubber.BATCH + 3
    assert await calls(house.queue_redis) - commands <= 2000 // scrubber.BATCH + 5


async def test_scrub__a_runs_share__is_one_of_the_keys(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scrubber, "LEAST_OBJECTS", 1)
    for number in range(400):
        await house.keep(f"demo-{number}.whl", b"%d" % number)
    verifier = Verifier(house.store, house.threads, seconds=1)
    found = [
        await Scrubber(house.stores, verifier, days=1, interval_seconds=8640).run() for _ in range(3)
    ]  # 12 % of a round, files are half of it: 96 of 400
    assert all(50 < each.scrubbed < 150 for each in found)
    assert found[0].at < found[1].at < found[2].at


async def test_eviction__more_files_than_are_held__all_that_are_due_go_the_longest_unused_first(
    house: House,
    source: int,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(evictor, "MOST_HELD", 2)
    monkeypatch.setattr(evictor, "BATCH", 1)
    files = [await stored(house, source, f"f-{n}.whl", days=30 - n) for n in range(9)]
    report = await Evictor(house.stores, days=0, max_bytes=4 * 100_000).run()
    assert (report.files, report.evicted, report.still_over_bytes) == (9, 5, 0)
    assert await there(house, *files) == [False] * 5 + [True] * 4
    report = await Evictor(house.stores, days=7, max_bytes=0).run()
    assert (report.files, report.evicted) == (4, 4)


async def test_eviction__protected_files_fill_memory__those_behind_them_go(
    house: House,
    source: int,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(evictor, "MOST_HELD", 2)
    kept = [await stored(house, source, f"kept-{n}.whl", days=30, upstream_url="") for n in range(5)]
    goes = await stored(house, source, "goes.whl", days=20)
    report = await Evictor(house.stores, days=7, max_bytes=0).run()
    assert (report.protected, report.evicted) == (5, 1)
    assert await there(house, *kept, goes) == [True] * 5 + [False]


async def test_eviction__answers_are_looked_through_once(house: House, source: int) -> None:  # noqa: F811
    for n in range(20):
        await stored(house, source, f"f-{n}.whl")
    await house.database.execute(
        "INSERT INTO resolutions (key, protocol, body, computed_at) "
        "SELECT sha256(n::text::bytea), 'pypi', '{}', now() - interval '1 day' "
        "FROM generate_series(1, 1600) n"
    )
    before = house.database.statements
    assert (await Evictor(house.stores, days=7, max_bytes=0).run()).evicted == 20
    # All answers once. Under its lock, for each file: new ones of both kinds, and whether it may still go.
    assert house.database.statements - before <= 1600 // evictor.BODIES + 20 * 3 + 8


async def test_resting__what_took_long__does_not_run_again_at_once(house: House) -> None:
    ran: list[Any] = []

    class Slow:
        async def run(self) -> str:
            ran.append(house)
            await house.queue_redis.raw.blpop(["nobody-writes-here"], timeout=0.2)
            return "done"

    assert await Resting(Slow(), house.queue_redis).run() == "done"
    assert await Resting(Slow(), house.queue_redis).run() is None, "nor in another extractor"
    assert len(ran) == 1


async def test_key__of_an_artifact__sorts_by_its_digest() -> None:
    """What `after` of a listing and the scrubber's place rely on."""
    digests = sorted(hashlib.sha256(b"%d" % number).hexdigest() for number in range(9))
    assert [artifact_key(each) for each in digests] == sorted(artifact_key(each) for each in digests)
    assert list(sweeper.FOLDERS) == sorted(sweeper.FOLDERS)
