"""How a client's own file is changed and changed back. Of what was there a copy is kept, and every difference
is shown.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Callable, Mapping, Sequence
from itertools import permutations
from pathlib import Path
from typing import NamedTuple

from services.cli.errors import CommandFailed
from services.cli.files import remove, write_whole
from shared.clientfiles.form import in_form_of, lines_of, plain
from shared.clientfiles.setup import CannotEdit, FileEdit, read_whole

SUFFIX = ".orchard-backup"
NOTHING = "orchard client-config: there was no file\n"
"""The copy of no file: so it is known later that all of the file is ours, whatever address that names."""

_PROBE = "http://probe.invalid"  # an address that none has, to see what is written behind one
_MOST_BASES = 16
_SECRET = re.compile(
    r"(?i)((?:_auth|_authtoken|_password|password|passwd|token|secret)[\"'>]*\s*[=:\s>]\s*).*"
)
_USER = re.compile(r"://[^/\s@\"']+@")
_ADDRESS = re.compile(r"https?://[^\s\"'<>@,;\\]+")

Edits = Callable[[str], Mapping[str, Sequence[FileEdit]]]
"""What this file may have been given, by client, for an address of an Orchard ("": as it is now)."""


class Change(NamedTuple):
    """What was done, or would be, with one file."""

    path: Path
    difference: str  # "" when there was nothing to do
    backup: Path | None = None
    shared: tuple[str, ...] = ()  # clients that read the same lines


def apply(edit: FileEdit, client: str, edits: Edits, *, dry_run: bool) -> Change:
    """Bring a file to the wanted state. `edits` are all clients'.

    Raises `CannotEdit` naming the file, which then is as it was.
    """
    path, backup = edit.path, _backup_of(edit.path)
    old = read_whole(path)
    if old is None and edit.only_there:
        raise CannotEdit(f"there is no {path}", edit.only_there)
    kept, begun = _copy(backup), old or ""
    if kept is not None and _is_made_of(
        plain(_text(kept)), plain(begun), lambda base: {client: edits(base)[client]}
    ):
        begun = _text(kept)
    new = in_form_of(begun, _edited(edit, plain(begun)))
    if old == new:
        return Change(path, "")
    if not dry_run:
        _keep(path, backup, old, edits)
        write_whole(path, new.encode())
    return Change(path, _difference(path, old or "", new), None if old is None else backup)


def undo(path: Path, client: str, edits: Edits, *, dry_run: bool) -> Change:
    """Put back the copy, or no file if there was none; nothing where the file has none of our lines. `edits`
    are all clients'.

    Raises `CommandFailed` if the file has been changed otherwise since: that must not get lost.
    """
    backup = _backup_of(path)
    current, copy = read_whole(path), _copy(backup)
    if current is None and copy not in (None, NOTHING):
        raise CommandFailed(f"there is no file {path}", f"What it was before is kept: {backup}.")
    text, before, now = plain(current or ""), _text(copy or ""), edits("")
    known = (
        edits if copy is not None else lambda _: now
    )  # without a copy the address of now alone is surely ours
    holders = _holders(text, known)
    if current is None or (copy is None and not holders):
        if copy is not None and not dry_run:
            remove(backup)
        return Change(path, "")
    if not _is_ours(text, plain(before), _known(text, known), copied=copy not in (None, NOTHING)):
        hint = f"Compare it with {backup}." if copy is not None else "There is no copy of it either."
        raise CommandFailed(f"{path} has been changed since, or was not changed by this command", hint)
    if not dry_run:
        if copy in (None, NOTHING):
            remove(path)
        else:
            write_whole(path, before.encode())
        if copy is not None:
            remove(backup)
    return Change(path, _difference(path, current, before), shared=tuple(sorted(holders - {client})))


def _known(text: str, edits: Edits) -> list[FileEdit]:
    """Edits for the address of now, and for each address that the text has where ours would stand; of edits
    that do the same one."""
    by_snippet: dict[str, FileEdit] = {}
    for base in ("", *_bases(text, edits)):
        for each in edits(base).values():
            by_snippet |= {edit.snippet: edit for edit in each}
    return list(by_snippet.values())


def _bases(text: str, edits: Edits) -> list[str]:
    tails = {
        url.removeprefix(_PROBE)
        for made in edits(_PROBE).values()
        for edit in made
        for url in _ADDRESS.findall(edit.snippet)
        if url.startswith(_PROBE)
    }
    found = {url.removesuffix(tail) for url in _ADDRESS.findall(text) for tail in tails if url.endswith(tail)}
    return sorted(found)[:_MOST_BASES]


def _holders(text: str, edits: Edits) -> set[str]:
    """Clients whose lines the text has."""
    found = set()
    for base in ("", *_bases(text, edits)):
        for client, made in edits(base).items():
            found |= {client for edit in made if _tried((edit,), text) == text}
    return found


def _is_ours(text: str, before: str, known: Sequence[FileEdit], *, copied: bool) -> bool:
    """Brought to one state they are equal: they differ in our own lines only, those of one client or two.
    Without a copy the file must hold what we wrote and nothing else."""
    for chain in (*((each,) for each in known), *permutations(known, 2)):
        wanted = _tried(chain, text)
        if wanted is not None and wanted == _tried(chain, before) and (copied or text == wanted):
            return True
    return False


def _is_made_of(before: str, text: str, edits: Edits) -> bool:
    """Whether a text is the one before with the lines of one edit: of another address, say."""
    return any(_tried((edit,), before) == text for edit in _known(text, edits))


def _tried(chain: Sequence[FileEdit], text: str) -> str | None:
    try:
        for each in chain:
            text = each.edit(text)
        return text
    except CannotEdit:
        return None


def _edited(edit: FileEdit, text: str) -> str:
    try:
        return edit.edit(text)
    except CannotEdit as error:
        hint = error.hint or "`orchard client-config` without --write shows what belongs there."
        raise CannotEdit(f"{edit.path}: {error.message}", hint) from None


def _backup_of(path: Path) -> Path:
    return path.with_name(path.name + SUFFIX)


def _copy(backup: Path) -> str | None:
    """The kept copy as it stands, None for none: a link is not one that was made here."""
    return None if backup.is_symlink() else read_whole(backup)


def _text(copy: str) -> str:
    return "" if copy == NOTHING else copy


def _keep(path: Path, backup: Path, old: str | None, edits: Edits) -> None:
    """Keep a copy of the file as it was before this command first changed it.

    A copy that differs in more than our own lines is of another time: it is kept under a number.
    """
    if os.path.lexists(backup):
        kept, text = _copy(backup), plain(old or "")
        known = _known(text, edits)
        if kept is not None and _is_ours(text, plain(_text(kept)), known, copied=kept != NOTHING):
            return
        number = 1
        while os.path.lexists(aside := backup.with_name(f"{backup.name}.{number}")):
            number += 1
        backup.rename(aside)
    try:
        write_whole(backup, (NOTHING if old is None else old).encode(), None if old is None else _mode(path))
    except CommandFailed as error:
        raise CommandFailed(error.message, "Nothing was changed.") from None


def _mode(path: Path) -> int:
    return path.stat().st_mode & 0o7777


def _difference(path: Path, old: str, new: str) -> str:
    """A unified difference without what looks like a secret."""
    before, after = lines_of(plain(old)), lines_of(plain(new))
    lines = difflib.unified_diff(before, after, str(path), str(path), lineterm="", n=1)
    return "\n".join(_masked(line) for line in lines)


def _masked(line: str) -> str:
    hidden = _SECRET.sub(
        lambda found: found.group(0) if "ORCHARD_TOKEN" in found.group(0) else found.group(1) + "***", line
    )
    return _USER.sub("://***@", hidden)
