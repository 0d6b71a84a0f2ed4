"""Local copies of hot objects: filled on the second use, verified, bounded, shared, never in the way."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import os
import time
from collections.abc import AsyncGenerator, AsyncIterator
from pathlib import Path

import pytest

from services.gateway.hits import hot_folder, hot_objects
from services.gateway.hits.hot_folder import HotFolder, Incoming
from services.gateway.hits.hot_objects import HotObjects
from services.gateway.hits.stored_objects import StoredObjects
from services.gateway.serving.ports import Body
from shared.objects.files import FileObjectStore
from shared.objects.port import artifact_key, document_key
from shared.objects.verify import Verifier
from shared.process.threads import BoundedThreads

MIB = 1024 * 1024


def stored_objects(remote: Remote, hot: HotObjects) -> StoredObjects:
    return StoredObjects(remote, Verifier(remote, hot._threads, seconds=60), hot._threads, hot=hot)


class Remote(FileObjectStore):
    """A real store that, like a remote one, has nothing local; counts its streams."""

    streams = 0

    def local_path(self, key: str) -> Path | None:
        return None

    async def open_stream(
        self, key: str, start: int = 0, end: int | None = None
    ) -> AsyncGenerator[bytes, None]:
        self.streams += 1
        async for chunk in super().open_stream(key, start, end):
            yield chunk


@pytest.fixture
async def threads() -> AsyncIterator[BoundedThreads]:
    threads = BoundedThreads(4)
    yield threads
    await threads.aclose()


@pytest.fixture
def remote(tmp_path: Path, threads: BoundedThreads) -> Remote:
    return Remote(tmp_path / "objects", threads)


@pytest.fixture
async def hot(tmp_path: Path, remote: Remote, threads: BoundedThreads) -> AsyncIterator[HotObjects]:
    hot = HotObjects(remote, HotFolder(tmp_path / "hot", max_bytes=8 * MIB), threads)
    await hot.open()
    yield hot
    await hot.aclose()


async def put(remote: Remote, data: bytes) -> str:
    key = artifact_key(hashlib.sha256(data).hexdigest())
    await remote.put_bytes(key, data)
    return key


async def filled(hot: HotObjects) -> None:
    """Until no fill runs."""
    while hot._filling:
        await asyncio.gather(*hot._filling.values())


async def warmed(hot: HotObjects, key: str, size: int) -> Path | None:
    """Asked for twice; what a third request finds."""
    for _ in range(2):
        hot.find(key, size)
        await filled(hot)
    return hot.find(key, size)


def copies(tmp_path: Path) -> list[str]:
    return sorted(path.name for path in (tmp_path / "hot").iterdir())


def used_at(path: Path, at: float) -> None:
    """As a process that used the copy then would have marked it."""
    os.utime(path, ns=(int(at * 1e9), path.stat().st_mtime_ns))


async def body_of(found: Body | bytes | None) -> bytes:
    assert found is not None
    return found if isinstance(found, bytes) else b"".join([chunk async for chunk in found.chunks()])


async def test_find__first_use_streams_second_fills__then_by_path(
    hot: HotObjects, remote: Remote, tmp_path: Path
) -> None:
    data = os.urandom(MIB)
    key = await put(remote, data)
    objects = stored_objects(remote, hot)
    for use in range(4):
        found = await objects.open(key, 0, MIB, size_bytes=MIB)
        assert isinstance(found, object) and not isinstance(found, bytes) and found is not None
        assert bool(found.path) == (use >= 2)
        assert await body_of(found) == data
        await found.aclose()
        await filled(hot)
    assert remote.streams == 3, "two requests and one fill"
    assert copies(tmp_path) == [key.split("/")[1]]


@pytest.mark.parametrize(("start", "length"), [(0, MIB), (5, 300_000), (MIB - 10, 10), (0, 1000)])
async def test_open__slice_of_a_copy__those_bytes_without_the_store(
    hot: HotObjects, remote: Remote, start: int, length: int
) -> None:
    data = os.urandom(MIB)
    key = await put(remote, data)
    assert await warmed(hot, key, MIB) is not None
    await remote.delete(key)
    found = await stored_objects(remote, hot).open(key, start, length, size_bytes=MIB)
    assert await body_of(found) == data[start : start + length]


async def test_find__ranges_only__nothing_is_copied(hot: HotObjects, remote: Remote) -> None:
    key = await put(remote, b"x" * MIB)
    for _ in range(3):
        assert hot.find(key, MIB, whole=False) is None
    assert not hot._filling


async def test_fill__store_holds_other_bytes_than_the_key_says__no_copy(
    hot: HotObjects, remote: Remote, tmp_path: Path
) -> None:
    key = artifact_key("ab" * 32)
    await remote.put_bytes(key, b"y" * MIB)
    assert await warmed(hot, key, MIB) is None
    assert copies(tmp_path) == []


async def test_fill__object_is_missing__no_copy_and_no_noise(hot: HotObjects, tmp_path: Path) -> None:
    assert await warmed(hot, artifact_key("cd" * 32), MIB) is None
    assert copies(tmp_path) == []


@pytest.mark.parametrize("how", ["overwritten in place", "cut", "replaced", "removed"])
async def test_find__copy_was_changed_behind_our_back__not_served_and_made_anew(
    hot: HotObjects, remote: Remote, how: str
) -> None:
    data = os.urandom(MIB)
    key = await put(remote, data)
    path = await warmed(hot, key, MIB)
    assert path is not None
    if how == "removed":
        path.unlink()
    elif how == "replaced":
        other = path.with_suffix(".other")
        other.write_bytes(b"z" * MIB)
        other.replace(path)
    else:
        with path.open("r+b") as file:
            file.write(b"z")
            if how == "cut":
                file.truncate(MIB // 2)
    assert hot.find(key, MIB) is None
    await filled(hot)
    again = hot.find(key, MIB)
    assert again is not None and again.read_bytes() == data


async def test_restart__copies_are_hashed_before_they_are_served(
    hot: HotObjects, remote: Remote, threads: BoundedThreads, tmp_path: Path
) -> None:
    good, bad = os.urandom(MIB), os.urandom(MIB)
    good_key, bad_key = await put(remote, good), await put(remote, bad)
    assert await warmed(hot, good_key, MIB)
    assert await warmed(hot, bad_key, MIB)
    (tmp_path / "hot" / bad_key.split("/")[1]).write_bytes(b"z" * MIB)  # as a crash may leave it
    second = HotObjects(remote, HotFolder(tmp_path / "hot", max_bytes=8 * MIB), threads)
    await second.open()
    before = remote.streams
    path = await warmed(second, good_key, MIB)
    assert path is not None and remote.streams == before, "the copy that was there is taken"
    path = await warmed(second, bad_key, MIB)
    assert path is not None and path.read_bytes() == bad and remote.streams == before + 1
    await second.aclose()


@pytest.mark.parametrize("waited_for", [True, False])
async def test_neighbour_s_copy__taken_at_the_first_request_hashed_and_never_if_it_is_wrong(
    hot: HotObjects, remote: Remote, threads: BoundedThreads, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, waited_for: bool,
) -> None:  # fmt: skip
    if not waited_for:
        monkeypatch.setattr(hot_objects, "WAITED_FOR_BYTES", MIB - 1)
    good, bad = os.urandom(MIB), os.urandom(MIB)
    keys = [await put(remote, each) for each in (good, bad)]
    for key in keys:
        assert await warmed(hot, key, MIB)
    (tmp_path / "hot" / keys[1].split("/")[1]).write_bytes(b"z" * MIB)  # of the right size
    neighbour = HotObjects(remote, HotFolder(tmp_path / "hot", max_bytes=8 * MIB), threads)
    await neighbour.open()
    objects = stored_objects(remote, neighbour)
    before = remote.streams
    first = await objects.open(keys[0], 0, MIB, size_bytes=MIB)
    assert await body_of(first) == good and remote.streams == before + (not waited_for)
    await filled(neighbour)
    second = await objects.open(keys[0], 0, MIB, size_bytes=MIB)
    assert second is not None and not isinstance(second, bytes) and second.path
    assert await body_of(await objects.open(keys[1], 0, MIB, size_bytes=MIB)) == bad
    await filled(neighbour)  # a copy that is cut off by the close may leave its file to the collector
    await neighbour.aclose()


async def test_bound__least_recently_used_go_and_those_in_use_stay(
    hot: HotObjects, remote: Remote, tmp_path: Path
) -> None:
    keys = [await put(remote, os.urandom(MIB)) for _ in range(10)]
    for number, key in enumerate(keys[:8]):
        path = await warmed(hot, key, MIB)
        assert path is not None
        used_at(path, time.time() - 1000 + number)
    used_at(tmp_path / "hot" / keys[0].split("/")[1], time.time())  # by whomever
    assert await warmed(hot, keys[8], MIB) is not None
    left = copies(tmp_path)
    assert keys[0].split("/")[1] in left and keys[1].split("/")[1] not in left
    assert sum(path.stat().st_size for path in (tmp_path / "hot").iterdir()) <= 8 * MIB
    assert hot.find(keys[1], MIB) is None, "evicted: streamed"
    for path in (tmp_path / "hot").iterdir():
        used_at(path, time.time())
    before = copies(tmp_path)
    assert len(before) == 8
    assert await warmed(hot, keys[9], MIB) is None, "all are in use: there is no room"
    assert copies(tmp_path) == before


async def test_bound__too_large_a_share__not_copied(hot: HotObjects, remote: Remote, tmp_path: Path) -> None:
    key = await put(remote, b"x" * (2 * MIB + 1))
    assert await warmed(hot, key, 2 * MIB + 1) is None
    assert copies(tmp_path) == []


async def test_other_kinds_of_objects__not_copied(hot: HotObjects, remote: Remote, tmp_path: Path) -> None:
    data = b"x" * 1000
    key = document_key(hashlib.sha256(data).hexdigest())
    await remote.put_bytes(key, data)
    assert await warmed(hot, key, 1000) is None


async def test_two_processes_share_a_folder__one_copy_each_verified_by_both(
    hot: HotObjects, remote: Remote, threads: BoundedThreads, tmp_path: Path
) -> None:
    data = os.urandom(MIB)
    key = await put(remote, data)
    other = HotObjects(remote, HotFolder(tmp_path / "hot", max_bytes=8 * MIB), threads)
    await other.open()
    for each in (hot, other, hot, other):
        each.find(key, MIB)
    await asyncio.gather(filled(hot), filled(other))
    paths = [hot.find(key, MIB), other.find(key, MIB)]
    # Both copied at once: whose copy was replaced sees another inode and hashes what is there.
    await asyncio.gather(filled(hot), filled(other))
    for each, path in zip((hot, other), paths, strict=True):
        again = path or each.find(key, MIB)
        assert again is not None and again.read_bytes() == data
    assert copies(tmp_path) == [key.split("/")[1]]
    await other.aclose()


async def test_disk_full__streams_on_and_tries_again_later(
    hot: HotObjects, remote: Remote, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = os.urandom(MIB)
    key = await put(remote, data)
    objects = stored_objects(remote, hot)

    def full(self: Incoming, chunk: bytes) -> None:
        raise OSError(errno.ENOSPC, "no space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(Incoming, "write", full)
        for _ in range(3):
            assert await body_of(await objects.open(key, 0, MIB, size_bytes=MIB)) == data
            await filled(hot)
    assert copies(tmp_path) == []
    assert hot.find(key, MIB) is None and not hot._filling, "left alone for a minute"
    hot._paused_until = 0.0
    assert await warmed(hot, key, MIB) is not None


async def test_folder_cannot_be_made__off_and_streaming(
    remote: Remote, threads: BoundedThreads, tmp_path: Path
) -> None:
    (tmp_path / "file").write_bytes(b"")
    hot = HotObjects(remote, HotFolder(tmp_path / "file" / "hot", max_bytes=8 * MIB), threads)
    await hot.open()
    key = await put(remote, b"x" * MIB)
    assert await warmed(hot, key, MIB) is None
    assert await body_of(await stored_objects(remote, hot).open(key, 0, MIB, size_bytes=MIB))
    await hot.aclose()


async def test_start__leftovers_go_and_the_bound_holds(tmp_path: Path) -> None:
    root = tmp_path / "hot"
    root.mkdir()
    for name, age in (("old" + hot_folder.PART, 7200), ("young" + hot_folder.PART, 0)):
        path = root / name
        path.write_bytes(b"x" * 10)
        os.utime(path, (time.time() - age, time.time() - age))
    for number in range(10):
        path = root / f"{number:064x}"
        path.write_bytes(b"x" * MIB)
        os.utime(path, (number + 1, number + 1))
    (root / "notes").write_bytes(b"not ours")
    used = HotFolder(root, max_bytes=8 * MIB).prepare()
    names = {path.name for path in root.iterdir()}
    assert "old.part" not in names and {"young.part", "notes", f"{9:064x}"} <= names
    assert f"{0:064x}" not in names and used <= 8 * MIB


async def test_close__in_the_middle_of_a_fill__nothing_half_written_stays(
    remote: Remote, threads: BoundedThreads, tmp_path: Path
) -> None:
    hot = HotObjects(remote, HotFolder(tmp_path / "hot", max_bytes=64 * MIB), threads)
    await hot.open()
    key = await put(remote, os.urandom(12 * MIB))
    for _ in range(2):
        hot.find(key, 12 * MIB)
    while not any(path.stat().st_size for path in (tmp_path / "hot").iterdir()):
        await asyncio.sleep(0)
    await hot.aclose()
    assert copies(tmp_path) == []
