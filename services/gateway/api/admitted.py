"""What of a lock is admitted here: of each file that it names the stored ones, by name and digest.

Nothing is fetched for it, and it proves nothing: `orchard verify` asks the log for each file.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
from litestar import Request, post

from services.gateway.api.ensure import parsed
from shared.errors import EnsureInvalid
from shared.models import FileName
from shared.postgres.database import Database
from shared.process.threads import BoundedThreads
from shared.protocols import find_protocol
from shared.protocols.base import PackageProxyBase
from shared.protocols.roles.pins import Elsewhere, Pin, first_different
from shared.resolving.pinned import ENSURE_KIND, PinnedFiles, kind_of, read_lock

PROJECTS_AT_ONCE = 100

STORED = """
SELECT project, file_id, filename, encode(sha256, 'hex') AS sha256, digests::text AS digests
FROM cached_urls WHERE protocol = $1 AND project = ANY ($2) AND role = 'file'
ORDER BY created_at, file_id, filename
"""

Row = Any
"""Of `STORED`."""

_digests = msgspec.json.Decoder(dict[str, str]).decode


class AdmittedFile(msgspec.Struct, frozen=True):
    """A stored file."""

    file: str
    sha256: str


class LockedFile(msgspec.Struct, frozen=True):
    """A file that the lock names. `admitted`: the stored ones of its name that have its digests; any of them,
    where the lock has digests of several."""

    protocol: str
    name: str
    version: str  # as the lock spells it
    file: str  # "" where the lock tells none
    digests: dict[str, list[str]]  # of the lock, by algorithm, in lower-case hex
    optional: bool  # the lock does not tell whether there is such a file
    admitted: list[AdmittedFile]
    others: list[AdmittedFile]  # stored under its name, with other bytes


class LockedFiles(msgspec.Struct, frozen=True):
    """What a lock names."""

    kind: str
    files: list[LockedFile]
    elsewhere: list[Elsewhere]  # packages of no registry


@post(
    "/api/v1/log/admitted",
    summary="What of a lock's files is stored here",
    tags=["log"],
    status_code=200,
)
async def admitted(
    request: Request[Any, Any, Any],
    database: Database,
    parsers: BoundedThreads,
    kind: str = "",
    name: str = "",
) -> LockedFiles:
    """The body is a lock, told by `kind`, else by the `name` of its file and by its content, as
    `POST /api/v1/ensure` takes it. 422 with the place of what is wrong."""
    body = await request.body()
    found, lock = await parsed(parsers, len(body), _read, body, kind, name)
    files: list[LockedFile] = []
    for of, pins in lock.pins.items():
        protocol = find_protocol(of)
        assert protocol is not None
        projects = sorted({pin.name for pin in pins})
        for start in range(0, len(projects), PROJECTS_AT_ONCE):
            some = projects[start : start + PROJECTS_AT_ONCE]
            rows = await database.fetch(STORED, of, some)
            files += await parsers.run(_matched, protocol, set(some), pins, rows)
    return LockedFiles(found, files, list(lock.elsewhere))


def _read(body: bytes, kind: str, name: str) -> tuple[str, PinnedFiles]:
    kind = kind or kind_of(name, body)
    if not kind or kind == ENSURE_KIND:
        raise EnsureInvalid("a lock is expected here; kind= says which, where its name does not")
    return kind, read_lock(kind, body)


def _matched(
    protocol: PackageProxyBase, projects: set[str], pins: Sequence[Pin], rows: Iterable[Row]
) -> list[LockedFile]:
    by_file: dict[tuple[str, str], list[Row]] = {}
    by_version: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        by_file.setdefault((row["project"], row["filename"]), []).append(row)
        file = FileName(protocol.name, row["project"], row["file_id"], row["filename"])
        version = protocol.grammar.version_asked(protocol.grammar.artifact_resource(file))
        by_version.setdefault((row["project"], version), []).append(row)
    found = []
    for pin in pins:
        if pin.name in projects:
            version = protocol.names.canonical_version(pin.version)
            named = (
                by_file.get((pin.name, pin.filename)) if pin.filename else by_version.get((pin.name, version))
            )
            found.append(_named(protocol, pin, named or ()))
    return found


def _named(protocol: PackageProxyBase, pin: Pin, rows: Iterable[Row]) -> LockedFile:
    """`rows`: stored files of its name, or of its version where it tells none."""
    same: list[AdmittedFile] = []
    others: list[AdmittedFile] = []
    for row in rows:
        told = {**_digests(row["digests"]), "sha256": row["sha256"]}
        is_other = first_different(pin.digests, told)
        (others if is_other else same).append(AdmittedFile(row["filename"], row["sha256"]))
    digests = {algorithm: text.split() for algorithm, text in pin.digests}
    return LockedFile(protocol.name, pin.name, pin.version, pin.filename, digests, pin.optional, same, others)


HANDLERS = [admitted]
