"""The machine that an npm tree is for, by name: Node's version, operating system, processor, C library.

Its values are constants: the same name means the same for ever, whatever machine resolves. They decide
which versions npm likes less (`engines`) and which optional packages stay uninstalled (`os`, `cpu`,
`libc`); npm keeps the latter in its lock all the same.
"""

from __future__ import annotations

import re
from functools import lru_cache

import msgspec

from shared.errors import InvalidParameter
from shared.protocols.npm.semver_ranges import satisfies

DEFAULT_ENVIRONMENT = "node22-linux-x64-glibc"
NPM_VERSION = "11.6.0"
# The last release of each line known when this was written.
NODES = {"18": "18.20.8", "20": "20.20.2", "22": "22.22.0", "24": "24.13.0"}
SYSTEMS = ("linux", "darwin", "win32")
PROCESSORS = ("x64", "arm64")
LIBRARIES = ("glibc", "musl")

_NAME = re.compile(r"node([0-9]{2}|[0-9]{1,2}\.[0-9]{1,2}\.[0-9]{1,2})-([a-z0-9]+)-([a-z0-9]+)(?:-([a-z]+))?")


class Environment(msgspec.Struct, frozen=True):
    """`libc` is "" where there is no choice."""

    name: str
    node: str
    system: str
    processor: str
    libc: str


@lru_cache(maxsize=256)
def environment(name: str) -> Environment:
    """The environment of a name. Raises `InvalidParameter`."""
    found = _NAME.fullmatch(name)
    if found is None:
        raise _refused(name)
    node, system, processor, libc = found[1], found[2], found[3], found[4] or ""
    version = node if "." in node else NODES.get(node, "")
    if not version or system not in SYSTEMS or processor not in PROCESSORS:
        raise _refused(name)
    if (system == "linux") != bool(libc) or (libc and libc not in LIBRARIES):
        raise _refused(name)
    return Environment(name, version, system, processor, libc)


def _refused(name: str) -> InvalidParameter:
    return InvalidParameter(
        f"environment: {name[:60]!r} is unknown; npm's are node{{{','.join(NODES)}}} (or a full version),"
        f" -{{{','.join(SYSTEMS)}}}, -{{{','.join(PROCESSORS)}}} and, for linux, -{{{','.join(LIBRARIES)}}},"
        f" such as {DEFAULT_ENVIRONMENT}"
    )


@lru_cache(maxsize=16_384)
def allows_engine(engines: tuple[str, str], environment: Environment) -> bool:
    """Whether `engines` (node, npm; "" for nothing said) admits the environment; an unreadable one not."""
    node, npm = engines
    return not (
        (node and not satisfies(environment.node, node, loose=False, prereleases=True))
        or (npm and not satisfies(NPM_VERSION, npm, loose=False, prereleases=True))
    )


def allows_platform(
    system: tuple[str, ...], processor: tuple[str, ...], libc: tuple[str, ...], environment: Environment
) -> bool:
    """Whether `os`, `cpu` and `libc` of a package admit the environment (package.json documentation)."""
    return (
        _listed(environment.system, system)
        and _listed(environment.processor, processor)
        and (not libc or (bool(environment.libc) and _listed(environment.libc, libc)))
    )


def _listed(value: str, entries: tuple[str, ...]) -> bool:
    """One of the entries, where some are named, and none of those with `!`."""
    if not entries or entries == ("any",):
        return True
    if f"!{value}" in entries:
        return False
    return value in entries or all(entry.startswith("!") for entry in entries)
