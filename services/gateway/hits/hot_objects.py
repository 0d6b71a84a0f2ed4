"""Local copies of the files that a gateway is asked for again and again, in front of a remote store.

A file from S3 passes through Python piece by piece; a local one goes out by path. From the second whole
request on, a file is copied in the background and then sent from disk. A copy that a neighbour has made in a
folder that both use is taken at the first request, once it is hashed. Objects are named by their content
and never change, so a copy is never stale; it can only be damaged, and what this process did not hash
itself, or what was written to since, is not served.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import time
from collections.abc import AsyncGenerator
from pathlib import Path

from services.gateway.hits.hot_folder import Copy, HotFolder, Incoming, mark_used
from shared.errors import OrchardError
from shared.errors.passing import ObjectMissing, StoreUnavailable
from shared.objects.file_reads import open_file, pread_cached, read_cached, read_file
from shared.objects.port import DOCUMENTS, STREAM_CHUNK_BYTES, ObjectStore, split_key
from shared.process.bounded import Bounded
from shared.process.threads import BoundedThreads
from shared.telemetry import metrics
from shared.telemetry.logs import get_logger

log = get_logger()

FILLS_AT_ONCE = 4  # further ones are not queued: a file that is hot is asked for again
LARGEST_SHARE = 4  # a file over a quarter of the bound would drive out all others
WAITED_FOR_BYTES = 8 * 1024 * 1024  # so much is hashed in some 10 ms, sooner than the store would send it
SEEN_MOST = 20_000  # files remembered to have been asked for once
MARK_SECONDS = 10.0  # a use is written down this often per file
TRUSTED_SECONDS = 24 * 3600.0  # disks decay: a copy is hashed again after this
PAUSE_SECONDS = 60.0  # after a disk that is full or fails
COUNTED_SECONDS = 15.0  # others may fill the same folder: it is listed this often while we fill it


class _Known:
    __slots__ = ("copy", "marked_at", "path", "text", "trusted_until")

    def __init__(self, path: Path, copy: Copy, now: float) -> None:
        self.path = path
        self.text = str(path)
        self.copy = copy
        self.marked_at = now
        self.trusted_until = now + TRUSTED_SECONDS


class HotObjects:
    """Which copies are there, for one process. `store` and `threads` are shared; `open` before use."""

    def __init__(self, store: ObjectStore, folder: HotFolder, threads: BoundedThreads) -> None:
        self._store = store
        self._folder = folder
        self._threads = threads
        self._known: dict[str, _Known] = {}
        self._seen = Bounded[str, bool](SEEN_MOST)
        self._filling: dict[str, asyncio.Task[None]] = {}
        self._used_bytes = 0  # of the whole folder, as far as this process knows
        self._counted_at = 0.0
        self._paused_until = 0.0

    async def open(self) -> None:
        """Prepare the folder. One that cannot be used is no failure: files are streamed, and one log line
        says why."""
        try:
            self._used_bytes = await self._threads.run(self._folder.prepare)
        except OSError as error:
            self._paused_until = float("inf")
            log.warning("hot_objects_off", folder=str(self._folder.root), reason=_reason(error))
            return
        self._counted_at = time.monotonic()
        metrics.HOT_OBJECT_BYTES.set(self._used_bytes)
        log.info("hot_objects_open", size_bytes=self._used_bytes, max_bytes=self._folder.max_bytes)

    async def aclose(self) -> None:
        """Cancel running copies; nothing half-written stays."""
        tasks = list(self._filling.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # --- the hot path ---------------------------------------------------------------------------------

    def find(self, key: str, size_bytes: int, *, whole: bool = True) -> Path | None:
        """The verified local copy of an object of `size_bytes`; None: ask the store.

        `whole`: the whole file is wanted, which counts as a use. Blocks for one `stat`.
        """
        known = self._known.get(key)
        if known is not None:
            now = time.monotonic()
            try:
                if now < known.trusted_until and Copy.of(os.stat(known.text)) == known.copy:  # noqa: PTH116
                    if known.copy.size_bytes != size_bytes:
                        return None
                    if now - known.marked_at > MARK_SECONDS:
                        known.marked_at = now
                        mark_used(known.path, known.copy)
                    metrics.count_hot_object(found=True)
                    return known.path
            except OSError:
                pass  # evicted by another process, or by hand
            del self._known[key]
        metrics.count_hot_object(found=False)
        if whole:
            self._note(key, size_bytes)
        return None

    async def adopted(self, key: str, size_bytes: int) -> Path | None:
        """The copy that another process made, or this one before its restart: `find` has begun to hash it.
        None: there is none, or it is too large to be waited for."""
        adopting = self._filling.get(key)
        if adopting is None or size_bytes > WAITED_FOR_BYTES or not self._folder.has(key, size_bytes):
            return None
        await asyncio.wait((adopting,))
        known = self._known.get(key)
        return known.path if known is not None else None

    def holds(self, key: str) -> bool:
        """Whether `find` returned a copy the last time; no I/O, not counted."""
        return key in self._known

    async def read(self, path: Path, start: int, length: int) -> bytes | None:
        """A slice of a copy that `find` gave; None if it went meanwhile."""
        found = read_cached(path, start, length)
        if found is None:
            with contextlib.suppress(OSError):
                found = await self._threads.run(read_file, path, start, length)
        return found if found is not None and len(found) == length else None

    async def stream(self, path: Path, start: int, end: int) -> AsyncGenerator[bytes, None]:
        """The same from `start` up to `end`, as it is taken. Raises `ObjectMissing`, `StoreUnavailable`."""
        try:
            file = await self._threads.run(open_file, path)
        except OSError as error:
            raise ObjectMissing(f"the local copy {path.name} went") from error
        with file:
            while start < end:
                wanted = min(STREAM_CHUNK_BYTES, end - start)
                try:
                    chunk = pread_cached(file.fileno(), wanted, start) or await self._threads.run(
                        os.pread, file.fileno(), wanted, start
                    )
                except OSError as error:
                    raise StoreUnavailable(f"a local copy cannot be read: {_reason(error)}") from error
                if not chunk:
                    raise StoreUnavailable("a local copy is shorter than it was")
                start += len(chunk)
                yield chunk

    def _note(self, key: str, size_bytes: int) -> None:
        if key not in self._seen and not self._folder.has(key, size_bytes):
            self._seen.put(key, True)
            return
        if (
            key in self._filling
            or len(self._filling) >= FILLS_AT_ONCE
            or size_bytes > self._folder.max_bytes // LARGEST_SHARE
            or time.monotonic() < self._paused_until
            or key.startswith(f"{DOCUMENTS}/")
        ):
            return
        task = asyncio.create_task(self._fill(key, size_bytes), name=f"hot {key}")
        self._filling[key] = task
        task.add_done_callback(lambda _: self._filling.pop(key, None))

    # --- filling --------------------------------------------------------------------------------------

    async def _fill(self, key: str, size_bytes: int) -> None:
        _, sha256 = split_key(key)
        run = self._threads.run
        try:
            # Another process, or this one before its restart, may have copied it.
            copy = await run(self._folder.verify, sha256, size_bytes)
            if copy is None:
                copy = await self._copy(key, sha256, size_bytes)
        except OrchardError as error:
            metrics.HOT_OBJECT_FILLS.labels("failed").inc()
            log.info("hot_object_not_filled", key=key, error=error.code)
            return
        except OSError as error:
            metrics.HOT_OBJECT_FILLS.labels("failed").inc()
            self._paused_until = time.monotonic() + PAUSE_SECONDS
            log.warning("hot_objects_paused", seconds=PAUSE_SECONDS, reason=_reason(error))
            return
        if copy is not None:
            self._known[key] = _Known(self._folder.path(sha256), copy, time.monotonic())
            metrics.HOT_OBJECT_FILLS.labels("done").inc()

    async def _copy(self, key: str, sha256: str, size_bytes: int) -> Copy | None:
        run = self._threads.run
        if not await self._make_room(size_bytes):
            metrics.HOT_OBJECT_FILLS.labels("no_room").inc()
            return None
        incoming: Incoming = await run(Incoming, self._folder.root, sha256)
        try:
            left = size_bytes
            stream = self._store.open_stream(key, 0, size_bytes)
            async with contextlib.aclosing(stream):
                async for chunk in stream:
                    left -= len(chunk)
                    if left < 0:
                        break
                    await run(incoming.write, chunk)
            copy = await run(incoming.finish, size_bytes)
        except BaseException:
            # Synchronously: a closing process takes no more work into its threads.
            incoming.discard()
            raise
        if copy is None:
            metrics.HOT_OBJECT_FILLS.labels("corrupt").inc()
            log.warning("hot_object_corrupt", key=key)
            self._seen.pop(key)
            return None
        self._used_bytes += size_bytes
        metrics.HOT_OBJECT_BYTES.set(self._used_bytes)
        return copy

    async def _make_room(self, size_bytes: int) -> bool:
        now = time.monotonic()
        fits = self._used_bytes + size_bytes <= self._folder.max_bytes
        if fits and now - self._counted_at < COUNTED_SECONDS:
            return True
        self._counted_at = now
        self._used_bytes, removed = await self._threads.run(self._folder.make_room, size_bytes)
        metrics.HOT_OBJECT_BYTES.set(self._used_bytes)
        metrics.HOT_OBJECT_EVICTIONS.inc(removed)
        return self._used_bytes + size_bytes <= self._folder.max_bytes


def _reason(error: OSError) -> str:
    return errno.errorcode.get(error.errno or 0, type(error).__name__)
