"""What a dependency asks for: a range, a version, a tag, an alias, or an address that is left alone.

The kinds and their order of tests are npm-package-arg's. Only what a registry answers is resolved.
"""

from __future__ import annotations

import re
from functools import lru_cache

import msgspec

from shared.protocols.npm import names
from shared.protocols.npm.semver import SPACE_CHARACTERS, parse_version
from shared.protocols.npm.semver_ranges import parse_range

MAX_CHARACTERS = 2000

_FILE = re.compile(r"\.|~/|/|[a-zA-Z]:")
_URL = re.compile(r"(?:git\+)?[a-z]+:", re.IGNORECASE)
_ARCHIVE = re.compile(r"\.(?:tgz|tar\.gz|tar)$", re.IGNORECASE)
_HOSTED = re.compile(r"[^@/:#\s]+/[^@/:#\s]+(?:#.*)?|git@", re.DOTALL)
_TAG = re.compile(r"[A-Za-z0-9_.!~*'()-]+")  # what a URL needs not encode


class Spec(msgspec.Struct, frozen=True):
    """`kind` "address" is anything that no registry answers; `package` is then ""."""

    kind: str  # "range", "version", "tag", "address", "invalid"
    package: str  # to ask the registry for: another one than the dependency's name for an alias
    wanted: str  # trimmed; "*" for nothing said
    text: str  # as written


@lru_cache(maxsize=65_536)
def read_spec(name: str, text: str) -> Spec:
    """What `{name: text}` in a package's dependencies asks for.

    A name that no package can have is invalid, an alias's too (validate-npm-package-name): it would become
    an address upstream and a folder at the client ("../../x").
    """
    if len(text) > MAX_CHARACTERS or not names.is_name(name):
        return Spec("invalid", "", "", text[:80])
    if text.lower().startswith("npm:"):
        target, _, wanted = text[4:].rpartition("@") if "@" in text[5:] else (text[4:], "", "*")
        if not names.is_name(target):
            return Spec("invalid", "", "", text)
        found = _registry(target, wanted, text)
        return found if found.kind != "address" else Spec("invalid", "", "", text)
    return _registry(name, text, text)


def _registry(package: str, wanted: str, text: str) -> Spec:
    if _FILE.match(wanted) or wanted.lower().startswith("file:") or _URL.match(wanted):
        return Spec("address", "", wanted, text)
    bare = wanted.strip(SPACE_CHARACTERS)
    if not bare:
        return Spec("range", package, "*", text)
    if parse_version(bare) is not None:
        return Spec("version", package, bare, text)
    if parse_range(bare) is not None:
        return Spec("range", package, bare, text)
    if _HOSTED.match(bare) or "/" in bare or _ARCHIVE.search(bare):
        return Spec("address", "", wanted, text)
    if _TAG.fullmatch(bare) is None or not names.is_name(package):
        return Spec("invalid", "", bare, text)
    return Spec("tag", package, bare, text)
