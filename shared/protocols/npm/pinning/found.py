"""What a lock of npm's clients names, collected: names, versions and digests are checked here, for all."""

from __future__ import annotations

from urllib.parse import unquote, urlsplit

from shared.protocols.npm import names
from shared.protocols.npm.dist import digests_in
from shared.protocols.npm.paths import tarball_at
from shared.protocols.npm.semver import parse_version
from shared.protocols.reading.lock_text import Part, shown
from shared.protocols.roles.pins import Found as PinsFound
from shared.protocols.roles.pins import Pin

MAX_INTEGRITY = 4096  # characters: comparing several digests takes the square of their number
_SHA1 = frozenset("0123456789abcdef")


class Found(PinsFound):
    """Of packages by name and version."""

    def __init__(self) -> None:
        super().__init__(fits)

    def add_package(self, at: Part, name: str, version: str, integrity: str, address: str) -> None:
        """`integrity`: Subresource Integrity, "" for none; the SHA-1 behind the tarball's address counts
        where that tells nothing."""
        if not names.is_name(name):
            raise at.fault(f"`{shown(name)}` cannot be a package's name")
        if parse_version(version, loose=False) is None or not names.is_tarball(
            names.tarball_name(name, version)
        ):
            raise at.fault(f"`{shown(version)}` is no version")
        digests = digests_in(integrity) if len(integrity) <= MAX_INTEGRITY else {}
        if integrity and not digests:
            raise at.fault(f"its integrity `{shown(integrity)}` is none that is compared here")
        sha1 = sha1_of(address)
        if not digests and sha1:
            digests = {"sha1": sha1}
        of, told = tarball_of(address) or (name, "")
        if of not in (name, name.rpartition("/")[2]):  # stores of some registries leave the scope out
            raise at.fault(f"its address is that of a file of `{shown(of)}`")
        self.add(at, Pin(name, version, "", tuple(sorted(digests.items()))), told)

    def leave_out_package(self, name: str, address: str) -> None:
        """One that comes from another place."""
        self.leave_out(shown(name), f"it comes from {shown(address)}")


def fits(project: str, version: str, filename: str) -> bool:
    """`Fits`: a tarball's name ends with its version."""
    told = parse_version(names.version_told(project, filename))
    wanted = parse_version(version)
    return told is None or wanted is None or told.key == wanted.key


def is_of_registry(address: str) -> bool:
    """Whether an address ends as a registry's tarballs do; "" is left out of a lock for those alone."""
    return not address or tarball_of(address) is not None


def tarball_of(address: str) -> tuple[str, str] | None:
    """Name and file name of the tarball at a registry's address; None of another."""
    try:
        split = urlsplit(address)
    except ValueError:
        return None
    segments = [each for each in unquote(split.path).split("/") if each]
    return tarball_at(segments) if segments and split.scheme in ("http", "https") else None


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
