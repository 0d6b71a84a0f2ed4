"""What only a store of files can get wrong: modes, syncs, full disks, leftovers, descriptors."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import os
import shutil
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from shared.errors.passing import StoreUnavailable
from shared.objects import file_reads, files
from shared.objects.files import FileObjectStore
from shared.objects.port import FOLDERS, artifact_key
from shared.process.threads import BoundedThreads

DATA = b"wheel" * 1000
KEY = artifact_key(hashlib.sha256(DATA).hexdigest())


@pytest.fixture
async def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[FileObjectStore]:
    monkeypatch.setattr(files, "AHEAD", FOLDERS)  # as in a service
    threads = BoundedThreads(2)
    yield FileObjectStore(tmp_path / "objects", threads)
    await threads.aclose()


async def test_put__layout__one_hashed_level_readable_by_others(
    store: FileObjectStore, tmp_path: Path
) -> None:
    previous = os.umask(0o077)
    try:
        await store.put_bytes(KEY, DATA)
    finally:
        os.umask(previous)
    sha256 = KEY.rpartition("/")[2]
    path = tmp_path / "objects" / "artifacts" / sha256[:2] / sha256
    assert path == store.local_path(KEY)
    assert path.stat().st_mode & 0o777 == 0o644
    for folder in list(path.parents)[:3]:
        assert folder.stat().st_mode & 0o777 == 0o755


async def test_put_file__same_file_system__linked_not_copied(store: FileObjectStore, tmp_path: Path) -> None:
    spool = tmp_path / "spool"
    spool.write_bytes(DATA)
    spool.chmod(0o600)
    await store.put_file(KEY, spool, sha256=KEY.rpartition("/")[2])
    path = store.local_path(KEY)
    assert path is not None
    assert path.samefile(spool)
    assert path.stat().st_mode & 0o777 == 0o644


async def test_put_file__no_links_possible__copied_whole(
    store: FileObjectStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EXDEV, "other file system")

    monkeypatch.setattr(os, "link", refuse)
    spool = tmp_path / "spool"
    spool.write_bytes(DATA)
    await store.put_file(KEY, spool, sha256=KEY.rpartition("/")[2])
    path = store.local_path(KEY)
    assert path is not None and not path.samefile(spool)
    assert path.stat().st_mode & 0o777 == 0o644
    assert await store.read(KEY) == DATA
    assert list((tmp_path / "objects" / ".incoming").iterdir()) == []


@pytest.mark.parametrize("failing", ["write", "fsync"])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EACCES])
async def test_put_bytes__disk_fails__store_unavailable_and_nothing_visible(
    store: FileObjectStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: str, number: int
) -> None:
    await store.check()
    real = getattr(os, failing)
    path = store.local_path(KEY)
    assert path is not None

    def fail(descriptor: int, *rest: object) -> object:
        if failing == "write" and len(rest[0]) <= 100:  # type: ignore[arg-type]
            return real(descriptor, *rest)  # the event loop's own wake-ups
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, failing, fail)
    with pytest.raises(StoreUnavailable) as caught:
        await store.put_bytes(KEY, DATA)
    assert errno.errorcode[number] in caught.value.message
    monkeypatch.undo()
    assert not path.exists()
    assert await store.stat(KEY) is None
    assert list((tmp_path / "objects" / ".incoming").iterdir()) == []
    await store.put_bytes(KEY, DATA)
    assert await store.read(KEY) == DATA


async def test_put_bytes__order_of_syncs__file_before_name_before_folder(
    store: FileObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = store.local_path(KEY)
    assert path is not None
    await store.check()
    events: list[str] = []
    real_sync, real_replace = os.fsync, Path.replace

    def sync(descriptor: int) -> None:
        target = os.readlink(f"/proc/self/fd/{descriptor}")
        events.append("sync folder" if Path(target).is_dir() else "sync file")
        real_sync(descriptor)

    def replace(self: Path, target: Path) -> Path:
        events.append("name")
        return real_replace(self, target)

    monkeypatch.setattr(os, "fsync", sync)
    monkeypatch.setattr(Path, "replace", replace)
    await store.put_bytes(KEY, DATA)
    assert events == ["sync file", "name", "sync folder"]


async def test_check__leftovers_of_a_crash__old_ones_removed(store: FileObjectStore, tmp_path: Path) -> None:
    await store.check()
    incoming = tmp_path / "objects" / ".incoming"
    (incoming / "old").write_bytes(b"half")
    os.utime(incoming / "old", (1, 1))
    (incoming / "young").write_bytes(b"being written by another process")
    await store.check()
    assert [path.name for path in incoming.iterdir()] == ["young"]


async def test_check__new_store__has_the_folders_of_all_keys_and_makes_missing_ones_again(
    store: FileObjectStore, tmp_path: Path
) -> None:
    await store.check()
    top = tmp_path / "objects" / "artifacts"
    (top / "7f").rmdir()
    await store.check()
    assert sorted(path.name for path in top.iterdir()) == [f"{number:02x}" for number in range(256)]
    assert {path.stat().st_mode & 0o777 for path in top.iterdir()} == {0o755}


async def test_check__root_is_a_file__store_unavailable(tmp_path: Path) -> None:
    threads = BoundedThreads(1)
    (tmp_path / "objects").write_bytes(b"")
    with pytest.raises(StoreUnavailable):
        await FileObjectStore(tmp_path / "objects", threads).check()
    await threads.aclose()


async def test_put_bytes__folders_removed_behind_its_back__made_again(
    store: FileObjectStore, tmp_path: Path
) -> None:
    import shutil

    await store.put_bytes(KEY, DATA)
    shutil.rmtree(tmp_path / "objects")
    await store.put_bytes(KEY, DATA)
    assert await store.read(KEY) == DATA


async def test_open_stream__given_up_early__descriptor_closed(store: FileObjectStore) -> None:
    data = os.urandom(2_000_000)
    key = artifact_key(hashlib.sha256(data).hexdigest())
    await store.put_bytes(key, data)
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(20):
        stream = store.open_stream(key)
        await anext(stream)
        await stream.aclose()
    assert len(os.listdir("/proc/self/fd")) == before


async def test_read__object_replaced_meanwhile__stream_keeps_the_bytes_it_began_with(
    store: FileObjectStore, tmp_path: Path
) -> None:
    data = os.urandom(2_000_000)
    key = artifact_key(hashlib.sha256(data).hexdigest())
    await store.put_bytes(key, data)
    stream = store.open_stream(key)
    parts = [await anext(stream)]
    await store.delete(key)
    async for chunk in stream:
        parts.append(chunk)
    assert b"".join(parts) == data


async def test_read__large_object__goes_through_the_threads(store: FileObjectStore) -> None:
    data = os.urandom(file_reads.INLINE_READ_BYTES + 1)
    key = artifact_key(hashlib.sha256(data).hexdigest())
    await store.put_bytes(key, data)
    assert await store.read(key) == data
    first, second = await asyncio.gather(store.read(key), store.read(key, 1))
    assert (first, second) == (data, data[1:])


async def test_put__process_killed_in_the_middle__every_visible_object_is_whole(
    store: FileObjectStore, tmp_path: Path
) -> None:
    program = f"""
import asyncio, hashlib, os
from pathlib import Path
from shared.objects.files import FileObjectStore
from shared.objects.port import artifact_key
from shared.process.threads import BoundedThreads

async def main():
    root = Path({str(tmp_path)!r})
    store = FileObjectStore(root / "objects", BoundedThreads(4))
    async def put(number):
        data = os.urandom(300_000)
        sha256 = hashlib.sha256(data).hexdigest()
        if number % 2:
            await store.put_bytes(artifact_key(sha256), data)
        else:
            spool = root / f"spool-{{number}}"
            spool.write_bytes(data)
            await store.put_file(artifact_key(sha256), spool, sha256=sha256)
    print("started", flush=True)
    for number in range(0, 100_000, 4):
        await asyncio.gather(*(put(number + offset) for offset in range(4)))

asyncio.run(main())
"""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, cwd=Path(__file__).parents[3], stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    await process.stdout.readline()
    while len([found async for found in store.list("artifacts/")]) < 8:
        await asyncio.sleep(0.01)
    process.kill()
    await process.wait()
    keys = [found.key async for found in store.list("artifacts/")]
    assert len(keys) >= 8
    for key in keys:
        assert key == artifact_key(hashlib.sha256(await store.read(key)).hexdigest())


@pytest.mark.parametrize("name", ["artifacts", ".incoming"])
async def test_check__another_process_makes_the_folder_at_the_same_moment__it_stays(
    store: FileObjectStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    folder = tmp_path / "objects" / name
    real = Path.is_dir

    def is_dir(self: Path, **options: bool) -> bool:
        found = real(self, **options)
        if self == folder:
            os.makedirs(folder, exist_ok=True)  # just after it was looked at
        return found

    with monkeypatch.context() as patched:
        patched.setattr(Path, "is_dir", is_dir)
        await store.check()
        await store.put_bytes(KEY, DATA)
    assert folder.is_dir()
    assert not list((tmp_path / "objects").glob(".damaged/*"))


@pytest.mark.parametrize("name", ["artifacts", "artifacts/{}", "documents", ".incoming", ".damaged"])
@pytest.mark.parametrize("other", ["file", "pipe", "link"])
async def test_put__something_else_in_a_folders_place__is_put_aside(
    store: FileObjectStore, tmp_path: Path, name: str, other: str
) -> None:
    if other == "link" and name in ("artifacts", "documents"):
        pytest.skip("a link of a whole kind stays: its disk may not be mounted")
    await store.check()
    path = tmp_path / "objects" / name.format(KEY.rpartition("/")[2][:2])
    shutil.rmtree(path, ignore_errors=True)
    if other == "link":
        path.symlink_to(path.name)
    else:
        os.mkfifo(path) if other == "pipe" else path.write_bytes(b"x")
    await store.check()
    assert path.is_dir() or name == ".damaged"
    await store.put_bytes(KEY, DATA)
    await store.set_aside(KEY)
    await store.put_bytes(KEY, DATA)
    assert await store.read(KEY) == DATA


async def test_check__a_whole_kind_is_a_link_to_nowhere__stays_and_is_told(
    store: FileObjectStore, tmp_path: Path
) -> None:
    (tmp_path / "objects").mkdir()
    link = tmp_path / "objects" / "artifacts"
    link.symlink_to("not-mounted")
    with pytest.raises(StoreUnavailable):
        await store.check()
    assert link.is_symlink()


async def test_list__beside_links_to_nowhere__has_the_objects(store: FileObjectStore) -> None:
    await store.put_bytes(KEY, DATA)
    path = store.local_path(KEY)
    assert path is not None
    path.with_name("f" * 64).symlink_to("f" * 64)
    assert [found.key async for found in store.list("artifacts/")] == [KEY]
