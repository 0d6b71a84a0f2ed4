"""What a source distribution must be built with: `[build-system]` of its pyproject.toml (PEP 518).

What the hooks of its backend ask for besides (PEP 517, `get_requires_for_build_wheel`) only running them
could tell, and nothing of a stranger's is run here. One of them is known to all: that of setuptools.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from typing import Any, BinaryIO

from packaging.version import InvalidVersion, Version

from shared.models import BuildNeeds
from shared.protocols.pypi.archive import read_zip_member, top_member
from shared.protocols.pypi.names import SDISTS
from shared.protocols.pypi.resolver.requirements import MAX_VALUE_CHARACTERS
from shared.protocols.reading.tarballs import BadArchive, NoSuchMember, read_top_file
from shared.protocols.reading.toml_text import MAX_KEY_PARTS, long_key_at

DEFAULT = ("setuptools>=40.8.0", "wheel")
"""Where pyproject.toml tells none: PEP 518's two, with the bound that pip and uv put to the first."""

MAX_BYTES = 256 * 1024  # of a pyproject.toml
MAX_REQUIREMENTS = 200
_FILE = "pyproject.toml"
_WITHOUT_WHEEL = Version("70.1")  # setuptools builds wheels itself from there on


def is_sdist(filename: str) -> bool:
    """Whether installers take a file of this name for a source distribution."""
    return filename.endswith(SDISTS)


def build_needs(filename: str, file: BinaryIO, size_bytes: int) -> BuildNeeds:
    """See `Archive.build_needs`."""
    try:
        if filename.endswith(".zip"):
            content = read_zip_member(file, size_bytes, top_member(_FILE))
        elif filename.endswith((".tar.gz", ".tgz")):
            _, content = read_top_file(file, _FILE)
        else:
            return BuildNeeds(reason="archives of this kind are not read")
    except NoSuchMember:
        return BuildNeeds(DEFAULT)
    except BadArchive as error:
        return BuildNeeds(reason=str(error))
    return needs_of(content)


def needs_of(pyproject: bytes) -> BuildNeeds:
    """Of a pyproject.toml. Never raises."""
    if len(pyproject) > MAX_BYTES:
        return BuildNeeds(reason=f"{_FILE} is larger than {MAX_BYTES} bytes")
    try:
        text = pyproject.decode()
        if long_key_at(text) >= 0:
            return BuildNeeds(reason=f"{_FILE}: a key has more than {MAX_KEY_PARTS} parts")
        table: Any = tomllib.loads(text).get("build-system", {})
    except (ValueError, RecursionError):  # not UTF-8, no TOML, a number that is too long
        return BuildNeeds(reason=f"{_FILE} cannot be read")
    if not isinstance(table, dict):
        return BuildNeeds(reason=f"{_FILE}: build-system is no table")
    if not table:
        return BuildNeeds(DEFAULT)
    requires = table.get("requires")
    if not isinstance(requires, list) or not all(isinstance(each, str) for each in requires):
        return BuildNeeds(reason=f"{_FILE}: build-system.requires is no list of requirements")
    if len(requires) > MAX_REQUIREMENTS or any(len(each) > MAX_VALUE_CHARACTERS for each in requires):
        return BuildNeeds(reason=f"{_FILE}: build-system.requires is longer than what is read")
    return BuildNeeds(tuple(requires))


def hook_requirements(chosen: Mapping[str, str]) -> tuple[str, ...]:
    """See `Locks.hook_requirements`: setuptools before 70.1 asks for `wheel`, which pip then installs beside
    what is there (setuptools, build_meta.get_requires_for_build_wheel)."""
    try:
        older = "setuptools" in chosen and Version(chosen["setuptools"]) < _WITHOUT_WHEEL
    except InvalidVersion:
        older = False
    return ("wheel",) if older and "wheel" not in chosen else ()
