"""A stored file as a path of this machine, wherever its object lies."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from shared.models import StoredFile
from shared.objects.port import ObjectStore
from shared.process.disk import make_expendable

_numbers = itertools.count()


@asynccontextmanager
async def stored_path(objects: ObjectStore, folder: Path, facts: StoredFile) -> AsyncIterator[Path]:
    """Its own, or that of a copy in `folder`, which goes. Raises `StoreUnavailable`, `ObjectMissing`."""
    path = objects.local_path(facts.object_key)
    if path is not None:
        yield path
        return
    copy = folder / f"stored-{facts.sha256}-{next(_numbers)}"
    make_expendable(folder)
    try:
        with copy.open("wb") as file:
            async for chunk in objects.open_stream(facts.object_key):
                file.write(chunk)
        yield copy
    finally:
        copy.unlink(missing_ok=True)
