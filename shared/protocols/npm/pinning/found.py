"""What a lock of npm's clients names, collected: names, versions and digests are checked here, for all."""

from __future__ import annotations

from urllib.parse import unquote, urlsplit

from shared.errors import EnsureInvalid
from shared.protocols.npm import names
from shared.protocols.npm.dist import digests_in
from shared.protocols.npm.paths import tarball_at
from shared.protocols.npm.semver import parse_version
from shared.protocols.reading.lock_text import MOST_PINS, Part, shown
from shared.protocols.roles.pins import Elsewhere, LockRead, Pin

MAX_INTEGRITY = 4096  # characters: comparing several digests takes the square of their number
_SHA1 = frozenset("0123456789abcdef")


class Found:
    """Pins by name and version, up to the bound."""

    def __init__(self) -> None:
        self._pins: dict[Pin, None] = {}
        self._elsewhere: list[Elsewhere] = []

    def add(self, at: Part, name: str, version: str, integrity: str, *, sha1: str = "") -> None:
        """`integrity`: Subresource Integrity, "" for none; `sha1` counts where that tells nothing."""
        if not names.is_name(name):
            raise at.fault(f"`{shown(name)}` cannot be a package's name")
        if parse_version(version, loose=False) is None or not names.is_tarball(
            names.tarball_name(name, version)
        ):
            raise at.fault(f"`{shown(version)}` is no version")
        digests = digests_in(integrity) if len(integrity) <= MAX_INTEGRITY else {}
        if integrity and not digests:
            raise at.fault(f"its integrity `{shown(integrity)}` is none that is compared here")
        if not digests and sha1:
            digests = {"sha1": sha1}
        self._pins[Pin(name, version, "", tuple(sorted(digests.items())))] = None
        if len(self._pins) > MOST_PINS:
            raise EnsureInvalid(f"it names more than {MOST_PINS} files")

    def leave_out(self, name: str, address: str) -> None:
        self._elsewhere.append(Elsewhere(shown(name), f"it comes from {shown(address)}"))

    def read(self) -> LockRead:
        return LockRead(list(self._pins), self._elsewhere)


def is_of_registry(address: str) -> bool:
    """Whether an address ends as a registry's tarballs do; "" is left out of a lock for those alone."""
    if not address:
        return True
    try:
        split = urlsplit(address)
    except ValueError:
        return False
    segments = unquote(split.path).split("/")
    return split.scheme in ("http", "https") and tarball_at([each for each in segments if each]) is not None


def sha1_of(address: str) -> str:
    """The SHA-1 behind a tarball's address, as old locks have it; "" for none."""
    digest = address.rpartition("#")[2].lower()
    return digest if len(digest) == 40 and _SHA1.issuperset(digest) else ""


def alias_of(wanted: str) -> str:
    """The package that "npm:name@range" stands for, "" for what is no alias."""
    if not wanted.startswith("npm:"):
        return ""
    name, at, _ = wanted.removeprefix("npm:").rpartition("@")
    return name if at else wanted.removeprefix("npm:")
