"""One bundle into the stores of an Orchard: head, objects, then all rows in one transaction.

An object without a row is seen by nobody, and is swept after an hour: what was broken off left nothing, and
is done again from the start, without writing what is there.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec

from services.standalone.bundles.rows import Seen, is_imported, read_seen, write_rows
from shared.builds.rows import NO_REMOVALS, REMOVALS
from shared.bundles.files import digests_of
from shared.bundles.form import Bodies, BundleRefused, Carried, Head, read_head
from shared.bundles.manifest import Manifest, check_goes_on, read_manifest
from shared.bundles.statements import check_statements
from shared.errors.passing import ObjectMissing
from shared.objects.port import ObjectStore
from shared.postgres.connection import session
from shared.tlog.notes import Key

AT_ONCE = 16  # objects that are being stored while the next are read
IN_MEMORY_BYTES = 1024 * 1024  # a larger object goes through a file
YOUNG_SECONDS = 1800.0  # half of what a sweeper lets an object without a row lie


class Imported(msgspec.Struct):
    """What an import did. `new` False: the build was here; `restored` objects were lost, and are back."""

    id: str
    key: str
    new: bool
    pages: int
    files: int
    absent: int
    objects: int
    object_bytes: int
    seconds: float
    restored: int = 0


async def import_bundle(
    path: Path, store: ObjectStore, url: str, trusted: Sequence[Key], *, spool: Path
) -> Imported:
    """Into this store and the database at `url`. `spool`: where large objects lie before they are stored.

    Raises `BundleRefused`, with the place, before anything can be seen; and what the stores raise.
    """
    began = time.monotonic()
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        head = read_head(file.read)
        async with session(url) as database:
            seen = await read_seen(database, str(head.key))
            _check_key(head.key, trusted, seen)
            manifest, checkpoint = await asyncio.to_thread(read_manifest, head)
            new = not await is_imported(database, manifest, head.key, store)
            if new:
                check_goes_on(manifest, checkpoint, None if seen is None else seen.checkpoint)
                stated = await asyncio.to_thread(check_statements, manifest, (head.key, *trusted))
        objects = [Carried(each.key, each.size) for each in manifest.objects]
        bodies = Bodies(file.read, head.size)
        taking = _Objects(store, spool, bodies, size, digests_of(manifest.listed))
        lost = 0 if new else await taking.lost(objects)
        if new or lost:
            await taking.take(objects)
        if new:
            async with session(url) as database, database.transaction():
                await database.fetch(NO_REMOVALS, REMOVALS)  # one import at once
                seen = await read_seen(database, str(head.key))
                check_goes_on(manifest, checkpoint, None if seen is None else seen.checkpoint)
                new = not await is_imported(database, manifest, head.key, store)
                if new:
                    await taking.look_again(objects)
                    await write_rows(database, store, manifest, head.key, checkpoint, stated)
    told = _told(manifest, head, objects, new, time.monotonic() - began)
    return msgspec.structs.replace(told, restored=lost)


def _told(manifest: Manifest, head: Head, objects: Sequence[Carried], new: bool, seconds: float) -> Imported:
    of = manifest.session
    total = sum(each.size for each in objects)
    return Imported(
        of.id, str(head.key), new, of.pages, of.files, of.absent, len(objects), total, round(seconds, 3)
    )


def _check_key(key: Key, trusted: Sequence[Key], seen: Seen | None) -> None:
    if seen is None and key not in trusted:
        raise BundleRefused(
            f"it is signed by {key}, which nobody here has trusted yet: compare it with "
            "`key` of /api/v1/log where the bundle was made, then say --trust KEY"
        )


class _Objects:
    """Takes the objects of one bundle, so many at once; the first failure ends it."""

    def __init__(
        self,
        store: ObjectStore,
        spool: Path,
        bodies: Bodies,
        size: int,
        told: Mapping[str, Mapping[str, str]],
    ) -> None:
        """`size`: bytes of the file. `told`: by object, further digests that its bytes are to have."""
        self._told = told
        self._store = store
        self._spool = spool
        self._bodies = bodies
        self._size = size

    async def take(self, objects: Sequence[Carried]) -> None:
        """All of them. Raises `BundleRefused` for one that is damaged, or left out and not here."""
        turns = asyncio.Semaphore(AT_ONCE)
        async with _failing_as_one() as group:
            for each in objects:
                await turns.acquire()
                chunks = self._bodies.next(each)
                if chunks is None:
                    task = group.create_task(self._have(each))
                else:
                    if self._bodies.at + each.size > self._size:
                        raise BundleRefused(f"byte {self._bodies.at}: the bundle ends in {each.key}")
                    task = await self._start(group, each, self._as_told(each, chunks))
                task.add_done_callback(lambda _: turns.release())
        self._bodies.end()

    async def lost(self, objects: Sequence[Carried]) -> int:
        """How many are not in the store, or are of another size."""
        turns = asyncio.Semaphore(AT_ONCE)

        async def is_lost(of: Carried) -> bool:
            async with turns:
                found = await self._store.stat(of.key)
            return found is None or found.size_bytes != of.size

        return sum(await asyncio.gather(*map(is_lost, objects)))

    async def _start(
        self, group: asyncio.TaskGroup, of: Carried, chunks: Iterator[bytes]
    ) -> asyncio.Task[None]:
        """The object is read here, for the next one follows it; storing it goes on beside."""
        if of.size <= IN_MEMORY_BYTES:
            return group.create_task(self._put_bytes(of, b"".join(chunks)))
        path = await asyncio.to_thread(self._spooled, chunks)
        return group.create_task(self._put_file(of, path))

    def _spooled(self, chunks: Iterator[bytes]) -> Path:
        handle, name = tempfile.mkstemp(prefix=".import-", dir=self._spool)
        try:
            with os.fdopen(handle, "wb") as file:
                for chunk in chunks:
                    file.write(chunk)
        except BaseException:
            Path(name).unlink()
            raise
        return Path(name)

    async def _put_bytes(self, of: Carried, data: bytes) -> None:
        if not await self._is_fresh(of):
            await self._store.put_bytes(of.key, data)

    async def _put_file(self, of: Carried, path: Path) -> None:
        try:
            if not await self._is_fresh(of):
                await self._store.put_file(of.key, path, sha256=of.key[-64:])
        finally:
            await asyncio.to_thread(path.unlink)

    async def _is_fresh(self, of: Carried) -> bool:
        """Whether an import that was broken off has just put it, and it is whole."""
        found = await self._store.stat(of.key)
        if found is None or found.size_bytes != of.size:
            return False
        return time.time() - found.modified_at < YOUNG_SECONDS and await self._is_here(of, {})

    async def _have(self, of: Carried) -> None:
        """Raises `BundleRefused` unless the store has it, with these bytes."""
        running = self._running(of)
        if not await self._is_here(of, running):
            raise BundleRefused(
                f"{of.key} is left out, and is not here: import the bundle first that --since named"
            )
        self._check_told(of, running)

    async def _is_here(self, of: Carried, running: Mapping[str, Any]) -> bool:
        """Whether the store has it, with these bytes, which `running` digests are given too."""
        digest, size = hashlib.sha256(), 0
        try:
            async for chunk in self._store.open_stream(of.key):
                for each in (digest, *running.values()):
                    each.update(chunk)
                size += len(chunk)
        except ObjectMissing:
            return False
        return size == of.size and digest.hexdigest() == of.key[-64:]

    def _as_told(self, of: Carried, chunks: Iterator[bytes]) -> Iterator[bytes]:
        """The same, and at their end `BundleRefused` where a file tells something else of them."""
        running = self._running(of)
        for chunk in chunks:
            for each in running.values():
                each.update(chunk)
            yield chunk
        self._check_told(of, running)

    def _running(self, of: Carried) -> dict[str, Any]:
        return {name: hashlib.new(name, usedforsecurity=False) for name in self._told.get(of.key, ())}

    def _check_told(self, of: Carried, running: Mapping[str, Any]) -> None:
        for name, each in running.items():
            if each.hexdigest() != self._told[of.key][name]:
                raise BundleRefused(f"files: the {name} of {of.key} is another than a file tells")

    async def look_again(self, objects: Sequence[Carried]) -> None:
        """With all of them here, and nobody removing any: what lay here before is named by no row of this
        build yet, and may have been swept or evicted since. Raises `BundleRefused`."""
        for of, size in zip(objects, await self._sizes(objects), strict=True):
            if size != of.size:
                raise BundleRefused(f"{of.key} was removed while the others came: import it once more")

    async def _renew(self, of: Carried) -> None:
        """Put it once more, as it is: a sweeper heeds the age alone until rows name it."""
        handle, name = await asyncio.to_thread(tempfile.mkstemp, prefix=".import-", dir=self._spool)
        try:
            with os.fdopen(handle, "wb") as file:
                async for chunk in self._store.open_stream(of.key):
                    await asyncio.to_thread(file.write, chunk)
            await self._store.put_file(of.key, Path(name), sha256=of.key[-64:])
        except ObjectMissing:
            raise BundleRefused(f"{of.key} was removed while the others came: import it once more") from None
        finally:
            await asyncio.to_thread(Path(name).unlink)

    async def _sizes(self, objects: Sequence[Carried]) -> list[int]:
        """Of each in the store; -1: it is not there."""
        paths = [path for each in objects if (path := self._store.local_path(each.key)) is not None]
        if len(paths) == len(objects):
            return await asyncio.to_thread(lambda: [*map(_touched, paths)])
        turns = asyncio.Semaphore(AT_ONCE)

        async def size(of: Carried) -> int:
            async with turns:
                found = await self._store.stat(of.key)
                if found is None:
                    return -1
                if time.time() - found.modified_at >= YOUNG_SECONDS:  # nothing else tells that it is wanted
                    await self._renew(of)
            return found.size_bytes

        return await asyncio.gather(*map(size, objects))


def _touched(path: Path) -> int:
    """Its size; -1: it is not there. A sweeper judges by age, under its lock: it is wanted again."""
    try:
        os.utime(path)
        return path.stat().st_size
    except FileNotFoundError:
        return -1


@asynccontextmanager
async def _failing_as_one() -> AsyncIterator[asyncio.TaskGroup]:
    """A group of tasks that raises the first failure itself."""
    try:
        async with asyncio.TaskGroup() as group:
            yield group
    except BaseExceptionGroup as failures:
        raise failures.exceptions[0] from None
