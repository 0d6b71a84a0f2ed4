"""`python -m services.standalone.imports FOLDER [--own PROTOCOL/PATTERN] [--yes]`: `orchard import-files`."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec

from services.standalone.backup.making import database_of
from services.standalone.backup.manifest import BackupError
from services.standalone.imports.importing import Importer, Report, in_words
from services.standalone.imports.taking import Refused
from services.standalone.servers import StoreFailed
from shared.errors import ConfigurationError, OrchardError
from shared.process.disk import in_words as size_in_words
from shared.process.resources import Resources
from shared.protocols import find_protocol, spoken
from shared.settings import Settings, load_settings
from shared.stores import open_object_store, open_threads
from shared.telemetry.logs import configure_logging

EXIT_CONFIGURATION = 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code 0; 1: not done, and one line says why, or something was left out; 2: a bad setting."""
    parser = argparse.ArgumentParser(prog="python -m services.standalone.imports", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--own", action="append", default=[])
    parser.add_argument("--yes", action="store_true")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    try:
        settings = load_settings(protocols=spoken())
        settings = msgspec.structs.replace(
            settings, data_dir=str(Path(settings.data_dir).expanduser().resolve())
        )
        configure_logging("import", msgspec.structs.replace(settings, log_level="error"))
        os.umask(0o077)
        for each in options.own:
            protocol = find_protocol(each.partition("/")[0])
            if protocol is None or not protocol.names.canonical_name(each.partition("/")[2]):
                raise ConfigurationError(f"--own takes PROTOCOL/NAME, and got {each[:80]}")
        report = asyncio.run(
            _run(settings, options.folder.resolve(strict=True), options.own, dry=not options.yes)
        )
    except ConfigurationError as error:
        return _fault(error.message, EXIT_CONFIGURATION)
    except OrchardError as error:
        return _fault(error.message, 1)
    except (BackupError, StoreFailed, Refused) as error:
        return _fault(str(error), 1)
    except OSError as error:
        return _fault(f"{error.filename or options.folder}: {error.strerror}", 1)
    sys.stdout.write((msgspec.json.encode(report).decode() if options.json else _in_words(report)) + "\n")
    return 1 if report.left_out else 0


async def _run(settings: Settings, folder: Path, own: Sequence[str], *, dry: bool) -> Report:
    data = Path(settings.data_dir)
    async with Resources() as resources, database_of(settings, data) as url:
        store = await open_object_store(settings, open_threads(resources, settings), resources=resources)
        importer = Importer(folder, store, url, spool=data, most=settings.max_artifact_bytes, tell=_tell)
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


def _fault(message: str, code: int) -> int:
    sys.stderr.write(f"orchard: {message}\n")
    return code


if __name__ == "__main__":
    sys.exit(main())
