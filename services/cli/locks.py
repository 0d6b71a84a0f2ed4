"""Locks whose files are to be proven: which kind a file is, what it names, and what the log says of each.

What a lock of a client names an Orchard reads, and it says which files there are of that. Neither is
believed: each digest is one that stands in the lock, and the log's entry has it. What it leaves out is not
noticed.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from services.cli.errors import CommandFailed
from services.cli.server import Server
from services.cli.table import KINDS
from shared.marks import HEAD_BYTES, MOST_BYTES, Mark, marked, members_of
from shared.tlog.trees import Unproven

OWN = "orchard"
"""The kind of Orchard's own locks."""
FILE = "file"
"""What is no lock."""

NAME = ("protocol", "project", "file")
"""What an admission is of."""

_OWN = re.compile(rb'\s*\{\s*"format":\s*[0-9]+,\s*"key":\s*"[0-9a-f]{64}"')
_KEY = re.compile(r"[0-9a-f]{64}")
_HEX = re.compile(rb"(?<![0-9A-Fa-f])[0-9A-Fa-f]{32,128}(?![0-9A-Fa-f])")
_SRI = re.compile(rb"(?:md5|sha1|sha256|sha384|sha512)-([A-Za-z0-9+/]+={0,2})")

Proven = Callable[[str], dict[str, Any]]
"""What the log has, and what is stated, of a file by its SHA256. Raises `Unproven`, `CommandFailed`."""
Locked = Callable[[str, str, bytes], bytes]
"""Which files a lock of this kind and name has, and which of those are there: JSON of `LockedFiles`."""


class NotThere(CommandFailed):
    """Nothing with these bytes is where it was looked for."""


def kind_of(path: Path) -> str:
    """By its name and its mark; `FILE` for no lock. Raises `CommandFailed`."""
    try:
        with path.open("rb") as file:
            body = file.read(HEAD_BYTES)
            if body.lstrip()[:1] in (b"{", b"\xef"):  # else it is no JSON
                body += file.read(MOST_BYTES + 1 - len(body))
    except OSError as error:
        raise CommandFailed(f"{path}: {error.strerror}") from None
    named = {kind: mark for kind, (name, mark) in KINDS.items() if re.fullmatch(name, path.name)}
    by_name = next((kind for kind, mark in named.items() if mark is None), "")
    marks = ((kind, Mark(*mark)) for kind, mark in named.items() if mark is not None)
    return by_name or marked(body, marks) or (OWN if _is_own(body) else FILE)


def _is_own(body: bytes) -> bool:
    """Also where it is damaged, which its reader says."""
    lock = members_of(body)
    if lock is None:
        return _OWN.match(body) is not None
    return isinstance(lock.get("format"), int) and _KEY.fullmatch(str(lock.get("key"))) is not None


def locked_at(server: Server) -> Locked:
    """Asks an Orchard."""

    def locked(kind: str, name: str, data: bytes) -> bytes:
        query = {"kind": kind, "name": name}
        answer = server.request("POST", "/api/v1/log/admitted", query=query, body=data)
        server.check(answer, offers="the verification of locks")
        return answer.body

    return locked


def check_lock(locked: Locked, name: str, kind: str, data: bytes, proven: Proven) -> dict[str, Any]:
    """Of each file that the lock names whether it is proven, else how it differs. Raises `Unproven` for what
    is forged, and what `locked` raises."""
    if kind == OWN:
        named, elsewhere, told = list(_own(data)), [], None
    else:
        read = json.loads(locked(kind, Path(name).name, data))
        named, elsewhere, told = read["files"], read["elsewhere"], _digests_in(data)
    files = [_checked(each, told, proven) for each in named if each["admitted"] or not each["optional"]]
    files += [{"name": each["name"], "result": "elsewhere", "reason": each["reason"]} for each in elsewhere]
    return {"file": name, "lock": kind, "files": files}


def _own(data: bytes) -> Iterator[dict[str, Any]]:
    """Raises `CommandFailed`."""
    try:
        lock = json.loads(data)
        for protocol, whole in lock["protocols"].items():
            for graph in (whole, *whole.get("plugins", ()), *whole.get("builds", ())):
                for each in (*graph["packages"], *graph.get("documents", ())):
                    if each["filename"] and not each.get("inert"):
                        sha256 = str(each["sha256"])
                        admitted = [{"file": each["filename"], "sha256": sha256}] if sha256 else []
                        found = {"protocol": protocol, "name": each["name"], "version": each["version"]}
                        yield found | {
                            "file": each["filename"], "digests": {"sha256": [sha256]}, "optional": False,
                            "admitted": admitted, "others": [],
                        }  # fmt: skip
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise CommandFailed("this is no lock that `orchard ensure` wrote") from None


def _digests_in(data: bytes) -> set[str]:
    """What stands in a lock and may be a digest, in lower-case hex."""
    found = {each.decode().lower() for each in _HEX.findall(data)}
    for each in _SRI.findall(data):
        try:
            found.add(base64.b64decode(each).hex())
        except ValueError:
            continue
    return found


def _checked(named: Mapping[str, Any], told: set[str] | None, proven: Proven) -> dict[str, Any]:
    """`told`: the digests in the lock; None: it was read here."""
    what = {name: named[name] for name in ("protocol", "name", "version", "file")}
    where = f"{named['name']} {named['version']}"
    wanted: Mapping[str, list[str]] = named["digests"]
    if told is not None and not all(each in told for of in wanted.values() for each in of):
        raise Unproven(f"{where}: the Orchard tells a digest that is not in the lock")
    if not named["admitted"]:
        others = [each["sha256"] for each in named["others"]]
        return what | ({"result": "differs", "found": others} if others else {"result": "absent"})
    files = []
    for each in named["admitted"]:
        try:
            files.append({"file": each["file"], "sha256": each["sha256"], **proven(each["sha256"])})
        except Unproven as error:
            raise Unproven(f"{where}: {error}") from None
        except NotThere as error:
            return what | {"result": "absent", "reason": error.message}
        except CommandFailed as error:
            if error.status != 404:
                raise
            return what | {"result": "unlogged", "reason": error.message}
    compared = {_compared(wanted, each["entry"].get("digests", {}), where) for each in files}
    result = _result(wanted, compared, told is not None, all(_is_named(named, each) for each in files))
    return what | {"result": result, "compared": sorted(compared - {""}), "admitted": files}


def _result(wanted: Mapping[str, list[str]], compared: set[str], is_told: bool, is_named: bool) -> str:
    """`is_told`: the Orchard told which of the lock's digests is this file's, so that its name has to say so
    as well."""
    if not is_named and (is_told or not wanted):
        return "misnamed"
    if not wanted:
        return "named"
    return "unverified" if "" in compared else "proven"


def _is_named(named: Mapping[str, Any], admitted: Mapping[str, Any]) -> bool:
    """Whether the log's newest entry of these bytes, or a statement of an admission of them, is of this
    protocol, project and file: the same bytes may have been admitted under several names."""
    wanted = (named["protocol"], named["name"], named["file"] or admitted["file"])
    told = (admitted["entry"], *admitted.get("stated_names", ()))
    return any(tuple(each.get(name) for name in NAME) == wanted for each in told)


def _compared(wanted: Mapping[str, list[str]], logged: Mapping[str, str], where: str) -> str:
    """The algorithms by which the log's entry is what the lock wants; "": they have none in common. Raises
    `Unproven`."""
    both = sorted(set(wanted) & set(logged))
    for each in both:
        if logged[each] not in wanted[each]:
            raise Unproven(f"{where}: the log admits the {each} {logged[each]}, which the lock does not name")
    return ", ".join(both)
