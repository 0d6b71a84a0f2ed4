"""Which folder is a backup, or may become one: a backup takes the place of nobody's files, changes no mode of
a folder that others made, and removes only what has the form that backups write."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator
from pathlib import Path

from services.standalone.backup.manifest import OBJECTS, SNAPSHOTS, BackupError, finished_snapshots

LOCK = "lock"
PART = ".part"
MINE = secrets.token_hex(4)
"""In the names of what this process has not finished: another backup may run, in another container."""
_BYSTANDERS = {"lost+found"}  # of a file system's root
_OBJECT = re.compile(r"[a-z]{1,32}/([0-9a-f]{2})/(?=\1)[0-9a-f]{64}(?:\.[0-9a-f]{1,10}\.part)?")


def check_folder(backup: Path, data: Path) -> None:
    """Raises `BackupError` where `backup` is, holds or lies in the data folder, or holds files of others."""
    if backup == data or data in backup.parents:
        raise BackupError(f"{backup} lies in the data folder: a backup belongs elsewhere")
    if backup in data.parents:
        raise BackupError(f"{backup} holds the data folder: a backup belongs into a folder of its own")
    if backup.is_dir() and (stranger := _stranger(backup)):
        raise BackupError(
            f"{backup} is no backup of Orchard, and holds {stranger!r}: name a new or an empty folder"
        )


def make_folders(backup: Path) -> None:
    """Where they are not there yet. What is private is in the inner ones, and keys: they are closed whatever
    is above. Raises `OSError`."""
    if not backup.is_dir():
        backup.mkdir(parents=True)
        backup.chmod(0o700)
    for name in (SNAPSHOTS, OBJECTS):
        (backup / name).mkdir(exist_ok=True)
        (backup / name).chmod(0o700)


def _stranger(backup: Path) -> str:
    """The name of something in a folder that is no backup; "" if there is nothing or it is one."""
    if finished_snapshots(backup):
        return ""
    names = {each.name for each in backup.iterdir()} - _BYSTANDERS
    lock = backup / LOCK
    if lock.is_file() and not lock.stat().st_size and names <= {LOCK, SNAPSHOTS, OBJECTS}:
        return ""  # the first backup was broken off
    return min(names, default="")


def stored_objects(backup: Path) -> Iterator[Path]:
    """The objects, and what copies that were broken off left of some."""
    objects = backup / OBJECTS
    for path in objects.glob("*/*/*"):
        if _OBJECT.fullmatch(path.relative_to(objects).as_posix()) and path.is_file():
            yield path
