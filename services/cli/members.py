"""A project's own file together with those of its members: one JSON document, {"packages": {"": …, "a": …}}.

Which folders are members is said by patterns in the file, as a list or as {"packages": […]}: globs, a "!"
before one excludes, and a later pattern wins (npm's documentation, "workspaces").
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any

from services.cli.errors import WrongUse
from services.cli.files import read_input

_MOST_FOLDERS = 100_000
_MAX_BYTES = 1024 * 1024  # of one file; the server bounds them together further
_PASSED_OVER = "node_modules"
_MOST_ALTERNATIVES = 1000
_UNKNOWN = re.compile(r"[@!?*+]\(|\{[^{},]*\.\.[^{},]*\}")  # "@(a|b)", "{1..3}"
_BRACES = re.compile(r"\{([^{}]*,[^{}]*)\}")


def with_members(file: Path, text: bytes, key: str, *, kind: str) -> bytes:
    """The file with its members', whose patterns stand under `key`; as it is where it has none. `kind`: how
    the members' files are called, whatever this one is. Raises `WrongUse`."""
    about = _object(text)
    if about is None or not about.get(key):
        return text
    told = about[key]
    patterns = told.get("packages") if isinstance(told, dict) else told
    if not isinstance(patterns, list) or not all(isinstance(each, str) for each in patterns):
        raise WrongUse(f"{file}: {key}: expected a list of patterns")
    packages: dict[str, Any] = {"": about}
    for folder in members(file.parent, patterns, where=f"{file}: {key}", filename=kind):
        path = file.parent / folder / kind
        member = _object(read_input(str(path), "The file of a member", _MAX_BYTES))
        if member is None:
            raise WrongUse(f"{path} holds no JSON object")
        packages[folder] = member
    return json.dumps({"packages": packages}).encode()


def members(root: Path, patterns: Iterable[str], *, where: str, filename: str) -> list[str]:
    """The folders below a root that hold a file of this name and are meant, with "/" between. `where`: the
    beginning of messages. Raises `WrongUse`."""
    wanted, excluded = _sorted_out(patterns, where)
    hidden = any(part.startswith(".") for pattern in wanted for part in pattern.split("/"))
    folders = [
        each for each in _folders(root, hidden=hidden, where=where) if (root / each / filename).is_file()
    ]
    found: dict[str, None] = {}
    for pattern in wanted:
        own = [each for each in folders if _matches(each, pattern)]
        own = [each for each in own if not any(_matches(each, no) for no in excluded)]
        if not own:
            raise WrongUse(
                f"{where}: {pattern!r} matches no folder with a {filename}, or others exclude all of them"
            )
        found |= dict.fromkeys(own)
    inside = root.resolve()
    for folder in found:
        if not (root / folder).resolve().is_relative_to(inside):
            raise WrongUse(f"{where}: {folder} leads out of {root}")
    return list(found)


def _sorted_out(patterns: Iterable[str], where: str) -> tuple[list[str], list[str]]:
    """Those that include, and those that exclude: a pattern takes back what an earlier one excludes of it."""
    wanted: list[str] = []
    excluded: list[str] = []
    for written in patterns:
        bare = written.lstrip("!")
        negated = (len(written) - len(bare)) % 2 == 1
        bare = re.sub(r"^\.?/+", "", bare.replace("\\", "/")).rstrip("/")
        if ".." in bare.split("/"):
            raise WrongUse(f"{where}: {written!r} leads out of the project's folder")
        if negated:
            excluded.append(bare)
        else:
            excluded = [each for each in excluded if not _matches(bare, each)]
            wanted.append(bare)
    return [each for each in wanted if not any(_matches(each, no) for no in excluded)], excluded


def _folders(root: Path, *, hidden: bool, where: str) -> Iterator[str]:
    count = 0
    for around, names, _ in os.walk(root):
        names[:] = sorted(each for each in names if each != _PASSED_OVER and (hidden or each[0] != "."))
        for name in names:
            count += 1
            if count > _MOST_FOLDERS:
                raise WrongUse(f"{where}: there are more than {_MOST_FOLDERS} folders below {root}")
            yield (Path(around) / name).relative_to(root).as_posix()


def _matches(folder: str, pattern: str) -> bool:
    return any(each.fullmatch(f"/{folder}") for each in _expressions(pattern))


@lru_cache(maxsize=1000)
def _expressions(pattern: str) -> tuple[re.Pattern[str], ...]:
    """One for each alternative. Raises `WrongUse`."""
    if _UNKNOWN.search(pattern):
        raise WrongUse(f"the pattern {pattern!r} is not understood: name the folders one by one")
    alternatives = tuple(islice(_unbraced(pattern), _MOST_ALTERNATIVES + 1))
    if len(alternatives) > _MOST_ALTERNATIVES:
        raise WrongUse(f"the pattern {pattern!r} has more than {_MOST_ALTERNATIVES} alternatives")
    try:
        return tuple(re.compile(_expression(each)) for each in alternatives)
    except re.error as error:
        raise WrongUse(f"the pattern {pattern!r} is not understood: {error.msg}") from None


def _unbraced(pattern: str) -> Iterator[str]:
    """One pattern for each alternative: "a/{b,c}" → "a/b", "a/c"."""
    found = _BRACES.search(pattern)
    if found is None:
        yield pattern
        return
    for each in found[1].split(","):
        yield from _unbraced(pattern[: found.start()] + each + pattern[found.end() :])


def _expression(pattern: str) -> str:
    """Of a path that begins with "/". `**` is any number of folders; no wildcard stands for a dot at the
    beginning of a name."""
    found = ""
    for part in pattern.split("/"):
        if part == "**":
            found += r"(?:/(?!\.)[^/]+)*"
        else:
            found += "/" + (r"(?!\.)" if part[:1] in ("*", "?", "[") else "") + _segment(part)
    return found


def _segment(part: str) -> str:
    """Of one name: `*`, `?` and `[…]`, a "!" or "^" in which excludes."""
    found = ""
    for each in re.findall(r"\[[!^]?\]?[^\]]*\]|.", part, re.DOTALL):
        if each == "*":
            found += "[^/]*"
        elif each == "?":
            found += "[^/]"
        elif len(each) > 1:
            inner = re.sub(r"^[!^]", "", each[1:-1])
            told = re.escape(inner).replace(r"\-", "-")
            found += f"[{'^' if inner != each[1:-1] else ''}{told}]"
        else:
            found += re.escape(each)
    return found


def _object(text: bytes) -> dict[str, Any] | None:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None
