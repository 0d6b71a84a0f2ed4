"""Objects into a backup and back: each once, by its digest, hashed on its way."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
from collections.abc import Callable, Coroutine, Iterable
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from services.standalone.backup.folder import MINE, PART
from services.standalone.backup.manifest import CHUNK_BYTES, BackupError, digest_of, object_path
from shared.errors.passing import ObjectMissing
from shared.objects.port import ObjectStore

AT_ONCE = 8

T = TypeVar("T")


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
    found = Copied()
    await _each(keys, lambda key: _copy_one(store, key, backup, found, quick))
    return found


async def _each(items: Iterable[T], work: Callable[[T], Coroutine[Any, Any, None]]) -> None:
    """`AT_ONCE` of them at a time. Raises the first error alone: one line says why."""
    waiting = iter(items)

    async def run() -> None:
        for item in waiting:
            await work(item)

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(AT_ONCE):
                group.create_task(run())
    except BaseExceptionGroup as failures:
        raise failures.exceptions[0] from None


async def _copy_one(store: ObjectStore, key: str, backup: Path, found: Copied, quick: bool) -> None:
    target = object_path(backup, key)
    was_there = target.is_file()
    if was_there and (quick or await asyncio.to_thread(_is_whole, target)):
        found.listed[key] = target.stat().st_size
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f"{target.name}.{MINE}{PART}")
    try:
        digest, size = await _copy_stream(store, key, part)
        if digest != target.name:
            found.damaged += 1
            return
        part.replace(target)
    except ObjectMissing:
        found.missing += 1
        return
    finally:
        part.unlink(missing_ok=True)
    found.listed[key] = size
    found.new, found.new_bytes = found.new + 1, found.new_bytes + size
    found.mended += was_there


async def _copy_stream(store: ObjectStore, key: str, part: Path) -> tuple[str, int]:
    """SHA256 and size of what came, and is on the disk."""
    digest, size = hashlib.sha256(), 0
    with part.open("wb") as file:
        async with contextlib.aclosing(store.open_stream(key)) as chunks:
            async for chunk in chunks:
                digest.update(chunk)
                size += len(chunk)
                await asyncio.to_thread(file.write, chunk)
        file.flush()
        await asyncio.to_thread(os.fsync, file.fileno())
    return digest.hexdigest(), size


def _is_whole(path: Path) -> bool:
    try:
        return digest_of(path) == path.name
    except OSError:  # a sector that cannot be read
        return False


def check_objects(backup: Path, listed: Iterable[tuple[str, int]]) -> tuple[int, int]:
    """Hash all of them: how many, and their bytes. Raises `BackupError` at the first that is missing or
    damaged."""
    count = total = 0
    for key, size in listed:
        path = object_path(backup, key)
        try:
            right = path.stat().st_size == size and digest_of(path) == path.name
        except OSError as error:
            raise BackupError(f"{path} cannot be read: {error.strerror}") from error
        if not right:
            raise BackupError(f"{path} is damaged")
        count, total = count + 1, total + size
    return count, total


async def copy_in(store: ObjectStore, backup: Path, listed: Iterable[tuple[str, int]]) -> None:
    """Put all of them into a store. Copied even on one disk: a backup shares no file with anybody.

    Raises `BackupError` where one is another than when it was checked."""
    await _each(listed, lambda each: _put(store, each[0], object_path(backup, each[0])))


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
