"""What of a lock is admitted here: of each file that it names the stored ones, by name and digest.

Nothing is fetched for it, and it proves nothing: `orchard verify` asks the log for each file.
"""

from __future__ import annotations

from typing import Any

import msgspec
from litestar import Request, post

from services.gateway.api.ensure import parsed
from shared.models import FileName
from shared.postgres.database import Database
from shared.process.threads import BoundedThreads
from shared.protocols import find_protocol
from shared.resolving.locked import LockedFile, LockedFiles, Stored, matched, read_locked

PROJECTS_AT_ONCE = 100

STORED = """
SELECT project, file_id, filename, encode(sha256, 'hex') AS sha256, digests::text AS digests
FROM cached_urls WHERE protocol = $1 AND project = ANY ($2) AND role = 'file'
ORDER BY created_at, file_id, filename
"""

_digests = msgspec.json.Decoder(dict[str, str]).decode


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
    found, lock = await parsed(parsers, len(body), read_locked, body, kind, name)
    files: list[LockedFile] = []
    for of, pins in lock.pins.items():
        protocol = find_protocol(of)
        assert protocol is not None
        projects = sorted({pin.name for pin in pins})
        for start in range(0, len(projects), PROJECTS_AT_ONCE):
            some = projects[start : start + PROJECTS_AT_ONCE]
            stored = [_stored(of, row) for row in await database.fetch(STORED, of, some)]
            files += await parsers.run(matched, protocol, set(some), pins, stored)
    return LockedFiles(found, files, list(lock.elsewhere))


def _stored(protocol: str, row: Any) -> Stored:
    name = FileName(protocol, row["project"], row["file_id"], row["filename"])
    return Stored(name, row["sha256"], _digests(row["digests"]))


HANDLERS = [admitted]
