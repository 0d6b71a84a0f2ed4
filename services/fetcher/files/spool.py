"""A download in progress: bytes that one writer appends and any number of readers follow.

The first 256 KiB are kept in memory, which is all of most files: making and removing a file cost more than
such a download. From then on they are in a file. Nothing is buffered per reader: each reads at its own pace
(a file's pages are in the kernel's memory anyway). The file loses its name when the writer is done with it
and goes when the last reader has closed it, so that the writer never waits for readers.

The upload to the object store reads it, too: that of a large file begins while the rest is still downloading,
but only where the index or the address promises a SHA256, so that the final name is known before the end. For
other files (npm names a SHA512, Maven a SHA1) it begins when the download has ended: a copy on the server's
side from a temporary name would cost as much as it saves.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import io
import os
import time
from collections.abc import AsyncGenerator, AsyncIterator
from pathlib import Path
from typing import BinaryIO, Literal

from services.fetcher.files.room import RelayRoom
from shared.errors.passing import StoreUnavailable
from shared.objects.port import GrowingPut, ObjectStore, artifact_key
from shared.process.disk import DiskFloor, make_expendable
from shared.process.threads import BoundedThreads

CHUNK_BYTES = 256 * 1024
MEMORY_BYTES = 256 * 1024  # of each download at most; bounded by the slots: 64 MiB for 256

_OPENED = Path("/proc/self/fd")  # a file by its descriptor: each opening has an offset of its own

State = Literal["open", "sealed", "broken"]


class SpoolBroken(Exception):
    """The download failed: what was read so far must not be taken for the whole."""


class Spool:
    """The spool of one generation of one job, in the file `path` if it grows; the creator calls `release`."""

    def __init__(self, path: Path, threads: BoundedThreads) -> None:
        self.path = path
        self.size = 0  # bytes written so far
        self.total: int | None = None  # bytes it will have, once known
        self.state: State = "open"
        self._memory: bytearray | None = bytearray()  # all bytes, until there is a file
        self._descriptor = -1
        self._room: RelayRoom | None = None  # whose memory it is in, and `_taken` bytes of it
        self._taken = 0
        self._short = StoreUnavailable("the disk is nearly full")
        self._threads = threads
        self._holders = 1
        self._waiting: list[asyncio.Future[None]] = []

    # --- the writer -------------------------------------------------------------------------------

    @property
    def passing(self) -> bool:
        """Whether it is kept off the disk: then its file is not stored."""
        return self._room is not None

    def make_room(self, wanted_bytes: int, floor: DiskFloor, memory: RelayRoom | None) -> None:
        """For so many bytes more: on the disk, or before anything was written in `memory`. Raises
        `StoreUnavailable`."""
        try:
            if not self.passing:
                floor.check(wanted_bytes)
        except StoreUnavailable as error:
            if memory is None or self.size:
                raise
            self._room, self._short = memory, error
        self._reserve(self.size + wanted_bytes)

    def _reserve(self, size: int) -> None:
        """It will have so many bytes. Raises `StoreUnavailable` if it is passed on and memory lacks them."""
        if self._room is not None and size > self._taken:
            self._room.take(size - self._taken, self._short)
            self._taken = size

    def append(self, chunk: bytes) -> None:
        """Write at the end and wake the readers. Raises `StoreUnavailable` when the disk fails or is full.

        On the loop: a write goes to the kernel's memory (256 KiB in some 50 µs), less than a thread
        switch each would cost at full speed.
        """
        self._reserve(self.size + len(chunk))
        memory = self._memory
        if memory is not None and self.size + len(chunk) <= MEMORY_BYTES:
            memory += chunk
            self.size += len(chunk)
        else:
            try:
                if memory is not None:
                    self._move_to_file(memory)
                self.size += _write_at(self._descriptor, chunk, self.size)
            except OSError as error:
                raise _failed(error) from error
        self._wake()

    @property
    def in_memory(self) -> bytes | None:
        """All bytes written so far; None if they are in the file."""
        return None if self._memory is None else bytes(self._memory)

    def read(self, start: int, length: int) -> bytes:
        """Bytes already written, for comparing them with what an upstream sends again."""
        if self._memory is not None:
            return bytes(self._memory[start : start + length])
        return os.pread(self._descriptor, min(length, max(0, self.size - start)), start)

    def open(self) -> BinaryIO:
        """All bytes written so far, to be read elsewhere; close it."""
        if self._memory is not None:
            return io.BytesIO(self._memory)
        path = _OPENED / str(self._descriptor) if self.passing else self.path
        return path.open("rb")

    def _move_to_file(self, memory: bytearray) -> None:
        if self.passing:
            self._descriptor = os.memfd_create(self.path.name, os.MFD_CLOEXEC)
            _write_at(self._descriptor, memory, 0)
            self._memory = None
            return
        make_expendable(self.path.parent)
        flags = os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
        descriptor = self._descriptor = os.open(self.path, flags, 0o600)
        with contextlib.suppress(OSError):  # tells `clear_spool` of other fetchers that somebody is writing
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        _write_at(descriptor, memory, 0)
        self._memory = None

    async def reach(self, size: int) -> bool:
        """Wait until so many bytes are written; False when the download ended before."""
        while self.size < size:
            if self.state != "open":
                return False
            await self._changed()
        return True

    def seal(self) -> None:
        """All is written, verified and stored: readers may end normally."""
        if self.state == "open":
            self.state = "sealed"
            self._wake()

    def release(self) -> None:
        """The writer is done. Unless sealed, readers break off. The file's name goes at once."""
        if self.state == "open":
            self.state = "broken"
        self._wake()
        if self._descriptor >= 0 and not self.passing:
            with contextlib.suppress(FileNotFoundError):
                self.path.unlink()
        self._let_go()

    # --- readers ----------------------------------------------------------------------------------

    async def follow(self, start: int = 0, end: int | None = None) -> AsyncGenerator[bytes]:
        """Bytes from `start` as they come, up to `end` if given, else to the sealed end.

        Raises `SpoolBroken` if the download fails. Holds nothing but a file offset; close it (`aclosing`).
        """
        self._holders += 1
        position = start
        try:
            while True:
                limit = self.size if end is None else min(self.size, end)
                if position < limit:
                    chunk = await self._read(position, min(CHUNK_BYTES, limit - position))
                    position += len(chunk)
                    yield chunk
                elif (end is not None and position >= end) or self.state == "sealed":
                    return
                elif self.state == "broken":
                    raise SpoolBroken
                else:
                    await self._changed()
        finally:
            self._let_go()

    async def _read(self, position: int, length: int) -> bytes:
        if self._memory is not None:
            return bytes(self._memory[position : position + length])
        buffer = bytearray(length)
        try:
            count = os.preadv(self._descriptor, [buffer], position, os.RWF_NOWAIT)
            if count > 0:
                return bytes(memoryview(buffer)[:count])
        except (OSError, AttributeError):
            pass  # not in memory any more, or the file system cannot say: in a thread
        return await self._threads.run(os.pread, self._descriptor, length, position)

    async def _changed(self) -> None:
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(waiter)
        await waiter

    def _wake(self) -> None:
        waiting, self._waiting = self._waiting, []
        for waiter in waiting:
            if not waiter.done():
                waiter.set_result(None)

    def _let_go(self) -> None:
        self._holders -= 1
        if self._holders:
            return
        if self._descriptor >= 0:
            os.close(self._descriptor)
        if self._room is not None:
            self._room.give_back(self._taken)
            self._taken = 0


def _write_at(descriptor: int, data: bytes | bytearray, position: int) -> int:
    view = memoryview(data)
    while view:
        written = os.pwrite(descriptor, view, position)
        position += written
        view = view[written:]
    return len(data)


def _failed(error: OSError) -> StoreUnavailable:
    return StoreUnavailable(
        f"the spool cannot be written: {errno.errorcode.get(error.errno or 0, 'unknown')}"
    )


def clear_spool(folder: Path, *, grace_seconds: float = 1.0) -> int:
    """Remove what killed fetchers left (several may share the folder); how many files went.

    A writer holds its file's lock as long as it lives. `grace_seconds` is for one that has made its file
    and not locked it yet.
    """
    removed = 0
    newest = time.time() - grace_seconds
    for leftover in folder.iterdir() if folder.is_dir() else ():
        with contextlib.suppress(OSError):
            if leftover.stat().st_mtime < newest and not _is_locked(leftover):
                leftover.unlink()
                removed += 1
    return removed


def _is_locked(path: Path) -> bool:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


STEP_BYTES = 16 * 1024 * 1024  # the store is notified of growth in such steps
LEAST_BYTES = 64 * 1024 * 1024  # smaller files go in one request at their end


class SpoolUpload:
    """The upload of one download. Make it by `spool_upload`, which cleans up after it."""

    def __init__(self, objects: ObjectStore, spool: Spool, expected_sha256: str) -> None:
        self._objects = objects
        self._spool = spool
        self._expected = expected_sha256
        self._put: GrowingPut | None = None
        self._following: asyncio.Task[None] | None = None
        if expected_sha256:
            self._following = asyncio.create_task(self._follow(), name="spool upload")

    async def store(self, sha256: str) -> None:
        """The verified whole is in the store, durable, on return. Raises `StoreUnavailable`."""
        key, spool = artifact_key(sha256), self._spool
        if self._put is not None and sha256 == self._expected:
            await self._objects.finish_put(self._put, key, spool.path, sha256=sha256)
        elif (data := spool.in_memory) is not None:
            await self._objects.put_bytes(key, data)
        else:
            await self._objects.put_file(key, spool.path, sha256=sha256)

    async def aclose(self) -> None:
        """Stop, and remove what was not finished."""
        if self._following is not None:
            self._following.cancel()
            await asyncio.gather(self._following, return_exceptions=True)
        if self._put is not None:
            await self._put.abort()

    async def _follow(self) -> None:
        spool = self._spool
        if not await spool.reach(LEAST_BYTES + 1) or spool.passing:
            return
        self._put = self._objects.begin_put(artifact_key(self._expected), spool.path)
        if self._put is None:
            return
        self._put.grown(spool.size)
        while await spool.reach(spool.size // STEP_BYTES * STEP_BYTES + STEP_BYTES):
            self._put.grown(spool.size)


@contextlib.asynccontextmanager
async def spool_upload(
    objects: ObjectStore, spool: Spool, expected_sha256: str
) -> AsyncIterator[SpoolUpload]:
    """An upload beside a download; `expected_sha256` "" if none is promised."""
    upload = SpoolUpload(objects, spool, expected_sha256)
    try:
        yield upload
    finally:
        await asyncio.shield(asyncio.ensure_future(upload.aclose()))
