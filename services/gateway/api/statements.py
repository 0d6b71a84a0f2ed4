"""Statements of what was admitted: signed envelopes, of a file by its digest, of a version by its package URL
(docs/statements.md).

They give no bytes of a file: whoever may ask the API at all gets them, of what is blocked or gone as well.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Annotated

from litestar import Response, get
from litestar.params import Parameter

from services.gateway.api.admin.subjects import read_subject
from services.gateway.api.parameters import check_sha256
from shared.errors import EntryNotFound, InvalidParameter
from shared.errors.passing import StoreUnavailable
from shared.objects.port import ObjectStore, statement_key
from shared.stores import Stores
from shared.transparency.imported import ImportedRows
from shared.transparency.statements import StatementRows

LINES = "application/jsonl"
TAGS = ["log"]
FRESH = {"cache-control": "no-cache", "x-content-type-options": "nosniff"}
LATER = "A statement is there some seconds later, where a log is kept (docs/statements.md)."


@get("/api/v1/statements/sha256/{sha256:str}", summary="Signed statements about a file", tags=TAGS)
async def of_file(stores: Stores, sha256: str) -> Response[bytes]:
    """DSSE envelopes of in-toto statements, one a line, the newest first: one for each name that the file's
    bytes were admitted under."""
    return await _of_file(stores, check_sha256(sha256))


@get("/api/v1/statements", summary="Signed statements about a version's files", tags=TAGS)
async def statements(
    stores: Stores, of: Annotated[str, Parameter(description="A package URL with a version, or a SHA256")]
) -> Response[bytes]:
    """As by digest, of all files of a version."""
    subject = read_subject(of)
    if subject.sha256:
        return await _of_file(stores, subject.sha256)
    if not subject.version:
        raise InvalidParameter("of: a version is missing in this package URL")
    named = subject.protocol, subject.project, subject.version
    own = await StatementRows(stores.database).of_version(*named)
    return await _lines(stores, own, await ImportedRows(stores.database).of_version(*named), subject.purl)


async def _of_file(stores: Stores, sha256: str) -> Response[bytes]:
    own = await StatementRows(stores.database).of_file(sha256)
    return await _lines(stores, own, await ImportedRows(stores.database).of_file(sha256), sha256)


async def _lines(stores: Stores, own: Sequence[str], imported: Sequence[bytes], what: str) -> Response[bytes]:
    """`own`: envelopes by SHA256; those of other Orchards follow them."""
    if not (own or imported):
        raise EntryNotFound(f"there is no statement about {what}", hint=LATER)
    found = [*[await read_envelope(stores.objects, each) for each in own], *imported]
    body = b"".join([each + b"\n" for each in found])
    return Response(body, media_type=LINES, headers=FRESH)


async def read_envelope(objects: ObjectStore, sha256: str) -> bytes:
    """The envelope, as it was signed. Raises what the store raises, `StoreUnavailable` for changed bytes."""
    data = await objects.read(statement_key(sha256))
    if hashlib.sha256(data).hexdigest() != sha256:
        raise StoreUnavailable(f"the statement {sha256} is damaged")
    return data


HANDLERS = [of_file, statements]
