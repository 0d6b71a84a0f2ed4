"""What a token is good for beyond its scope: until when, from where, and for which packages.

A token with bounds is stored under `bounded_digest`: an Orchard that came before bounds looks for the digest
itself, does not find it, and refuses what it could not hold to them.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from fnmatch import translate
from functools import lru_cache
from ipaddress import ip_address, ip_network

import msgspec

from shared.errors import Forbidden, Unauthorized

ANOTHER = "Operators make another in its place: `orchard tokens rotate`."
Meant = Callable[[str], Sequence[str]]  # a protocol's `Names.meant_patterns`


class Bounds(msgspec.Struct, frozen=True, omit_defaults=True):
    """Empty fields bind nothing."""

    expires_at: float = 0.0  # unix seconds; 0: never
    networks: tuple[str, ...] = ()  # addresses and CIDR networks of clients
    protocols: tuple[str, ...] = ()
    names: tuple[str, ...] = ()  # glob patterns of canonical names

    @property
    def of_packages(self) -> bool:
        """Whether it is good for some packages alone."""
        return bool(self.protocols or self.names)

    def check_when_and_where(self, client: str, now: float) -> None:
        """Raises `Unauthorized` once it is over, `Forbidden` for another address than it is for."""
        if self.expires_at and now >= self.expires_at:
            raise Unauthorized("this token is over", hint=ANOTHER)
        if self.networks and not _is_within(client, self.networks):
            raise Forbidden("this token is not good from this address")

    def check_package(self, protocol: str, meant: Meant, project: str) -> None:
        """Raises `Forbidden` for a package that it is not for; `project` "" is none."""
        if self.protocols and protocol not in self.protocols:
            raise Forbidden(f"this token is for {', '.join(self.protocols)} alone")
        if self.names and not (project and _compiled(meant, self.names).match(project)):
            raise Forbidden("this token is for packages of other names")


UNBOUND = Bounds()


def bounded_digest(digest: bytes) -> bytes:
    """Under which a token with bounds is stored, from its own digest."""
    return hashlib.sha256(b"orchard token with bounds\0" + digest).digest()


@lru_cache(maxsize=4096)
def _is_within(client: str, networks: tuple[str, ...]) -> bool:
    try:
        address = ip_address(client)
    except ValueError:
        return False  # nobody's
    mapped = getattr(address, "ipv4_mapped", None)
    return any((mapped or address) in ip_network(each, strict=False) for each in networks)


@lru_cache(maxsize=1024)
def _compiled(meant: Meant, patterns: tuple[str, ...]) -> re.Pattern[str]:
    globs = [each for pattern in patterns for each in meant(pattern.strip())]
    return re.compile("|".join(map(translate, globs)), re.IGNORECASE)
