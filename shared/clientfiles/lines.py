"""Files changed line by line, since rewriting them would lose comments: pip's configuration, .npmrc, yarn 1's
.yarnrc.
"""

from __future__ import annotations

import configparser
import re
from collections.abc import Callable, Mapping, Sequence

from shared.clientfiles.form import MARK, lines_of
from shared.clientfiles.setup import CannotEdit

_HEADER = re.compile(r"\s*\[([^\]]+)\]")


def set_ini(text: str, section: str, values: Mapping[str, Sequence[str]]) -> str:
    """Set keys of one section; a value of several lines is indented below its key.

    Names are compared as pip does, "-" and "_" alike. Raises `CannotEdit` for what is no such file.
    """
    before = _parse(text)
    lines = lines_of(text)
    start = next((at for at, line in enumerate(lines) if _is_header(line, section)), None)
    if start is None:
        gap = [""] if lines and lines[-1].strip() else []
        lines += [*gap, f"[{section}]"]
        start = len(lines) - 1
    end = next((at for at in range(start + 1, len(lines)) if _HEADER.match(lines[at])), len(lines))
    body, missing, dropping = [], dict(values), False
    for line in lines[start + 1 : end]:
        if line[:1].isspace() and line.strip():  # goes on with the value above it
            body += [] if dropping else [line]
            continue
        key = _plain(re.split("[=:]", line)[0]) if line.strip()[:1] not in ("", "#", ";") else ""
        dropping = key in values
        if not dropping:
            body.append(line)
        elif key in missing:
            body += _lines(key, missing.pop(key))
    tail = []
    while body and not body[-1].strip():
        tail.append(body.pop())
    for key, value in missing.items():
        body += _lines(key, value)
    result = "\n".join([*lines[: start + 1], *body, *tail, *lines[end:], ""])
    _verify(before, _parse(result), section, values)
    return result


def get_ini(text: str, section: str, key: str) -> list[str]:
    """The lines of a value, [] if it is not set. Raises `CannotEdit`."""
    return _parse(text).get((section, key), "").split()


def _lines(key: str, value: Sequence[str]) -> list[str]:
    return [f"{key} = {value[0]}"] if len(value) == 1 else [f"{key} =", *(f"    {each}" for each in value)]


def _is_header(line: str, section: str) -> bool:
    found = _HEADER.match(line)
    return found is not None and found.group(1).strip() == section


def _plain(name: str) -> str:
    return name.strip().lower().replace("_", "-")


def _parse(text: str) -> dict[tuple[str, str], str]:
    if text.startswith(MARK):
        raise CannotEdit(
            "it begins with a byte order mark, which no reader of it passes over", "Save it without."
        )
    parser = configparser.RawConfigParser(strict=False)
    try:
        parser.read_string(text)
    except configparser.Error as error:
        raise CannotEdit(f"it is not an ini file: {str(error).splitlines()[0]}") from None
    return {
        (section, _plain(key)): value for section in parser.sections() for key, value in parser.items(section)
    }


def _verify(
    before: Mapping[tuple[str, str], str],
    after: Mapping[tuple[str, str], str],
    section: str,
    values: Mapping[str, Sequence[str]],
) -> None:
    ours = {(section, key) for key in values}
    kept = {name: value for name, value in before.items() if name not in ours}
    if kept != {name: value for name, value in after.items() if name not in ours}:
        raise CannotEdit("it is written in a way that cannot be changed safely")


_SECTION = re.compile(r"\s*\[")


def set_pairs(text: str, values: Mapping[str, str]) -> str:
    """`key=value` lines (npm's ini dialect: the last of several lines with one key counts)."""

    def key_of(line: str) -> str:
        stripped = line.strip()
        return "" if stripped[:1] in ("", "#", ";") else stripped.partition("=")[0].strip()

    return _set(text, {key: f"{key}={value}" for key, value in values.items()}, key_of)


def set_words(text: str, values: Mapping[str, str]) -> str:
    """`key "value"` lines."""

    def key_of(line: str) -> str:
        found = re.match(r'"?([\w:/.@-]+?)"?:?\s', line)
        return found.group(1) if found else ""

    return _set(text, {key: f'{key} "{value}"' for key, value in values.items()}, key_of)


def _set(text: str, wanted: Mapping[str, str], key_of: Callable[[str], str]) -> str:
    lines = lines_of(text)
    end = next((place for place, line in enumerate(lines) if _SECTION.match(line)), len(lines))
    head, missing = [], dict(wanted)
    for line in lines[:end]:
        key = key_of(line)
        if key in missing:
            head.append(missing.pop(key))
        elif key not in wanted:  # a later line of the same key would win: it goes
            head.append(line)
    return "\n".join([*head, *missing.values(), *lines[end:], ""])
