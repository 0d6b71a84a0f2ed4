"""The floor of free space, on a small file system."""

from __future__ import annotations

from pathlib import Path

import pytest

from shared.errors.passing import StoreUnavailable
from shared.process.disk import DiskFloor, in_words
from tests.support.small_disk import fill, small_disk

MB = 1024 * 1024


def test_check__a_file_that_would_go_below_the_floor__refused_with_the_reason(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 40) as folder:
        floor = DiskFloor(folder / "not" / "made", 10 * MB)
        floor.check(29 * MB)
        with pytest.raises(StoreUnavailable, match="ORCHARD_MIN_FREE_BYTES") as refused:
            floor.check(31 * MB)
        assert refused.value.status == 503
        fill(folder, leave_bytes=15 * MB)
        floor.check()
        assert floor.look().is_low and "soon" in floor.look().problem()
        with pytest.raises(StoreUnavailable):
            floor.check(6 * MB)


def test_floor__unset__a_twentieth_of_a_small_disk(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 40) as folder:
        assert DiskFloor(folder, None).look().floor_bytes == 2 * MB
        ballast = fill(folder, leave_bytes=MB)
        assert DiskFloor(folder, None).look().is_short
        DiskFloor(folder, 0).check(100 * MB)  # 0: no floor
        ballast.unlink()
        assert DiskFloor(folder, None).look().problem() == ""


@pytest.mark.parametrize(("count", "text"), [(0, "0 bytes"), (3_400_000_000, "3.4 GB"), (2_000, "2 kB")])
def test_in_words__a_number_of_bytes__for_people(count: int, text: str) -> None:
    assert in_words(count) == text
