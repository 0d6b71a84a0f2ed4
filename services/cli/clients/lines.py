"""Files of one setting per line: .npmrc and yarn 1's .yarnrc."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

_SECTION = re.compile(r"\s*\[")


def set_npmrc(text: str, values: Mapping[str, str]) -> str:
    """`key=value` lines (npm's ini dialect: the last of several lines with one key counts)."""

    def key_of(line: str) -> str:
        stripped = line.strip()
        return "" if stripped[:1] in ("", "#", ";") else stripped.partition("=")[0].strip()

    return _set(text, {key: f"{key}={value}" for key, value in values.items()}, key_of)


def set_yarnrc(text: str, values: Mapping[str, str]) -> str:
    """`key "value"` lines."""

    def key_of(line: str) -> str:
        found = re.match(r'"?([\w:/.@-]+?)"?:?\s', line)
        return found.group(1) if found else ""

    return _set(text, {key: f'{key} "{value}"' for key, value in values.items()}, key_of)


def _set(text: str, wanted: Mapping[str, str], key_of: Callable[[str], str]) -> str:
    lines = text.splitlines()
    end = next((place for place, line in enumerate(lines) if _SECTION.match(line)), len(lines))
    head, missing = [], dict(wanted)
    for line in lines[:end]:
        key = key_of(line)
        if key in missing:
            head.append(missing.pop(key))
        elif key not in wanted:  # a later line of the same key would win: it goes
            head.append(line)
    return "\n".join([*head, *missing.values(), *lines[end:], ""])
