"""`python -m services.standalone.backup make|restore FOLDER`: `orchard backup` and `orchard restore`."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec

from services.standalone.backup.making import Made, make
from services.standalone.backup.manifest import BackupError
from services.standalone.backup.restoring import Restored, restore
from services.standalone.servers import StoreFailed
from shared.errors import OrchardError
from shared.migrations.runner import DriftError, MigrationFailed
from shared.process.disk import in_words
from shared.protocols import spoken
from shared.settings import load_settings
from shared.telemetry.logs import configure_logging

EXIT_CONFIGURATION = 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code 0; 1: not done, and one line says why; 2: a bad setting."""
    parser = argparse.ArgumentParser(prog="python -m services.standalone.backup", description=__doc__)
    parser.add_argument("what", choices=("make", "restore"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--snapshot", default="", help="which to restore (the newest)")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    folder = options.folder.expanduser().resolve()
    try:
        settings = load_settings(protocols=spoken())
        settings = msgspec.structs.replace(
            settings, data_dir=str(Path(settings.data_dir).expanduser().resolve())
        )
        configure_logging("backup", msgspec.structs.replace(settings, log_level="error"))
        os.umask(0o077)
        done: Made | Restored
        if options.what == "make":
            done = asyncio.run(make(settings, folder))
        else:
            done = asyncio.run(restore(settings, folder, options.snapshot))
    except OrchardError as error:
        return _fault(error.message, EXIT_CONFIGURATION if error.code == "configuration_error" else 1)
    except (BackupError, StoreFailed, DriftError, MigrationFailed) as error:
        return _fault(str(error), 1)
    except OSError as error:
        return _fault(f"{error.filename or folder}: {error.strerror}", 1)
    sys.stdout.write((msgspec.json.encode(done).decode() if options.json else _in_words(done, folder)) + "\n")
    return 0


def _in_words(done: Made | Restored, folder: Path) -> str:
    held = f"{done.rows} rows, {done.objects} objects ({in_words(done.object_bytes)})"
    if isinstance(done, Restored):
        return f"restored {done.snapshot} of {folder}: {held}"
    lines = [
        f"{folder}: snapshot {done.snapshot}: {held}, {done.new_objects} new ({in_words(done.new_bytes)})"
    ]
    if done.missing:
        lines.append(f"{done.missing} files with a row are not stored (evicted): they are fetched again")
    if done.damaged:
        lines.append(
            f"{done.damaged} stored objects are damaged and are not in it: `orchard events` will tell"
        )
    return "\n".join(lines)


def _fault(message: str, code: int) -> int:
    sys.stderr.write(f"orchard: {message}\n")
    return code


if __name__ == "__main__":
    sys.exit(main())
