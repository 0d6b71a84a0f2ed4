"""Folders whose whole content can be made again."""

from __future__ import annotations

import contextlib
from pathlib import Path


def make_expendable(folder: Path) -> None:
    """A folder at this path; whatever else stands there is removed. Raises `OSError`."""
    if folder.is_dir():
        return
    with contextlib.suppress(FileNotFoundError, NotADirectoryError, IsADirectoryError, PermissionError):
        folder.unlink()
    folder.mkdir(parents=True, exist_ok=True)
