"""Where an import puts what is not stored yet: gone when it ends, however it ends."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

PREFIX = ".import-"
OLD_SECONDS = 86400.0  # files of this name that earlier versions left, which held no lock


@contextmanager
def own_spool(data: Path) -> Iterator[Path]:
    """A folder in the data folder, removed at the end; before, those are removed that killed imports left.
    Raises `OSError`."""
    data.mkdir(parents=True, exist_ok=True)
    place = os.open(data, os.O_RDONLY)
    try:
        fcntl.flock(place, fcntl.LOCK_EX)  # nobody clears between the making of a folder and its lock
        _clear(data)
        folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=data))
        held = os.open(folder, os.O_RDONLY)
        fcntl.flock(held, fcntl.LOCK_EX)
    finally:
        os.close(place)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(held)


def _clear(data: Path) -> None:
    for left in data.glob(f"{PREFIX}*"):
        with suppress(OSError):
            if left.is_dir():
                _remove_unless_held(left)
            elif left.stat().st_mtime < time.time() - OLD_SECONDS:
                left.unlink()


def _remove_unless_held(folder: Path) -> None:
    """Raises `BlockingIOError` where its import runs."""
    lock = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(folder)
    finally:
        os.close(lock)
