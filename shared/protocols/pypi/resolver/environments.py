"""Target environments of a resolution: fixed values of markers and wheel tags, by name.

A name is an interpreter and a platform: "cp311-manylinux_2_36_x86_64". Nothing is taken from the
machine that resolves, or two Orchards would answer differently.
"""

from __future__ import annotations

import re
from functools import lru_cache

import msgspec
from packaging.tags import compatible_tags, cpython_tags
from packaging.version import Version

from shared.errors import InvalidParameter

DEFAULT_ENVIRONMENT = "cp311-manylinux_2_36_x86_64"

# The patch release of each minor one: only Requires-Python and markers with three numbers see it.
_PATCH = {8: 20, 9: 25, 10: 19, 11: 14, 12: 12, 13: 9, 14: 0}
_NAME = re.compile(r"cp3([0-9]{1,2})-(manylinux_2|musllinux_1)_([0-9]{1,2})_(x86_64|aarch64)")
# PEP 600: the older names of three glibc versions.
_LEGACY = {17: "manylinux2014", 12: "manylinux2010", 5: "manylinux1"}
_OLDEST_GLIBC = {"x86_64": 5, "aarch64": 17}


class Environment(msgspec.Struct, frozen=True):
    """`tags` gives each wheel tag's rank, 0 the most preferred (PEP 425)."""

    name: str
    python: Version
    markers: dict[str, str]
    tags: dict[str, int]


@lru_cache(maxsize=64)
def environment(name: str) -> Environment:
    """The environment of a name. Raises `InvalidParameter`."""
    found = _NAME.fullmatch(name)
    minor = int(found[1]) if found else 0
    if found is None or minor not in _PATCH or int(found[3]) > 60:
        raise InvalidParameter(
            f"environment: expected one like {DEFAULT_ENVIRONMENT} (CPython 3.8 to 3.14; manylinux_2_N or "
            f"musllinux_1_N; x86_64 or aarch64), not {name[:80]!r}"
        )
    python = f"3.{minor}.{_PATCH[minor]}"
    platforms = _platforms(found[2], int(found[3]), found[4])
    interpreter = f"cp3{minor}"
    tags = [
        *cpython_tags((3, minor), [interpreter], platforms),
        *compatible_tags((3, minor), interpreter, platforms),
    ]
    ranks: dict[str, int] = {}
    for tag in tags:
        ranks.setdefault(str(tag), len(ranks))
    return Environment(name, Version(python), _markers(minor, python, found[4]), ranks)


def _platforms(family: str, newest: int, machine: str) -> list[str]:
    """Platform tags from the newest libc down, as installers rank them."""
    platforms: list[str] = []
    oldest = _OLDEST_GLIBC[machine] if family == "manylinux_2" else 0
    for number in range(newest, oldest - 1, -1):
        platforms.append(f"{family}_{number}_{machine}")
        if family == "manylinux_2" and number in _LEGACY:
            platforms.append(f"{_LEGACY[number]}_{machine}")
    return [f"linux_{machine}", *platforms]


def _markers(minor: int, python: str, machine: str) -> dict[str, str]:
    """Every environment marker of the dependency specifiers' specification."""
    return {
        "implementation_name": "cpython",
        "implementation_version": python,
        "os_name": "posix",
        "platform_machine": machine,
        "platform_python_implementation": "CPython",
        "platform_release": "6.1.0",
        "platform_system": "Linux",
        "platform_version": "#1 SMP",
        "python_full_version": python,
        "python_version": f"3.{minor}",
        "sys_platform": "linux",
    }
