"""yarn.lock: of yarn 1 its own grammar, of yarn 2 to 4 YAML ("__metadata").

Yarn 2 and later tell checksums of archives that they make themselves: no digest of a tarball. Such a pin is
the file that the source's own index tells of that version.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from urllib.parse import unquote

from shared.errors import EnsureInvalid
from shared.protocols.npm.pinning.found import Found, alias_of, is_of_registry, tarball_of
from shared.protocols.reading.lock_text import Part, shown, text_of
from shared.protocols.reading.yaml_text import yaml_of
from shared.protocols.roles.pins import LockRead

_BERRY = re.compile(rb"^__metadata:", re.MULTILINE)
_FIELD = re.compile(r'  ([A-Za-z]+) (?:"((?:[^"\\]|\\.)*)"|(\S+))\s*')
_OWN = ("workspace:", "link:", "portal:", "patch:", "file:")
_RESOLUTION = re.compile(r"((?:@[^/@]+/)?[^/@]+)@(.+)", re.DOTALL)


def read(body: bytes) -> LockRead:
    """Whichever it is."""
    return _berry(body) if _BERRY.search(body) else _classic(body)


def _berry(body: bytes) -> LockRead:
    lock, found = yaml_of(body), Found()
    for number, key in enumerate(lock.value, 1):
        if key == "__metadata":
            continue
        entry = Part(lock.table(key).value, f"package {number - 1}, `{shown(key)}`")
        parts = _RESOLUTION.fullmatch(entry.text("resolution"))
        if parts is None:
            raise entry.fault("it has no resolution")
        name, source = parts.groups()
        if source.startswith("npm:"):
            version, _, bound = source.removeprefix("npm:").partition("::")
            found.add_package(entry, name, version, "", _address_of(bound))
        elif not source.startswith(_OWN) or ".tgz" in source:
            found.leave_out_package(name, source)
    return found.read()


def _address_of(bound: str) -> str:
    """The tarball's address that stands behind a resolution ("__archiveUrl=…&x=y"); "" for none."""
    told = (each.partition("=") for each in bound.split("&"))
    return next((unquote(value) for name, _, value in told if name == "__archiveUrl"), "")


def _classic(body: bytes) -> LockRead:
    found = Found()
    for at, patterns, fields in _entries(text_of(body)):
        name, _, wanted = patterns[0][1:].partition("@")
        name = patterns[0][:1] + name
        address = fields.get("resolved", "")
        if wanted.startswith(("link:", "workspace:")) or (wanted.startswith("file:") and not address):
            continue
        if is_of_registry(address) and ("://" not in wanted or fields.get("integrity")):
            version, integrity = fields.get("version", ""), fields.get("integrity", "")
            found.add_package(at, _real_name(patterns, address) or name, version, integrity, address)
        else:
            found.leave_out_package(name, address or wanted)
    return found.read()


def _real_name(patterns: Iterable[str], address: str) -> str:
    """The package that is called otherwise by whoever wants it: by an alias, or by an address; "" for none.
    With `resolutions` it may be any of the patterns that tells it."""
    for pattern in patterns:
        wanted = pattern[1:].partition("@")[2]
        real = alias_of(wanted) or ("://" in wanted and (tarball_of(address) or ("", ""))[0])
        if real:
            return real
    return ""


def _entries(text: str) -> Iterator[tuple[Part, list[str], dict[str, str]]]:
    """Where an entry stands, its patterns, and its own fields."""
    at, patterns, fields = Part({}, ""), list[str](), dict[str, str]()
    seen: set[str] = set()
    for number, line in enumerate((*text.split("\n"), "end:"), 1):
        if not line.strip() or line.startswith(("#", "   ")):
            continue
        if line.startswith("  "):
            field = _FIELD.fullmatch(line)
            if field is not None and patterns:
                fields[field[1]] = field[2] if field[2] is not None else field[3]
            elif not line.rstrip().endswith(":"):
                raise EnsureInvalid(f"line {number}: `{shown(line)}` is no field of an entry")
            continue
        if not line.endswith(":") or line.startswith(" "):
            raise EnsureInvalid(f"line {number}: `{shown(line)}` is no entry of yarn.lock")
        if patterns:
            yield at, patterns, fields
        patterns, fields = [each.strip('"') for each in line[:-1].split(", ")], {}
        if line in seen:
            raise EnsureInvalid(f"line {number}: `{shown(line)}` stands twice")
        seen.add(line)
        at = Part({}, f"line {number}, `{shown(patterns[0])}`")
