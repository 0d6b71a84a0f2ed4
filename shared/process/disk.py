"""The floor of free disk space: below it no file is stored, so that databases and queues on the same disk go
on.

A full disk stops PostgreSQL, and with it the eviction of files. So files are passed on, or refused with a
reason, before that, with room for the remedy (services/extractor/housekeeping/evictor.py). Folders whose
whole content can be made again are made by `make_expendable`.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import msgspec

from shared.errors.passing import StoreUnavailable
from shared.telemetry import metrics

LEAST_BYTES = 1024**3  # by default: a gibibyte, or
LEAST_SHARE = 20  # a twentieth of a smaller file system


class Disk(msgspec.Struct, frozen=True):
    """A file system as an unprivileged process sees it, in bytes. `floor_bytes` 0: there is none."""

    free_bytes: int
    total_bytes: int
    floor_bytes: int

    @property
    def is_low(self) -> bool:
        """Less than twice the floor is left: time to free some."""
        return self.free_bytes < 2 * self.floor_bytes

    @property
    def is_short(self) -> bool:
        """Files are passed on, and not stored."""
        return self.free_bytes < self.floor_bytes

    def problem(self) -> str:
        """One line for /health; "" if all is well."""
        if not self.is_low:
            return ""
        effect = "new files are not stored" if self.is_short else "soon new files will not be stored"
        return (
            f"disk: {in_words(self.free_bytes)} of {in_words(self.total_bytes)} free in the data folder; "
            f"{effect} (below {in_words(self.floor_bytes)}, ORCHARD_MIN_FREE_BYTES)"
        )


class DiskFloor:
    """The floor of the file system that a folder is on. `floor_bytes` None: see above; 0: none."""

    def __init__(self, folder: Path, floor_bytes: int | None) -> None:
        self._folder = folder
        self._floor = floor_bytes

    def look(self) -> Disk:
        """As it is now. Raises `OSError`."""
        folder = self._folder
        while not folder.exists() and folder != folder.parent:
            folder = folder.parent
        found = os.statvfs(folder)
        total = found.f_blocks * found.f_frsize
        floor = min(LEAST_BYTES, total // LEAST_SHARE) if self._floor is None else self._floor
        disk = Disk(found.f_bavail * found.f_frsize, total, floor)
        metrics.DISK_FREE_BYTES.set(disk.free_bytes)
        metrics.DISK_FLOOR_BYTES.set(disk.floor_bytes)
        return disk

    def glance(self) -> Disk | None:
        """The same, for figures."""
        try:
            return self.look()
        except OSError:
            return None

    def has_room(self, wanted_bytes: int) -> bool:
        """Whether a file of so many bytes leaves the floor free."""
        disk = self.glance()  # without one, writing will say what is wrong
        return disk is None or not disk.floor_bytes or disk.free_bytes - wanted_bytes >= disk.floor_bytes

    def check(self, wanted_bytes: int = 0) -> None:
        """Raises `StoreUnavailable` if a file of so many bytes would leave less than the floor."""
        if not self.has_room(wanted_bytes):
            disk = self.look()
            raise StoreUnavailable(
                f"the disk is nearly full: {in_words(disk.free_bytes)} free, "
                f"{in_words(wanted_bytes)} wanted, {in_words(disk.floor_bytes)} to be left "
                "(ORCHARD_MIN_FREE_BYTES)"
            )


def in_words(count: int) -> str:
    """A number of bytes for people: 3.4 GB."""
    size = float(count)
    for unit in ("bytes", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit in ("bytes", "kB") else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"


def make_expendable(folder: Path) -> None:
    """A folder at this path; whatever else stands there is removed. Raises `OSError`."""
    if folder.is_dir():
        return
    with contextlib.suppress(FileNotFoundError, NotADirectoryError, IsADirectoryError, PermissionError):
        folder.unlink()
    folder.mkdir(parents=True, exist_ok=True)
