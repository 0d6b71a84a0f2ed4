"""Room for the embedded stores at start: a reserve that is given up when the disk is full.

PostgreSQL does not start without room for its log, and all that could free room needs PostgreSQL.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path

from shared.disk import in_words
from shared.errors import ConfigurationError

RESERVE_BYTES = 48 * 1024 * 1024  # two of PostgreSQL's log segments (16 MiB each), and some
LEAST_BYTES = 24 * 1024 * 1024  # one of them, and what the rest writes
EXPENDABLE = ("spool", "hot", "objects/.incoming", "objects/.damaged", "objects/variants")
"""Made again when somebody asks for it: broken-off downloads, copies, finished pages."""


def make_room(folder: Path) -> str:
    """See that the stores can start. What was given up for it, "" if nothing.

    Raises `ConfigurationError`, one line, if that is not enough.
    """
    reserve = folder / "reserve"
    given = ""
    if _free(folder) < LEAST_BYTES:
        if reserve.exists():
            reserve.unlink()
            given = "the disk is full: the reserve was given up"
        if _free(folder) < LEAST_BYTES:
            for name in EXPENDABLE:
                _empty(folder / name)
            given = "the disk is full: finished pages and copies were given up"
        free = _free(folder)
        if free < LEAST_BYTES:
            raise ConfigurationError(
                f"ORCHARD_DATA_DIR: the disk of {folder} is full ({in_words(free)} free, at least "
                f"{in_words(LEAST_BYTES)} are needed): free some, or name another folder"
            )
    elif not reserve.exists() and _free(folder) > 3 * RESERVE_BYTES:
        _reserve(reserve)
    return given


def _free(folder: Path) -> int:
    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize


def _empty(folder: Path) -> None:
    for path in folder.iterdir() if folder.is_dir() else ():
        with contextlib.suppress(OSError):
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()


def _reserve(path: Path) -> None:
    """A file that really takes its room, or none."""
    try:
        with path.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, RESERVE_BYTES)
    except OSError:
        path.unlink(missing_ok=True)
