"""The clients that can be set up, by the name of their command, and how their files are changed and changed
back.

How a client is set up stands in its protocol's folder (`clients.py`). That file is loaded by its path when it
is asked for: importing it by its name would import all protocols, and the libraries that they need. Of each
file that is changed a copy is kept, and every difference is shown.
"""

from __future__ import annotations

import difflib
import re
import shutil
from collections.abc import Mapping, Sequence
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from typing import Any, NamedTuple

from services.cli.errors import CommandFailed
from services.cli.files import write_whole
from services.cli.table import CLIENTS as PROTOCOL_OF
from shared.clientfiles.setup import (
    CannotEdit,
    ClientSetup,
    Configure,
    FileEdit,
    Setup,
    Surroundings,
    read_text,
)

_FOLDER = Path(__file__).parents[2] / "shared" / "protocols"
_LOADER: Any = globals()["__loader__"]  # of files, or of an archive (orchard.pyz)


def _module(protocol: str) -> Any:
    path = str(_FOLDER / protocol / "clients.py")
    spec = spec_from_loader(f"clients_of_{protocol}", loader=None)
    assert spec is not None
    module = module_from_spec(spec)
    exec(compile(_LOADER.get_data(path), path, "exec"), module.__dict__)  # noqa: S102 - our own file
    return module


def _of(client: str) -> Configure:
    def configure(setup: Setup) -> ClientSetup:
        made: ClientSetup = _module(PROTOCOL_OF[client]).CLIENTS[client](setup)
        return made

    return configure


def surroundings(protocol: str, setup: Setup) -> Surroundings:
    """For a command that runs clients of a protocol; `setup.folder` is a scratch folder, and their home."""
    make = getattr(_module(protocol), "surroundings", None)
    made: Surroundings = Surroundings({}) if make is None else make(setup)
    return made


CLIENTS: Mapping[str, Configure] = {client: _of(client) for client in PROTOCOL_OF}


SUFFIX = ".orchard-backup"
_SECRET = re.compile(
    r"(?i)((?:_auth|_authtoken|_password|password|passwd|token|secret)[\"'>]*\s*[=:\s>]\s*).*"
)
_USER = re.compile(r"://[^/\s@\"']+@")


class Change(NamedTuple):
    """What was done, or would be, with one file."""

    path: Path
    difference: str  # "" when there was nothing to do
    backup: Path | None = None


def apply(edit: FileEdit, *, dry_run: bool) -> Change:
    """Bring a file to the wanted state. Raises `CannotEdit` naming the file, which then is as it was."""
    path = edit.path
    old = read_text(path)
    new = _edited(edit, old)
    difference = _difference(path, old, new)
    if old == new:
        return Change(path, "")
    backup = _backup_of(path) if path.exists() else None
    if dry_run:
        return Change(path, difference, backup)
    if backup is not None:
        _keep(edit, path, backup, old)
    write_whole(path, new.encode())
    return Change(path, difference, backup)


def undo(edits: Sequence[FileEdit], *, dry_run: bool) -> Change:
    """Put back the copy, or no file if there was none. `edits` are all that may have been applied to
    this file: with a token and without.

    Raises `CommandFailed` if the file has been changed otherwise since: that must not get lost.
    """
    path, backup = edits[0].path, _backup_of(edits[0].path)
    if not path.exists():
        raise CommandFailed(f"there is no file {path}", "Nothing is to be undone.")
    current, before = read_text(path), read_text(backup)
    difference = _difference(path, current, before)
    if not any(_is_ours(each, current, before, copied=backup.exists()) for each in edits):
        hint = f"Compare it with {backup}." if backup.exists() else "There is no copy of it either."
        raise CommandFailed(f"{path} has been changed since, or was not changed by this command", hint)
    if dry_run:
        return Change(path, difference)
    if backup.exists():
        write_whole(path, before.encode())
        backup.unlink()
    else:
        path.unlink()
    return Change(path, difference)


def _is_ours(edit: FileEdit, current: str, before: str, *, copied: bool) -> bool:
    """Brought to one state they are equal: they differ in our own lines only, whatever address those
    name. Without a copy the file must hold what we wrote and nothing else."""
    try:
        wanted = edit.edit(current)
        return wanted == edit.edit(before) and (copied or current == wanted)
    except CannotEdit:
        return False


def _edited(edit: FileEdit, text: str) -> str:
    try:
        return edit.edit(text)
    except CannotEdit as error:
        hint = error.hint or "`orchard client-config` without --write shows what belongs there."
        raise CannotEdit(f"{edit.path}: {error.message}", hint) from None


def _backup_of(path: Path) -> Path:
    return path.with_name(path.name + SUFFIX)


def _keep(edit: FileEdit, path: Path, backup: Path, old: str) -> None:
    """Keep a copy of the file as it was before this command first changed it.

    A copy that differs in more than our own lines is of another time: it is kept under a number.
    """
    if backup.exists():
        try:
            if edit.edit(read_text(backup)) == edit.edit(old):
                return
        except CannotEdit:
            pass
        number = 1
        while (aside := backup.with_name(f"{backup.name}.{number}")).exists():
            number += 1
        backup.rename(aside)
    try:
        shutil.copy2(path, backup)
        backup.chmod(path.stat().st_mode & 0o7777)
    except OSError as error:
        raise CommandFailed(f"{backup} cannot be written: {error.strerror}", "Nothing was changed.") from None


def _difference(path: Path, old: str, new: str) -> str:
    """A unified difference without what looks like a secret."""
    lines = difflib.unified_diff(old.splitlines(), new.splitlines(), str(path), str(path), lineterm="", n=1)
    return "\n".join(_masked(line) for line in lines)


def _masked(line: str) -> str:
    hidden = _SECRET.sub(
        lambda found: found.group(0) if "ORCHARD_TOKEN" in found.group(0) else found.group(1) + "***", line
    )
    return _USER.sub("://***@", hidden)
