"""A folder for one run of a bench, outside the repository: no client finds a project above its own."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def work_folder(name: str, *, keep: bool = False) -> Iterator[Path]:
    """An empty folder; removed afterwards with all that is in it, or, with `keep`, told where it lies."""
    folder = Path(tempfile.mkdtemp(prefix=f"orchard-{name}-"))
    try:
        yield folder
    finally:
        if keep:
            print(f"kept: {folder}")
        else:
            shutil.rmtree(folder, ignore_errors=True)
