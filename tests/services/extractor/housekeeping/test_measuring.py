"""What is stored is counted: by folder, with the database and the disk, a month of counts."""

from __future__ import annotations

import msgspec

from services.extractor.housekeeping.measuring import Measuring
from shared.objects import measured
from shared.objects.measured import (
    KEY,
    Amount,
    Measured,
    growth_bytes_per_day,
    keep_measured,
    read_measured,
)
from shared.objects.port import FOLDERS
from tests.services.extractor.conftest import House

DAY = 86_400.0


def count(days: float, size_bytes: int) -> Measured:
    return Measured(days * DAY, {"artifacts": Amount(1, size_bytes)}, database_bytes=10)


async def test_count__every_folder_the_database_and_the_disk(house: House) -> None:
    await house.keep("demo-1.0.whl", b"x" * 1000)
    await house.store.put_bytes(f"variants/{'a' * 64}", b"page")
    await Measuring(house.stores).run()
    (found,) = await read_measured(house.queue_redis)
    held = {"artifacts": Amount(1, 1000), "variants": Amount(1, 4)}
    assert found.folders == {**dict.fromkeys(FOLDERS, Amount()), **held}
    assert found.object_bytes == 1004
    assert found.database_bytes > 1_000_000 and found.disk_free_bytes > 0


async def test_counts__the_newest_first_no_more_than_a_month_and_none_that_cannot_be_read(
    house: House,
) -> None:
    for day in range(3):
        await keep_measured(house.queue_redis, count(day, day))
    await house.queue_redis.command("LPUSH", KEY, b"{}")
    assert [each.at for each in await read_measured(house.queue_redis)] == [2 * DAY, DAY, 0]
    filler = [msgspec.json.encode(count(9, 1))] * measured.KEPT
    await house.queue_redis.command("LPUSH", KEY, *filler)
    await keep_measured(house.queue_redis, count(10, 1))
    assert await house.queue_redis.command("LLEN", KEY) == measured.KEPT


def test_growth__of_a_week_at_most_and_of_six_hours_at_least() -> None:
    assert growth_bytes_per_day([]) is None
    assert growth_bytes_per_day([count(10.1, 500), count(10, 0)]) is None
    assert growth_bytes_per_day([count(10, 400), count(6, 0)]) == 100
    assert growth_bytes_per_day([count(10, 700), count(3, 0), count(1, 10**9)]) == 100
    assert growth_bytes_per_day([count(10, 0), count(6, 400)]) == -100
