"""A disk that fills: the longest unused files go before anything is refused."""

from __future__ import annotations

from pathlib import Path

from services.extractor.housekeeping.evictor import PressureEvictor
from shared.process.disk import Disk, DiskFloor
from tests.services.extractor.conftest import House
from tests.services.extractor.housekeeping.test_evictor import SIZE, source, stored, there

__all__ = ["source"]


class Scripted(DiskFloor):
    """So much is free, and what goes is free afterwards."""

    def __init__(self, folder: Path, free_bytes: int) -> None:
        super().__init__(folder, None)
        self.free_bytes = free_bytes

    def look(self) -> Disk:
        return Disk(self.free_bytes, 100 * SIZE, SIZE)


def pressure(house: House, free_bytes: int, tmp_path: Path) -> PressureEvictor:
    return PressureEvictor(house.stores, Scripted(tmp_path, free_bytes))


async def test_disk_low__the_longest_unused_go_until_three_floors_are_free(
    house: House, source: int, tmp_path: Path
) -> None:
    oldest = await stored(house, source, "oldest.whl", days=3)
    older = await stored(house, source, "older.whl", days=2)
    young = await stored(house, source, "young.whl", days=0.1)
    assert not await pressure(house, SIZE, tmp_path).relieve()
    assert await there(house, oldest, older, young) == [False, False, True]


async def test_disk_low__what_was_used_just_now_stays(house: House, source: int, tmp_path: Path) -> None:
    now = await stored(house, source, "now.whl", days=0)
    assert not await pressure(house, 0, tmp_path).relieve()
    assert await there(house, now) == [True]


async def test_disk_well__nothing_goes(house: House, source: int, tmp_path: Path) -> None:
    old = await stored(house, source, "old.whl", days=300)
    assert await pressure(house, 2 * SIZE, tmp_path).relieve()
    assert await there(house, old) == [True]
