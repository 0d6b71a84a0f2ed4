"""Room for the stores on a disk that others fill too.

PostgreSQL does not start without room for its log, the queue Redis takes no job that it cannot write down,
and all that could free room needs both: a reserve is given up when the disk is full, and made again after.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
from pathlib import Path

from services.standalone.output import complain
from shared.errors import ConfigurationError
from shared.process.disk import in_words
from shared.settings import Settings

RESERVE_BYTES = 48 * 1024 * 1024  # two of PostgreSQL's log segments (16 MiB each), and some
LEAST_BYTES = 24 * 1024 * 1024  # one of them, and what the rest writes
LOOK_SECONDS = 1.0
GIVEN_UP = "the disk is full: the reserve was given up"
EXPENDABLE = ("spool", "hot", "objects/.incoming", "objects/.damaged", "objects/variants")
"""Made again when somebody asks for it: broken-off downloads, copies, finished pages."""


def make_room(folder: Path) -> str:
    """Make sure that the stores can start. Returns what was removed for it, "" if nothing.

    Raises `ConfigurationError`, one line, if that is not enough.
    """
    given = tend_reserve(folder)
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
    return given


def tend_reserve(folder: Path) -> str:
    """Give the reserve up where the disk is full, make it where there is room; what is to be told of it, ""
    if nothing. Raises `OSError`."""
    reserve = folder / "reserve"
    free = _free(folder)
    if free < LEAST_BYTES and reserve.exists():
        reserve.unlink()
        return GIVEN_UP
    if free > 3 * RESERVE_BYTES and not reserve.exists():
        _reserve(reserve)
    return ""


async def keep_room(folder: Path) -> None:
    """Tend it for as long as Orchard runs: other programs fill the disk then, too."""
    while True:
        await asyncio.sleep(LOOK_SECONDS)
        with contextlib.suppress(OSError):
            if told := await asyncio.to_thread(tend_reserve, folder):
                complain(f"! {told}; free some, or name another folder by ORCHARD_DATA_DIR")


def bound_of(settings: Settings, folder: Path) -> int:
    """How many bytes of files stay at most: half of the disk unless set; 0, no bound, for a bucket."""
    if settings.evict_bytes is not None or settings.s3_endpoint:
        return settings.evict_bytes or 0
    found = os.statvfs(folder)
    return found.f_blocks * found.f_frsize // 2


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
