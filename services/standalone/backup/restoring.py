"""A backup becomes an Orchard again: everything is checked before anything is changed."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import tempfile
import time
from pathlib import Path

import msgspec

from services.standalone.backup.database import emptied_on_failure, is_empty, load_tables
from services.standalone.backup.manifest import (
    KEYS,
    BackupError,
    Manifest,
    listed_objects,
    newest_snapshot,
    read_manifest,
)
from services.standalone.backup.objects import check_objects, copy_in
from services.standalone.kept_files import read_kept, write_private
from services.standalone.postgres import EmbeddedPostgres
from shared.migrations.runner import read_migrations
from shared.process.resources import Resources
from shared.settings import Settings
from shared.stores import open_object_store, open_threads


class Restored(msgspec.Struct):
    """What a restore did."""

    snapshot: str
    made_at: float
    rows: int
    objects: int
    object_bytes: int
    seconds: float


async def restore(settings: Settings, backup: Path, name: str = "") -> Restored:
    """Into an empty data folder, or an empty database and a store. Raises `BackupError` before anything is
    changed; what the stores raise later leaves the data folder as it was."""
    began = time.monotonic()
    snapshot = newest_snapshot(backup, name)
    manifest = await asyncio.to_thread(read_manifest, snapshot, read_migrations())
    data = Path(settings.data_dir)
    await asyncio.to_thread(_check_free, data)
    if settings.database_url and not await is_empty(settings.database_url):
        raise BackupError("the database of ORCHARD_DATABASE_URL is not empty: restore into a new one")
    checked = await asyncio.to_thread(check_objects, backup, listed_objects(snapshot))
    if checked != (manifest.objects, manifest.object_bytes):
        raise BackupError(f"{snapshot} lists other objects than its manifest says")
    data.parent.mkdir(parents=True, exist_ok=True)
    fresh = Path(tempfile.mkdtemp(prefix=f"{data.name}.restoring-", dir=data.parent))  # its owner's alone
    try:
        (fresh / "objects").mkdir(mode=0o700)  # before the store, which opens what it makes
        await _fill(msgspec.structs.replace(settings, data_dir=str(fresh)), manifest, backup, snapshot, fresh)
        _give_name(fresh, data)
    except BaseException:
        shutil.rmtree(fresh, ignore_errors=True)
        raise
    rows = sum(each.rows for each in manifest.tables)
    return Restored(
        snapshot.name, manifest.made_at, rows, manifest.objects, manifest.object_bytes,
        round(time.monotonic() - began, 3),
    )  # fmt: skip


def _check_free(data: Path) -> None:
    """Raises `BackupError` unless a data folder may get this name."""
    if data.exists() and not data.is_dir():
        raise BackupError(f"{data} is no folder: restore into a new ORCHARD_DATA_DIR")
    if _holds_something(data):
        raise BackupError(f"{data} is not empty: restore into a new ORCHARD_DATA_DIR")
    if data.is_mount():  # what is restored is made beside it, and then gets its name
        raise BackupError(f"{data} is a file system of its own: restore into a folder on it")


def _holds_something(data: Path) -> bool:
    return data.is_dir() and any(data.iterdir())


def _give_name(fresh: Path, data: Path) -> None:
    with contextlib.suppress(FileNotFoundError):
        data.rmdir()
    fresh.rename(data)


async def _fill(settings: Settings, manifest: Manifest, backup: Path, snapshot: Path, fresh: Path) -> None:
    async with Resources() as resources:
        store = await open_object_store(settings, open_threads(resources, settings), resources=resources)
        await copy_in(store, backup, listed_objects(snapshot))
        if url := settings.database_url:
            async with emptied_on_failure(url):
                await load_tables(url, manifest, snapshot, read_migrations())
        else:
            with EmbeddedPostgres(fresh / "postgres") as server:
                await load_tables(server.url(), manifest, snapshot, read_migrations())
    for each in KEYS if manifest.keys is None else manifest.keys:
        if kept := read_kept(snapshot / each):
            write_private(fresh / each, kept + "\n")
