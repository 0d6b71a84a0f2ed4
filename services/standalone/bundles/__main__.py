"""`python -m services.standalone.bundles FILE [--trust KEY]`: `orchard import`."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec

from services.standalone.backup.making import database_of
from services.standalone.backup.manifest import BackupError
from services.standalone.bundles.importing import Imported, import_bundle
from services.standalone.command import ended, own_settings, tell
from services.standalone.spool import own_spool
from shared.bundles.form import BundleRefused
from shared.errors import ConfigurationError
from shared.process.disk import in_words
from shared.process.resources import Resources
from shared.protocols.reading.views import view_of_list
from shared.settings import Settings
from shared.stores import open_object_store, open_threads
from shared.tlog.notes import Key, read_key
from shared.tlog.trees import Unproven


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code 0; 1: refused or not done, and one line says why; 2: a bad setting."""
    parser = argparse.ArgumentParser(prog="python -m services.standalone.bundles", description=__doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("--trust", action="append", default=[])
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)

    def work() -> int:
        try:
            done = asyncio.run(_run(own_settings("import"), options.file, _keys(options.trust)))
        except BundleRefused as error:
            raise BundleRefused(f"{options.file} is refused: {error}") from None
        tell(msgspec.json.encode(done).decode() if options.json else _in_words(done))
        return 0

    return ended(work, options.file, BackupError, BundleRefused)


async def _run(settings: Settings, file: Path, trusted: Sequence[Key]) -> Imported:
    async with Resources() as resources, database_of(settings, Path(settings.data_dir)) as url:
        store = await open_object_store(settings, open_threads(resources, settings), resources=resources)
        with own_spool(Path(settings.data_dir)) as spool:
            return await import_bundle(file, store, url, trusted, spool=spool)


def _keys(texts: Sequence[str]) -> list[Key]:
    try:
        return [read_key(each) for each in texts]
    except Unproven as error:
        raise ConfigurationError(f"--trust: {error}") from None


def _in_words(done: Imported) -> str:
    if not done.new:
        did = f"{done.restored} lost object(s) of it restored" if done.restored else "nothing changed"
        return f"{done.id} is here already: {did}"
    held = f"{_counted(done.pages, 'page')}, {_counted(done.files, 'file')}, {done.absent} absent"
    objects = f"{_counted(done.objects, 'object')} ({in_words(done.object_bytes)})"
    return f"{done.id} is imported: {held}; {objects}\n{view_of_list(done.id).path}/"


def _counted(count: int, thing: str) -> str:
    return f"{count} {thing}{'' if count == 1 else 's'}"


if __name__ == "__main__":
    sys.exit(main())
