"""The lock of an ensure file: every chosen file. Stored and served as these bytes for ever.

Fields are only ever added. Paths are below Orchard's root, digests lower-case hex, sizes bytes.
"""

from __future__ import annotations

from typing import Any

import msgspec

LOCK_FORMAT = 1


class LockedPackage(msgspec.Struct, frozen=True, omit_defaults=True):
    """One chosen file."""

    purl: str
    name: str
    version: str
    filename: str
    sha256: str  # "" where it could not be fetched, or is inert
    size_bytes: int
    path: str
    dependencies: list[str]  # purls
    integrity: str = ""  # as the registry tells it (Subresource Integrity)
    locations: tuple[str, ...] = ()  # npm: where it is installed
    extras: tuple[str, ...] = ()
    scope: str = ""  # Maven's
    optional: bool = False
    yanked: bool = False
    inert: bool = False  # not for this environment, hence not installed and not fetched
    manifest: dict[str, Any] = {}  # what a lock file of the protocol's clients tells beside all this
    entries: dict[
        str, dict[str, Any]
    ] = {}  # npm: the same of locations below a package with a lock of its own


class LockedDocument(msgspec.Struct, frozen=True):
    """A file that clients read without installing it, such as a parent POM."""

    name: str
    version: str
    filename: str
    sha256: str
    size_bytes: int
    path: str


class Missing(msgspec.Struct, frozen=True, omit_defaults=True):
    """Something that the lock lacks, and why. `passing`: a later try may find it."""

    protocol: str
    name: str
    reason: str
    filename: str = ""
    wanted_by: str = ""  # a purl
    requirement: str = ""
    passing: bool = False
    cause: str = ""  # of a lock input: "differs", "absent", "refused", "elsewhere", "unverified" or "failed"


class LockedGraph(msgspec.Struct, frozen=True, omit_defaults=True):
    """One resolution: of a protocol's roots, or of one requirement that is resolved apart."""

    requirements: list[str]  # canonical
    environment: str
    resolution: str  # its key: /api/v1/resolutions/{key}
    roots: list[str]  # purls
    packages: list[LockedPackage]
    documents: list[LockedDocument] = []
    unresolved: list[Missing] = []  # what can never be known; nothing that a later try would find
    stale: list[str] = []  # projects whose index could not be refreshed: such a lock is not kept


class LockedBuild(LockedGraph, frozen=True, omit_defaults=True):
    """An environment in which packages are built before they are installed: a resolution of its own. The
    requirements that could not be resolved are in `unresolved`."""

    builds: list[str] = []  # purls of the packages


class LockedProtocol(LockedGraph, frozen=True, omit_defaults=True):
    """One table of the ensure file."""

    apart: list[LockedGraph] = msgspec.field(default_factory=list, name="plugins")  # `Locks.apart`
    builds: list[LockedBuild] = []  # of the packages that are source archives, in any graph


class Lock(msgspec.Struct, frozen=True):
    """The answer to an ensure file. `complete`: all of it is chosen and stored here."""

    format: int
    key: str
    ensure: dict[str, Any]  # the file in its canonical form
    complete: bool
    files: int  # distinct ones, documents included
    size_bytes: int  # of these
    protocols: dict[str, LockedProtocol]
    missing: list[Missing] = []


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Lock).decode


def encode_lock(lock: Lock) -> bytes:
    """The bytes that are stored and served: deterministic."""
    return _encode(lock)


def decode_lock(body: bytes) -> Lock:
    """The lock of stored bytes."""
    return _decode(body)


def graphs_of(protocol: LockedProtocol) -> tuple[LockedGraph, ...]:
    """The roots' graph, those that were resolved apart, and what packages are built with."""
    return (protocol, *protocol.apart, *protocol.builds)
