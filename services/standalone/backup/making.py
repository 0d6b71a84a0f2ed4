"""One backup of an Orchard that runs or is stopped: rows first, in one snapshot, then what they name."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import hashlib
import shutil
import time
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec

from services.standalone.backup.database import OBJECTS, dump_tables
from services.standalone.backup.folder import MINE, PART, check_folder, make_folders
from services.standalone.backup.manifest import (
    FORMAT,
    KEYS,
    LISTED,
    MANIFEST,
    SNAPSHOTS,
    BackupError,
    Manifest,
)
from services.standalone.backup.objects import copy_out
from services.standalone.backup.pruning import Pruned, prune, shared
from services.standalone.data_folder import DataFolder
from services.standalone.kept_files import read_kept, write_private
from services.standalone.postgres import DATABASE, USER, EmbeddedPostgres
from services.standalone.servers import LOOPBACK
from shared.errors import ConfigurationError
from shared.errors.passing import DatabaseUnavailable
from shared.migrations.runner import read_migrations
from shared.postgres.connection import session
from shared.process.resources import Resources
from shared.settings import Settings
from shared.stores import open_object_store, open_threads
from shared.version import VERSION


class Made(msgspec.Struct):
    """What a backup did."""

    snapshot: str
    rows: int
    objects: int
    object_bytes: int
    new_objects: int
    new_bytes: int
    mended: int
    missing: int
    damaged: int
    seconds: float
    pruned: Pruned | None = None


async def make(settings: Settings, backup: Path, *, quick: bool = False, keep: int = 0) -> Made:
    """`quick`: what the backup has already is not read again. `keep`: so many snapshots stay; 0: all.

    Raises `BackupError`, `ConfigurationError`, and what the stores raise.

    A part of a snapshot never counts as one; objects that came are kept for the next.
    """
    began = time.time()
    data = Path(settings.data_dir)
    part = backup / SNAPSHOTS / f"{MINE}{PART}"
    check_folder(backup, data)
    async with (
        contextlib.AsyncExitStack() as stack,
        Resources() as resources,
        database_of(settings, data) as url,
    ):
        store = await open_object_store(settings, open_threads(resources, settings), resources=resources)
        try:
            async with session(url) as database, database.snapshot():
                make_folders(backup)
                lock = stack.enter_context(shared(backup, create=True))
                part.mkdir()
                migrations, tables, sequences, days = await dump_tables(database, part)
                keys = set[str]()
                for table in tables:  # of an older version some are missing
                    if query := OBJECTS.get(table.name):
                        keys.update(str(row["key"]) for row in await database.fetch(query))
            known = {each.name for each in read_migrations()}
            if not set(migrations) <= known:
                raise BackupError("the database is of a newer Orchard: make the backup with that one")
            copied = await copy_out(store, sorted(keys), backup, quick=quick)
            lines = "".join(f"{key} {size}\n" for key, size in sorted(copied.listed.items())).encode()
            (part / LISTED).write_bytes(lines)
            kept = {each: held + "\n" for each in KEYS if (held := read_kept(data / each)) not in ("", "\0")}
            for each, content in kept.items():
                write_private(part / each, content)
            manifest = Manifest(
                FORMAT, began, VERSION, migrations, tables, sequences, days,
                objects_sha256=hashlib.sha256(lines).hexdigest(),
                objects=len(copied.listed),
                object_bytes=sum(copied.listed.values()),
                missing=copied.missing + copied.damaged,
                keys={each: hashlib.sha256(content.encode()).hexdigest() for each, content in kept.items()},
            )  # fmt: skip
            write_private(part / MANIFEST, msgspec.json.format(msgspec.json.encode(manifest)).decode())
            name = _named(part, began)
        finally:
            shutil.rmtree(part, ignore_errors=True)
        pruned = await asyncio.to_thread(prune, backup, lock, keep) if keep else None
    rows = sum(each.rows for each in tables)
    return Made(
        name, rows, manifest.objects, manifest.object_bytes, copied.new, copied.new_bytes, copied.mended,
        copied.missing, copied.damaged, round(time.time() - began, 3), pruned,
    )  # fmt: skip


def _named(part: Path, began: float) -> str:
    """The snapshot's name, from now on: when it began; a later second where another began with it."""
    while True:
        name = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(began))
        try:
            part.rename(part.with_name(name))
            return name
        except OSError as error:
            if error.errno not in (errno.EEXIST, errno.ENOTEMPTY):
                raise
            began += 1


@contextlib.asynccontextmanager
async def database_of(settings: Settings, data: Path) -> AsyncIterator[str]:
    """The database that the settings name; else the data folder's own, started where nobody runs it."""
    if settings.database_url:
        yield settings.database_url
        return
    folder = data / "postgres"
    if not (folder / "data").is_dir():
        raise BackupError(
            f"{data} is no data folder of Orchard: set ORCHARD_DATA_DIR or ORCHARD_DATABASE_URL"
        )
    port, password = read_kept(folder / "port"), read_kept(folder / "password")
    url = f"postgresql://{USER}:{password}@{LOOPBACK}:{port}/{DATABASE}"
    if port.isdigit() and await _answers(url):
        yield url
        return
    lock = DataFolder(data)
    try:
        lock.open()
    except ConfigurationError as error:
        raise BackupError(f"{error.message}; and its database does not answer") from error
    try:
        with EmbeddedPostgres(folder) as server:
            yield server.url()
    finally:
        lock.close()


async def _answers(url: str) -> bool:
    try:
        async with session(url) as database:
            await database.fetch("SELECT 1")
        return True
    except (DatabaseUnavailable, ConfigurationError):
        return False
