"""Locks of ensure files: all that are kept, and one with its files and the ways to build from it."""

from __future__ import annotations

import msgspec
from litestar import get
from litestar.response import Template

from services.gateway.api.exports import EXPORTS
from services.gateway.api.locks import KeptLock
from services.gateway.api.types import Page
from services.gateway.pages.asking import Ask, path_of
from shared.protocols.lock import Missing

SHOWN = 500  # files of one lock


class Locked(msgspec.Struct, frozen=True):
    """The part of `LockedPackage` that is shown."""

    name: str
    version: str
    filename: str
    sha256: str = ""
    size_bytes: int = 0
    optional: bool = False


class Resolved(msgspec.Struct, frozen=True):
    """What was asked for together, and what was chosen."""

    requirements: list[str] = []
    packages: list[Locked] = []
    unresolved: list[Missing] = []


class Built(Resolved, frozen=True):
    """What packages that are source archives are built with: their package URLs."""

    builds: list[str] = []


class Graph(Resolved, frozen=True):
    """One protocol: its requirements, those that are resolved apart, and environments of builds."""

    plugins: list[Resolved] = []
    builds: list[Built] = []


class ShownLock(msgspec.Struct, frozen=True):
    """A lock, or how far it is: `status` "working" then."""

    key: str
    complete: bool = False
    files: int = 0
    size_bytes: int = 0
    protocols: dict[str, Graph] = {}
    missing: list[Missing] = []
    status: str = ""
    phase: str = ""


@get("/locks")
async def locks(ask: Ask, cursor: str = "") -> Template:
    """All that are kept, the newest first."""
    found = await ask.part(ask.get(path_of("ensures"), Page[KeptLock], cursor=cursor))
    return ask.page("locks/locks.html", "Locks", found=found, cursor=cursor)


@get("/locks/{key:str}")
async def lock(ask: Ask, key: str) -> Template:
    """One, with its files."""
    found = await ask.get(path_of("ensures", key), ShownLock)
    exports = [name for name, (protocol, _) in EXPORTS.items() if protocol in ("", *found.protocols)]
    return ask.page(
        "locks/lock.html",
        f"Lock {found.key[:12]}",
        lock=found,
        address=f"{ask.base}/v/lock-{found.key}",
        exports=exports,
        most=SHOWN,
    )


HANDLERS = [locks, lock]
