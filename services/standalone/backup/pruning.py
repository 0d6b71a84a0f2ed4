"""Old snapshots leave a backup, and with them the objects that none of the others names."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from services.standalone.backup.folder import LOCK, PART, stored_objects
from services.standalone.backup.manifest import (
    MANIFEST,
    SNAPSHOTS,
    BackupError,
    finished_snapshots,
    listed_objects,
    object_path,
)


class Pruned(msgspec.Struct):
    """What was removed."""

    snapshots: int = 0
    objects: int = 0
    object_bytes: int = 0


@contextmanager
def shared(backup: Path, *, create: bool = False) -> Iterator[int | None]:
    """While this is held nothing is removed. None: there is no lock, and unless `create` none is made."""
    try:
        mode = os.O_RDWR | os.O_CREAT if create else os.O_RDONLY  # NFS: who excludes others must write
        lock = os.open(backup / LOCK, mode | os.O_CLOEXEC, 0o600)
    except OSError:
        yield None
        return
    try:
        fcntl.flock(lock, fcntl.LOCK_SH)
        yield lock
    finally:
        os.close(lock)


def prune(backup: Path, lock: int | None, keep: int) -> Pruned:
    """Keep the newest `keep` snapshots, and those that somebody gave another name.

    `lock`: of `shared`, which the caller needs for nothing more. Raises `BackupError` before anything is
    removed: where another backup or a restore runs, or what is kept cannot be read. A removal that is
    broken off leaves whole snapshots, and the next one goes on with it."""
    if lock is None:
        raise BackupError(f"{backup / LOCK} cannot be opened: nothing was removed")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        raise BackupError(f"another backup or restore of {backup} runs: nothing was removed") from error
    folder = backup / SNAPSHOTS
    old = [folder / name for name in finished_snapshots(backup)[:-keep]]
    named = set[Path]()
    for manifest in folder.glob(f"*/{MANIFEST}"):
        if manifest.parent not in old and manifest.parent.suffix != PART:
            try:
                named.update(object_path(backup, key) for key, _ in listed_objects(manifest.parent))
            except OSError as error:
                raise BackupError(
                    f"{manifest.parent} cannot be read ({error}): nothing was removed"
                ) from error
    for snapshot in old:
        snapshot.rename(snapshot.with_name(snapshot.name + PART))  # is no snapshot any more
    for part in folder.glob(f"*{PART}"):  # and those of a backup or a removal that was broken off
        shutil.rmtree(part)
    done = Pruned(len(old))
    for path in stored_objects(backup):
        if path not in named:
            done.objects, done.object_bytes = done.objects + 1, done.object_bytes + path.stat().st_size
            path.unlink()
    return done
