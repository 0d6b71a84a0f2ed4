"""yarn.lock: of yarn 1 its own grammar, of yarn 2 to 4 YAML ("__metadata").

Yarn 2 and later tell checksums of archives that they make themselves: no digest of a tarball. Such a pin is
the file that the source's own index tells of that version.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from shared.errors import EnsureInvalid
from shared.protocols.npm.pinning.found import Found, alias_of, is_of_registry, sha1_of
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
            found.add(entry, name, source.removeprefix("npm:").partition("::")[0], "")
        elif not source.startswith(_OWN) or ".tgz" in source:
            found.leave_out(name, source)
    return found.read()


def _classic(body: bytes) -> LockRead:
    found = Found()
    for at, pattern, fields in _entries(text_of(body)):
        name, _, wanted = pattern[1:].partition("@")
        name = pattern[0] + name
        address = fields.get("resolved", "")
        if wanted.startswith(("link:", "workspace:")) or (wanted.startswith("file:") and not address):
            continue
        if is_of_registry(address) and ("://" not in wanted or fields.get("integrity")):
            version, integrity = fields.get("version", ""), fields.get("integrity", "")
            found.add(at, alias_of(wanted) or name, version, integrity, sha1=sha1_of(address))
        else:
            found.leave_out(name, address or wanted)
    return found.read()


def _entries(text: str) -> Iterator[tuple[Part, str, dict[str, str]]]:
    """Where an entry stands, its first pattern, and its own fields."""
    at, pattern, fields = Part({}, ""), "", {}
    seen: set[str] = set()
    for number, line in enumerate((*text.split("\n"), "end:"), 1):
        if not line.strip() or line.startswith(("#", "   ")):
            continue
        if line.startswith("  "):
            field = _FIELD.fullmatch(line)
            if field is not None and pattern:
                fields[field[1]] = field[2] if field[2] is not None else field[3]
            elif not line.rstrip().endswith(":"):
                raise EnsureInvalid(f"line {number}: `{shown(line)}` is no field of an entry")
            continue
        if not line.endswith(":") or line.startswith(" "):
            raise EnsureInvalid(f"line {number}: `{shown(line)}` is no entry of yarn.lock")
        if pattern:
            yield at, pattern, fields
        pattern, fields = line[:-1].split(", ")[0].strip('"'), {}
        if line in seen:
            raise EnsureInvalid(f"line {number}: `{shown(line)}` stands twice")
        seen.add(line)
        at = Part({}, f"line {number}, `{shown(pattern)}`")
