"""The ledger of servings, as the API under /api/v1/admin tells it. Fields are only ever added."""

from __future__ import annotations

import msgspec

from services.gateway.api.types import Dependent


class Got(msgspec.Struct, frozen=True):
    """What one client got of one file, or was refused, in the time that was asked for."""

    token: str  # its name; "" without one
    address: str  # "" where addresses are not kept
    tool: str
    tool_version: str
    protocol: str
    project: str
    version: str  # as its file's name spells it
    filename: str  # "" of a refused page
    sha256: str  # "" where it is not known
    purl: str
    result: str  # served, partial, redirected, refused
    code: str  # of the error that refused it
    times: int
    first_at: float
    last_at: float


class Naming(msgspec.Struct, frozen=True):
    """A kept answer that names the package: `path` is where it is told."""

    kind: str  # lock, resolution, build
    key: str
    path: str
    kept_at: float


class WhoHas(msgspec.Struct, frozen=True):
    """Who has a package: a page of those that got it, and on the first page what names it."""

    purl: str
    sha256: str
    since: float
    until: float
    items: list[Got]
    next: str = ""
    named_by: list[Naming] = []
    all_looked_through: bool = True  # false: there are more kept answers than could be read in time
    dependents: list[Dependent] = []  # stored files that declare a dependency on the project; some of them
    all_files: bool = True  # false: there are more files of it than are looked at for one question


class Serving(msgspec.Struct, frozen=True):
    """Like servings of one second. `id` names it for ever."""

    id: str
    at: float
    token: str
    address: str
    tool: str
    tool_version: str
    protocol: str
    project: str
    version: str
    filename: str
    sha256: str
    purl: str
    result: str
    cache: str
    code: str
    times: int
    size_bytes: int
