"""Validation of a page's files by columns: nearly every entry is as `check_file` would leave it.

Looked at one by one, the files were two thirds of the work for a large page. Here each step looks at one
field of many files, in C; where anything is unusual among them, `check_file` takes each.
"""

from __future__ import annotations

import re
from datetime import datetime
from types import NoneType
from typing import Any

from shared.http.urls import MAX_CHARACTERS
from shared.protocols.pypi import names
from shared.protocols.pypi.entries import UPLOAD_TIME, check_file
from shared.protocols.reading.links import Dropped, Links

BATCH = 256  # files: one that is unusual sends no more than so many to `check_file`

_KINDS: dict[str, frozenset[type]] = {
    "dist-info-metadata": frozenset(),  # never as it is (PEP 714)
    "requires-python": frozenset({str, NoneType}),
    "size": frozenset({int}),
    "upload-time": frozenset({str}),
    "yanked": frozenset({bool, str}),
    "core-metadata": frozenset({bool, dict}),
    "data-dist-info-metadata": frozenset({bool, dict}),
    "gpg-sig": frozenset({bool}),
    "provenance": frozenset({str, NoneType}),
}


def _lines(pattern: str) -> re.Pattern[str]:
    return re.compile(rf"{pattern}(?:\n{pattern})*+")


_NAMES = _lines(names.ARCHIVE)
_TIMES = _lines(UPLOAD_TIME)
# Links that all begin alike, and go on with what no reader of links changes.
_REST = r"[A-Za-z0-9_][A-Za-z0-9._~%+!,=@/-]*+"
_LINKS = re.compile(rf"(https?://[A-Za-z0-9._-]++(?::[0-9]{{1,5}})?/|(?:\.\./)++|/){_REST}(?:\n\1{_REST})*+")


def check_files(files: list[Any], links: Links, dropped: Dropped) -> list[Any]:
    """The entries that can be served, each as `check_file` leaves it."""
    kept: list[Any] = []
    for start in range(0, len(files), BATCH):
        batch = files[start : start + BATCH]
        if not _check_usual(batch, links):
            batch = [file for file in batch if check_file(file, links, dropped)]
        kept += batch
    return kept


def _check_usual(files: list[Any], links: Links) -> bool:
    """False: something is unusual, and nothing was changed. True: all can be served, their URLs absolute."""
    if set(map(type, files)) != {dict}:
        return False
    columns = {key: [file[key] for file in files if key in file] for key in _KINDS}
    if not all(kinds.issuperset(map(type, columns[key])) for key, kinds in _KINDS.items()):
        return False
    try:
        digests = [file["hashes"] for file in files]
        for key in ("core-metadata", "data-dist-info-metadata"):
            digests += [value for value in columns[key] if type(value) is dict]
        return (
            _are_names([file["filename"] for file in files])
            and _are_sha256(digests)
            and _are_sizes(columns["size"])
            and _are_times(columns["upload-time"])
            and "" not in columns["yanked"]
            and _made_absolute(files, links)
        )
    except (KeyError, TypeError, ValueError):  # a field is missing, or no text
        return False


def _match(lines: re.Pattern[str], column: list[str]) -> bool:
    text = "\n".join(column)
    return lines.fullmatch(text) is not None and text.count("\n") == len(column) - 1


def _are_names(column: list[str]) -> bool:
    return _match(_NAMES, column) and max(map(len, column)) <= names.MAX_FILENAME_CHARACTERS


def _are_sha256(column: list[Any]) -> bool:
    """Whether each is a dict with nothing but a SHA256, in lower case."""
    if set(map(type, column)) != {dict} or set(map(len, column)) != {1}:
        return False
    values = [hashes["sha256"] for hashes in column]
    other = "".join(values).encode().translate(None, b"0123456789abcdef")
    return not other and set(map(len, values)) == {64}


def _are_sizes(column: list[int]) -> bool:
    return not column or (min(column) >= 0 and max(column) < 1 << 63)


def _are_times(column: list[str]) -> bool:
    """Raises `ValueError` for a day or an hour that there is not."""
    return not column or (_match(_TIMES, column) and all(map(datetime.fromisoformat, column)))


def _made_absolute(files: list[dict[str, Any]], links: Links) -> bool:
    column = [file["url"] for file in files]
    text = "\n".join(column)
    found = _LINKS.fullmatch(text)
    if found is None or text.count("\n") != len(column) - 1 or max(map(len, column)) > MAX_CHARACTERS:
        return False
    start = len(found[1])
    rests = [href[start:] for href in column]
    first = links.absolute(column[0])
    if first is None or not first.endswith(rests[0]) or "/." in "\n".join(rests):
        return False
    leading = first[: -len(rests[0])]
    for file, rest in zip(files, rests, strict=True):
        file["url"] = leading + rest
    return True
