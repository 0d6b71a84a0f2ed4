"""Objects into a backup and back: each once, by its digest, hashed on its way."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
from collections.abc import Iterable
from pathlib import Path

import msgspec

from services.standalone.backup.manifest import CHUNK_BYTES, BackupError, digest_of, object_path
from shared.errors.passing import ObjectMissing
from shared.objects.port import ObjectStore

AT_ONCE = 8


class Copied(msgspec.Struct):
    """What one backup did. `listed`: what is in it, new or not."""

    listed: dict[str, int] = msgspec.field(default_factory=dict)
    new: int = 0
    new_bytes: int = 0
    mended: int = 0  # of the new ones, those that had decayed in the backup
    missing: int = 0
    damaged: int = 0


async def copy_out(store: ObjectStore, keys: Iterable[str], backup: Path, *, quick: bool) -> Copied:
    """Copy what the backup does not have yet, or not as it was: what it has is hashed, unless `quick`
    believes it. What is missing or damaged is counted: neither is served."""
    found, waiting = Copied(), iter(keys)

    async def work() -> None:
        for key in waiting:
            await _copy_one(store, key, backup, found, quick)

    async with asyncio.TaskGroup() as group:
        for _ in range(AT_ONCE):
            group.create_task(work())
    return found


async def _copy_one(store: ObjectStore, key: str, backup: Path, found: Copied, quick: bool) -> None:
    target = object_path(backup, key)
    was_there = target.is_file()
    if was_there and (quick or await asyncio.to_thread(_is_whole, target)):
        found.listed[key] = target.stat().st_size
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f"{target.name}.{os.getpid()}.part")  # another backup may run
    digest, size = hashlib.sha256(), 0
    try:
        with part.open("wb") as file:
            async with contextlib.aclosing(store.open_stream(key)) as chunks:
                async for chunk in chunks:
                    digest.update(chunk)
                    size += len(chunk)
                    await asyncio.to_thread(file.write, chunk)
            file.flush()
            await asyncio.to_thread(os.fsync, file.fileno())
    except ObjectMissing:
        found.missing += 1
        part.unlink(missing_ok=True)
        return
    if digest.hexdigest() != target.name:
        found.damaged += 1
        part.unlink()
        return
    part.replace(target)
    found.listed[key] = size
    found.new, found.new_bytes = found.new + 1, found.new_bytes + size
    found.mended += was_there


def _is_whole(path: Path) -> bool:
    try:
        return digest_of(path) == path.name
    except OSError:  # a sector that cannot be read
        return False


def check_objects(backup: Path, listed: Iterable[tuple[str, int]]) -> None:
    """Hash all of them. Raises `BackupError` at the first that is missing or damaged."""
    for key, size in listed:
        path = object_path(backup, key)
        try:
            right = path.stat().st_size == size and digest_of(path) == path.name
        except OSError as error:
            raise BackupError(f"{path} cannot be read: {error.strerror}") from error
        if not right:
            raise BackupError(f"{path} is damaged")


async def copy_in(store: ObjectStore, backup: Path, listed: Iterable[tuple[str, int]]) -> None:
    """Put all of them into a store. Copied even on one disk: a backup shares no file with anybody.

    Raises `BackupError` where one is another than when it was checked."""
    waiting = iter(listed)

    async def work() -> None:
        for key, _ in waiting:
            await _put(store, key, object_path(backup, key))

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(AT_ONCE):
                group.create_task(work())
    except BaseExceptionGroup as failures:  # one line says why
        raise failures.exceptions[0] from None


async def _put(store: ObjectStore, key: str, source: Path) -> None:
    target = store.local_path(key)
    if target is None:
        await store.put_file(key, source, sha256=source.name)
        return
    copy = target.with_name(target.name + ".restored")
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        await asyncio.to_thread(_copy_file, source, copy)
        await store.put_file(key, copy, sha256=source.name)
    finally:
        copy.unlink(missing_ok=True)


def _copy_file(source: Path, target: Path) -> None:
    digest = hashlib.sha256()
    with source.open("rb") as reader, target.open("wb") as writer:
        while chunk := reader.read(CHUNK_BYTES):
            digest.update(chunk)
            writer.write(chunk)
    if digest.hexdigest() != source.name:
        raise BackupError(f"{source} has changed since it was checked")
