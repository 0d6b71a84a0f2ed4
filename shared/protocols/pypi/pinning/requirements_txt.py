"""requirements.txt with hashes (pip documentation, "Requirements File Format", "Secure installs")."""

from __future__ import annotations

import re
from collections.abc import Iterator

from packaging.requirements import InvalidRequirement, Requirement

from shared.errors import EnsureInvalid
from shared.protocols.pypi import names
from shared.protocols.pypi.pinning.files import fits
from shared.protocols.reading.lock_text import Part, shown, text_of
from shared.protocols.roles.pins import Found, LockRead, Pin

_COMMENT = re.compile(r"(?:^|\s)#.*$")  # no `\s+`: its time would grow with the square of the blanks
_HASH = re.compile(r"\s--hash[= ]\s*(\S+)")
_OTHER_FILES = re.compile(r"(?:-r|--requirement|-c|--constraint)[ =]")
_ADDRESS = re.compile(r"(?:[a-z+]+://|git\+|\.{0,2}/|file:)", re.I)
MAX_LINE = 256 * 1024  # a project's hashes with it


def read(body: bytes) -> LockRead:
    """A pin for each hash: the lock tells no file names. Options of pip are passed over."""
    found = Found(fits)
    for number, line in _lines(text_of(body)):
        at = Part({}, f"line {number}")
        if _OTHER_FILES.match(line):
            raise at.fault(
                f"`{shown(line)}` names another file: give that one as well, and leave this line out"
            )
        if line.startswith(("-e ", "--editable")) or _ADDRESS.match(line):
            found.leave_out(shown(line.split(" --")[0]), "it comes from an address or a folder")
        elif not line.startswith("-"):
            _requirement(line, at, found)
    return found.read()


def _requirement(line: str, at: Part, found: Found) -> None:
    text = _HASH.sub("", line).split(" --")[0].strip()
    try:
        asked = Requirement(text)
    except (InvalidRequirement, RecursionError) as error:
        raise at.fault(f"`{shown(text)}` is no requirement: {shown(str(error))}") from None
    at = Part({}, f"{at.place}, `{shown(asked.name)}`")
    if not names.is_project(asked.name):
        raise at.fault("its name cannot be a project's")
    if asked.url is not None:
        found.leave_out(names.normalise(asked.name), f"it comes from {shown(asked.url)}")
        return
    exact = [each for each in asked.specifier if each.operator in ("==", "===")]
    if len(asked.specifier) != 1 or not exact or "*" in exact[0].version:
        raise at.fault("it is not pinned to one version with ==")
    version = exact[0].version
    if not names.is_version(version):
        raise at.fault(f"`{shown(version)}` is no version")
    hashes = _HASH.findall(line)
    if not hashes:
        raise at.fault("it has no --hash: only files with hashes are a lock")
    for each in hashes:
        found.add(at, Pin(names.normalise(asked.name), version, "", at.digest(each)))


def _lines(text: str) -> Iterator[tuple[int, str]]:
    """Logical lines with the number of their first; comments are gone, continuations joined."""
    parts: list[str] = []
    size, first = 0, 1
    for number, line in enumerate((*text.split("\n"), ""), 1):
        if not parts:
            first = number
        size += len(line)
        if size > MAX_LINE:
            raise EnsureInvalid(f"line {first}: longer than {MAX_LINE} characters")
        goes_on = line.rstrip(" ").endswith("\\") and not line.lstrip().startswith("#")
        parts.append(_COMMENT.sub("", line.rstrip(" ")[:-1] if goes_on else line))
        if goes_on:
            continue
        whole = " ".join(parts).strip()
        parts, size = [], 0
        if whole:
            yield first, whole
