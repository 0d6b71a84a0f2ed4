"""Whether an object is intact: readable, of the sealed size, its bytes of the sealed digest.

Gateways, fetchers, extractors and the sweeper ask here and nowhere else: two rules would let one of them take
for stored what another cannot serve. An object is named by the SHA256 of its bytes, so nothing but the object
is needed. A result is cached as long as the object's mark is the same: for a file its size, inode and ctime,
which cannot be set; for a bucket its size. Decay below the file system changes no mark, so an object is
hashed again after ORCHARD_VERIFY_SECONDS.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import math
import os
import stat
import time
from collections.abc import Hashable
from pathlib import Path

from shared.errors.passing import ObjectMissing, StoreUnavailable
from shared.objects.file_reads import is_no_file
from shared.objects.port import ObjectStore, split_key
from shared.process.bounded import Bounded
from shared.process.threads import BoundedThreads
from shared.telemetry.logs import get_logger
from shared.telemetry.metrics import OBJECTS_VERIFIED

log = get_logger()

DAMAGED_SECONDS = 1.0  # it is fetched again meanwhile; a bucket's new object may have the old one's mark
HASHED_ON_THE_LOOP = 64 * 1024
REMEMBERED = 100_000  # objects; the longest unused are forgotten, and hashed again


def mark_of(found: os.stat_result) -> Hashable:
    """A mark that differs after any change of the file."""
    return (found.st_size, found.st_ino, found.st_ctime_ns)


def file_mark(path: str | Path, size_bytes: int) -> Hashable | None:
    """The mark of a file that may be whole; None: there is none of this size. One `stat`, no reading.

    Raises `StoreUnavailable`.
    """
    try:
        found = os.stat(path)  # noqa: PTH116 - on the hot path
    except OSError as error:
        if is_no_file(error):
            return None
        raise StoreUnavailable(f"an object cannot be looked at: {error.strerror}") from error
    if not stat.S_ISREG(found.st_mode) or found.st_size != size_bytes:
        return None
    return mark_of(found)


def is_occupied(store: ObjectStore, key: str) -> bool:
    """Whether something that is no object is in its place, as far as the store can know."""
    path = store.local_path(key)
    return path is not None and os.path.lexists(path)


class Verifier:
    """The verifier of one process, over a store that others open and close.

    `seconds`: ORCHARD_VERIFY_SECONDS; 0 = only sizes are looked at.
    """

    def __init__(self, store: ObjectStore, threads: BoundedThreads, *, seconds: float) -> None:
        self._store = store
        self._threads = threads
        self._seconds = seconds
        self._known: Bounded[str, tuple[Hashable, float, bool]] = Bounded(REMEMBERED)
        self._running: dict[tuple[str, Hashable], asyncio.Task[bool]] = {}

    async def is_intact(self, key: str, size_bytes: int, *, anew: bool = False) -> bool:
        """Whether the object is intact. Hashes it if needed, or `anew` in any case.

        Raises `StoreUnavailable`.
        """
        mark = await self.mark(key, size_bytes)
        if mark is None:
            return False
        known = self.known(key, mark) if not anew else None
        return known if known is not None else await self._verified(key, size_bytes, mark)

    async def mark(self, key: str, size_bytes: int) -> Hashable | None:
        """The object's mark; None: it is missing, of another size, or no file that can be read."""
        path = self._store.local_path(key)
        if path is not None:
            return file_mark(path, size_bytes)
        found = await self._store.stat(key)
        if found is None or found.size_bytes != size_bytes:
            return None
        return self.remote_mark(size_bytes)

    @staticmethod
    def remote_mark(size_bytes: int) -> Hashable:
        """The mark of an object in a bucket, without asking the store: that would be a request for each
        answer."""
        return (size_bytes,)

    def known(self, key: str, mark: Hashable) -> bool | None:
        """The cached result for this mark, None if it is too old or there is none."""
        if not self._seconds:
            return True
        known = self._known.get(key)
        if known is None or known[0] != mark or time.monotonic() >= known[1]:
            return None
        return known[2]

    def standing(self, key: str, size_bytes: int) -> tuple[Hashable | None, float]:
        """The mark under which the bytes were verified, and until when (monotonic) that holds."""
        path = self._store.local_path(key) if not self._seconds else None
        if path is not None:
            return file_mark(path, size_bytes), math.inf
        known = self._known.get(key)
        return (known[0], known[1]) if known is not None and known[2] else (None, 0.0)

    def remember(self, key: str, mark: Hashable, right: bool) -> None:
        """Cache the result of hashing the bytes under this mark."""
        kept = self._seconds if right else DAMAGED_SECONDS
        self._known.put(key, (mark, time.monotonic() + kept, right))
        OBJECTS_VERIFIED.labels("right" if right else "damaged").inc()
        if not right:
            log.warning("object_damaged", key=key)

    def verify_beside(self, key: str, size_bytes: int, mark: Hashable) -> None:
        """Hash it in the background; later callers get the result."""
        self._start(key, size_bytes, mark)

    async def _verified(self, key: str, size_bytes: int, mark: Hashable) -> bool:
        # All who ask at once share one reading; each may leave without ending it.
        return await asyncio.shield(self._start(key, size_bytes, mark))

    def _start(self, key: str, size_bytes: int, mark: Hashable) -> asyncio.Task[bool]:
        task = self._running.get((key, mark))
        if task is None:
            task = self._running[key, mark] = asyncio.create_task(self._hash(key, size_bytes, mark))
            task.add_done_callback(lambda done: self._ended(key, mark, done))
        return task

    def _ended(self, key: str, mark: Hashable, done: asyncio.Task[bool]) -> None:
        self._running.pop((key, mark), None)
        if not done.cancelled():
            done.exception()  # retrieved, even when everyone has left

    async def _hash(self, key: str, size_bytes: int, mark: Hashable) -> bool:
        path = self._store.local_path(key)
        if path is not None:
            digest = await self._threads.run(_digest_of, path)
        else:
            digest = await self._digest_of_remote(key)
        right = digest == split_key(key)[1]
        if await self.mark(key, size_bytes) == mark:  # else somebody put another meanwhile
            self.remember(key, mark, right)
        return right

    async def _digest_of_remote(self, key: str) -> str:
        digest = hashlib.sha256()
        try:
            async with contextlib.aclosing(self._store.open_stream(key)) as chunks:
                async for chunk in chunks:
                    await self._threads.run(digest.update, chunk)
        except ObjectMissing:
            return ""
        return digest.hexdigest()


def _digest_of(path: Path) -> str:
    """The digest in hex; "" if it cannot be read: an object with bad sectors counts as missing."""
    try:
        with path.open("rb", buffering=0) as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        log.warning("object_not_readable", object=path.name, reason=error.strerror)
        return ""


async def read_whole(store: ObjectStore, key: str, threads: BoundedThreads) -> bytes:
    """All bytes of an object that is read into memory anyway, hashed. Damaged ones are set aside.

    Raises `ObjectMissing` for those too, and `StoreUnavailable`.
    """
    body = await store.read(key)
    digest = (
        hashlib.sha256(body) if len(body) <= HASHED_ON_THE_LOOP else await threads.run(hashlib.sha256, body)
    )
    if digest.hexdigest() == split_key(key)[1]:
        return body
    OBJECTS_VERIFIED.labels("damaged").inc()
    log.warning("object_damaged", key=key)
    await store.set_aside(key)
    raise ObjectMissing(f"object {key} is damaged")
