"""`python -m services.standalone.imports FOLDER [--own PROTOCOL/PATTERN] [--yes]`: `orchard import-files`."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path

import msgspec

from services.standalone.backup.making import database_of
from services.standalone.backup.manifest import BackupError
from services.standalone.command import ended, own_settings, tell
from services.standalone.imports.importing import Importer, Report, in_words
from services.standalone.imports.taking import Refused
from services.standalone.spool import own_spool
from shared.errors import ConfigurationError
from shared.process.disk import in_words as size_in_words
from shared.process.resources import Resources
from shared.protocols import find_protocol
from shared.settings import Settings
from shared.stores import open_object_store, open_threads


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code 0; 1: not done, and one line says why, or something was left out; 2: a bad setting."""
    parser = argparse.ArgumentParser(prog="python -m services.standalone.imports", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--own", action="append", default=[])
    parser.add_argument("--yes", action="store_true")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)

    def work() -> int:
        settings = own_settings("import")
        for each in options.own:
            protocol = find_protocol(each.partition("/")[0])
            if protocol is None or not protocol.names.canonical_name(each.partition("/")[2]):
                raise ConfigurationError(f"--own takes PROTOCOL/NAME, and got {each[:80]}")
        folder = options.folder.resolve(strict=True)
        report = asyncio.run(_run(settings, folder, options.own, dry=not options.yes))
        told = msgspec.json.encode(report).decode() if options.json else _in_words(report)
        tell(told)
        return 1 if report.left_out else 0

    return ended(work, options.folder, BackupError, Refused)


async def _run(settings: Settings, folder: Path, own: Sequence[str], *, dry: bool) -> Report:
    data = Path(settings.data_dir)
    async with Resources() as resources, database_of(settings, data) as url:
        store = await open_object_store(settings, open_threads(resources, settings), resources=resources)
        with nullcontext(data) if dry else own_spool(data) as spool:  # a dry run writes nothing
            importer = Importer(folder, store, url, spool=spool, most=settings.max_artifact_bytes, tell=_tell)
            return await importer.run(own, dry=dry)


def _tell(progress: str) -> None:
    if sys.stderr.isatty():
        sys.stderr.write(f"\r\x1b[K{progress}")
        sys.stderr.flush()


def _in_words(report: Report) -> str:
    _tell("")
    head = "would be imported" if report.dry else "imported"
    lines = [f"{head}: {size_in_words(report.bytes)}", *in_words(report)]
    if report.dry and report.imported:
        lines.append("nothing was changed: --yes imports it")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
