"""`python -m services.standalone.bundles FILE [--trust KEY]`: `orchard import`."""

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
from services.standalone.bundles.importing import Imported, import_bundle
from services.standalone.servers import StoreFailed
from shared.bundles.form import BundleRefused
from shared.errors import ConfigurationError, OrchardError
from shared.process.disk import in_words
from shared.process.resources import Resources
from shared.protocols import spoken
from shared.settings import Settings, load_settings
from shared.stores import open_object_store, open_threads
from shared.telemetry.logs import configure_logging
from shared.tlog.notes import Key, read_key
from shared.tlog.trees import Unproven

EXIT_CONFIGURATION = 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code 0; 1: refused or not done, and one line says why; 2: a bad setting."""
    parser = argparse.ArgumentParser(prog="python -m services.standalone.bundles", description=__doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("--trust", action="append", default=[])
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    try:
        settings = load_settings(protocols=spoken())
        settings = msgspec.structs.replace(
            settings, data_dir=str(Path(settings.data_dir).expanduser().resolve())
        )
        configure_logging("import", msgspec.structs.replace(settings, log_level="error"))
        os.umask(0o077)
        done = asyncio.run(_run(settings, options.file, _keys(options.trust)))
    except ConfigurationError as error:
        return _fault(error.message, EXIT_CONFIGURATION)
    except OrchardError as error:
        return _fault(error.message, 1)
    except BundleRefused as error:
        return _fault(f"{options.file} is refused: {error}", 1)
    except (BackupError, StoreFailed) as error:
        return _fault(str(error), 1)
    except OSError as error:
        return _fault(f"{error.filename or options.file}: {error.strerror}", 1)
    sys.stdout.write((msgspec.json.encode(done).decode() if options.json else _in_words(done)) + "\n")
    return 0


async def _run(settings: Settings, file: Path, trusted: Sequence[Key]) -> Imported:
    async with Resources() as resources, database_of(settings, Path(settings.data_dir)) as url:
        store = await open_object_store(settings, open_threads(resources, settings), resources=resources)
        return await import_bundle(file, store, url, trusted, spool=Path(settings.data_dir))


def _keys(texts: Sequence[str]) -> list[Key]:
    try:
        return [read_key(each) for each in texts]
    except Unproven as error:
        raise ConfigurationError(f"--trust: {error}") from None


def _in_words(done: Imported) -> str:
    if not done.new:
        return f"{done.id} is here already: nothing changed"
    held = f"{done.pages} pages, {done.files} files, {done.absent} absent"
    objects = f"{done.objects} objects ({in_words(done.object_bytes)})"
    return f"{done.id} is imported: {held}; {objects}\n/v/build-{done.id}/"


def _fault(message: str, code: int) -> int:
    sys.stderr.write(f"orchard: {message}\n")
    return code


if __name__ == "__main__":
    sys.exit(main())
