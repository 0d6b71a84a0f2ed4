"""The spool: in memory while small, then in a file, and the same for its readers either way."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from services.fetcher.files.room import RelayRoom
from services.fetcher.files.spool import MEMORY_BYTES, Spool, SpoolBroken, clear_spool
from shared.errors.passing import StoreUnavailable
from shared.process.disk import Disk, DiskFloor
from shared.process.threads import BoundedThreads


@pytest.fixture
async def threads() -> AsyncIterator[BoundedThreads]:
    threads = BoundedThreads(2)
    yield threads
    await threads.aclose()


async def read_all(spool: Spool, start: int = 0) -> bytes:
    return b"".join([chunk async for chunk in spool.follow(start)])


async def test_append__small_download__makes_no_file(threads: BoundedThreads, tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool" / "1-1", threads)
    data = os.urandom(MEMORY_BYTES)
    spool.append(data[:100])
    spool.append(data[100:])
    assert spool.in_memory == data
    assert spool.read(90, 20) == data[90:110]
    assert not (tmp_path / "spool").exists()
    spool.seal()
    spool.release()
    assert await read_all(spool) == data


async def test_append__grows_beyond_memory__readers_go_on_in_the_file(
    threads: BoundedThreads, tmp_path: Path
) -> None:
    spool = Spool(tmp_path / "spool" / "1-1", threads)
    data = os.urandom(3 * MEMORY_BYTES)
    early = asyncio.create_task(read_all(spool))
    for start in range(0, len(data), 50_000):
        spool.append(data[start : start + 50_000])
        await asyncio.sleep(0)
    assert spool.in_memory is None
    assert spool.path.read_bytes() == data
    assert spool.read(MEMORY_BYTES - 5, 10) == data[MEMORY_BYTES - 5 : MEMORY_BYTES + 5]
    late = asyncio.create_task(read_all(spool, 7))
    await asyncio.sleep(0)
    spool.seal()
    spool.release()
    assert not spool.path.exists()
    assert await early == data
    assert await late == data[7:]


async def test_append__no_file_can_be_made__store_unavailable(
    threads: BoundedThreads, tmp_path: Path
) -> None:
    (tmp_path / "data").write_bytes(b"not a folder")
    spool = Spool(tmp_path / "data" / "spool" / "1-1", threads)
    spool.append(bytes(MEMORY_BYTES))
    with pytest.raises(StoreUnavailable):
        spool.append(b"x")
    assert spool.size == MEMORY_BYTES
    spool.release()


async def test_append__a_file_in_its_folders_place__is_removed(
    threads: BoundedThreads, tmp_path: Path
) -> None:
    (tmp_path / "spool").write_bytes(b"not a folder")
    spool = Spool(tmp_path / "spool" / "1-1", threads)
    spool.append(bytes(MEMORY_BYTES + 1))
    assert spool.size == MEMORY_BYTES + 1
    spool.release()


@pytest.mark.parametrize("size", [10, MEMORY_BYTES + 10])
async def test_release__not_sealed__readers_break_off(
    threads: BoundedThreads, tmp_path: Path, size: int
) -> None:
    spool = Spool(tmp_path / "spool" / "1-1", threads)
    spool.append(bytes(size))
    reader = asyncio.create_task(read_all(spool))
    await asyncio.sleep(0)
    spool.release()
    with pytest.raises(SpoolBroken):
        await reader


async def test_clear_spool__left_by_a_killed_fetcher__removed_and_what_is_written_now_stays(
    threads: BoundedThreads, tmp_path: Path
) -> None:
    folder = tmp_path / "spool"
    writing = Spool(folder / "writing", threads)
    writing.append(os.urandom(MEMORY_BYTES + 1))
    leftover = folder / "leftover"
    leftover.write_bytes(b"half of a file")
    for path in (leftover, folder / "writing"):
        os.utime(path, (0, 0))
    fresh = folder / "fresh"  # its writer may be about to lock it
    fresh.write_bytes(b"")

    assert clear_spool(folder) == 1
    assert {path.name for path in folder.iterdir()} == {"writing", "fresh"}
    writing.release()


class Full(DiskFloor):
    """No room at all."""

    def look(self) -> Disk:
        return Disk(0, 100, 50)


@pytest.mark.parametrize("size", [1000, MEMORY_BYTES + 1000])
async def test_passed_on__off_the_disk_and_its_memory_is_given_back_after_the_last_reader(
    tmp_path: Path, threads: BoundedThreads, size: int
) -> None:
    data, room = os.urandom(size), RelayRoom(10 * MEMORY_BYTES)
    spool = Spool(tmp_path / "spool" / "one", threads)
    spool.make_room(size, Full(tmp_path, None), room)
    assert spool.passing and room.taken_bytes == size
    spool.append(data)
    spool.seal()
    reading = spool.follow()
    first = await anext(reading)
    with spool.open() as file, spool.open() as other:  # each with an offset of its own
        assert file.read() == other.read() == data
    spool.release()
    assert room.taken_bytes == size and not list(tmp_path.rglob("one"))
    assert first + b"".join([piece async for piece in reading]) == data
    assert room.taken_bytes == 0


async def test_passed_on__more_than_the_memory_for_it__refused_with_both_reasons(
    tmp_path: Path, threads: BoundedThreads
) -> None:
    room = RelayRoom(1000)
    spool = Spool(tmp_path / "one", threads)
    with pytest.raises(StoreUnavailable, match=r"nearly full.*ORCHARD_RELAY_BYTES"):
        spool.make_room(1001, Full(tmp_path, None), room)
    spool.release()
    assert room.taken_bytes == 0


async def test_no_memory_for_it__as_for_what_must_be_stored__the_disk_alone_counts(
    tmp_path: Path, threads: BoundedThreads
) -> None:
    spool = Spool(tmp_path / "one", threads)
    with pytest.raises(StoreUnavailable, match="nearly full"):
        spool.make_room(1, Full(tmp_path, None), None)
    assert not spool.passing
