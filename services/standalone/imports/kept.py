"""`python -m services.standalone.imports.kept [PROTOCOL[/NAME[@VERSION]]] [--forget [--yes]]`, which
`orchard imported` becomes."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from services.standalone.backup.making import database_of
from services.standalone.backup.manifest import BackupError
from services.standalone.command import ended, own_settings, tell
from shared.errors import ConfigurationError
from shared.imports import rows
from shared.postgres.connection import session
from shared.process.disk import in_words as size_in_words
from shared.protocols import find_protocol
from shared.settings import Settings


class Told(msgspec.Struct):
    """What was imported and is kept. `forgotten`: or was, until now; `dry`: or would be forgotten."""

    files: int
    bytes: int
    projects: list[rows.Kept]
    forgotten: bool = False
    dry: bool = False


class Named(NamedTuple):
    """Which of the imported files; "" is any."""

    protocol: str
    project: str
    version: str


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code 0; 1: not done, and one line says why; 2: a bad name or setting."""
    parser = argparse.ArgumentParser(prog="python -m services.standalone.imports.kept", description=__doc__)
    parser.add_argument("of", nargs="?", default="")
    parser.add_argument("--forget", action="store_true")
    parser.add_argument("--yes", action="store_true")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)

    def work() -> int:
        settings = own_settings("imported")
        named = _named(options.of)
        if options.forget and not named.project:
            raise ConfigurationError("--forget takes PROTOCOL/NAME or PROTOCOL/NAME@VERSION")
        told = asyncio.run(_run(settings, named, forget=options.forget, dry=not options.yes))
        tell(msgspec.json.encode(told).decode() if options.json else _in_words(told))
        return 0

    return ended(work, Path("imported files"), BackupError)


def _named(text: str) -> Named:
    """Raises `ConfigurationError`."""
    if not text:
        return Named("", "", "")
    name, slash, rest = text.partition("/")
    protocol = find_protocol(name)
    at = rest.rfind("@", 1)  # a name may begin with one
    project, version = (rest, "") if at < 0 else (rest[:at], rest[at + 1 :])
    known = protocol.names.canonical_name(project) if protocol is not None and slash else ""
    if protocol is None or (slash and not known):
        raise ConfigurationError(f"{text[:80]} is no PROTOCOL/NAME, as `orchard imported` lists them")
    return Named(name, known, version)


async def _run(settings: Settings, named: Named, *, forget: bool, dry: bool) -> Told:
    async with database_of(settings, Path(settings.data_dir)) as url, session(url) as database:
        found = await rows.kept(database, *named)
        if forget and not dry and found:
            async with database.transaction():
                await rows.forget(database, *named)
    total = sum(each.files for each in found), sum(each.bytes for each in found)
    return Told(*total, found, forgotten=forget and not dry, dry=forget and dry)


def _in_words(told: Told) -> str:
    lines = [
        f"{each.protocol}/{each.project}: {', '.join(each.versions)}; {each.files} files, "
        f"{size_in_words(each.bytes)}"
        for each in told.projects
    ]
    if not lines:
        return "nothing that was imported"
    total = f"{told.files} files, {size_in_words(told.bytes)}"
    if told.dry:
        lines.append(f"{total} would be forgotten: --yes does it")
    else:
        lines.append(f"{total} {'are forgotten' if told.forgotten else 'in all'}")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
