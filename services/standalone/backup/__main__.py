"""`python -m services.standalone.backup make|restore FOLDER`: `orchard backup` and `orchard restore`."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec

from services.standalone.backup.making import Made, make
from services.standalone.backup.manifest import BackupError
from services.standalone.backup.pruning import shared
from services.standalone.backup.restoring import Restored, restore
from services.standalone.command import ended, own_settings, tell
from shared.migrations.runner import DriftError, MigrationFailed
from shared.process.disk import in_words


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code 0; 1: not done, and one line says why; 2: a bad setting."""
    parser = argparse.ArgumentParser(prog="python -m services.standalone.backup", description=__doc__)
    parser.add_argument("what", choices=("make", "restore"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--snapshot", default="", help="which to restore (the newest)")
    parser.add_argument("--quick", action="store_true", help="believe what the backup has already")
    parser.add_argument("--keep", type=int, default=0, help="so many snapshots stay (all)")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    folder = options.folder.expanduser().resolve()

    def work() -> int:
        settings = own_settings("backup")
        done: Made | Restored
        if options.what == "make":
            done = asyncio.run(make(settings, folder, quick=options.quick, keep=options.keep))
        else:
            with shared(folder):
                done = asyncio.run(restore(settings, folder, options.snapshot))
        told = msgspec.json.encode(done).decode() if options.json else _in_words(done, folder)
        tell(told)
        return 0

    return ended(work, folder, BackupError, DriftError, MigrationFailed)


def _in_words(done: Made | Restored, folder: Path) -> str:
    held = f"{done.rows} rows, {done.objects} objects ({in_words(done.object_bytes)})"
    if isinstance(done, Restored):
        return f"restored {done.snapshot} of {folder}: {held}"
    lines = [
        f"{folder}: snapshot {done.snapshot}: {held}, {done.new_objects} new ({in_words(done.new_bytes)})"
    ]
    if done.mended:
        lines.append(f"{done.mended} of them had decayed in the backup, and are whole again")
    if done.missing:
        lines.append(f"{done.missing} files with a row are not stored (evicted): they are fetched again")
    if done.damaged:
        lines.append(
            f"{done.damaged} stored objects are damaged and are not in it: `orchard events` will tell"
        )
    if done.pruned is not None:
        gone = done.pruned
        lines.append(
            f"removed: {gone.snapshots} snapshots, {gone.objects} objects ({in_words(gone.object_bytes)})"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
