"""Rows of the outbox as entries of the log (docs/decisions/0051 says where each field comes from)."""

from __future__ import annotations

import msgspec

from shared.models import FileName
from shared.protocols.file_versions import version_of
from shared.tlog.entries import LogEntry, Source, encode_entry
from shared.transparency.rows import Waiting


class _Body(msgspec.Struct, frozen=True):
    """As the triggers write it."""

    protocol: str = ""
    project: str = ""
    version: str = ""
    file_id: str = ""
    file: str = ""
    role: str = ""
    digests: dict[str, str | None] = {}
    size: int | None = None
    source: Source | None = None
    checked: dict[str, str] = {}
    found: str | None = None


_decode = msgspec.json.Decoder(_Body).decode


def document_of(row: Waiting) -> tuple[bytes, bytes | None]:
    """The entry's bytes, and the SHA256 of the file that it admits, None where it admits none."""
    body = _decode(row.body)
    digests = {name: digest for name, digest in body.digests.items() if digest}
    entry = LogEntry(
        kind=row.kind,
        time=row.time,
        protocol=body.protocol,
        project=body.project,
        version=body.version or _version(body),
        file=body.file,
        role=body.role,
        digests=digests,
        size=body.size,
        source=body.source,
        checked=body.checked,
        found=body.found or "",
    )
    admits = bytes.fromhex(digests["sha256"]) if row.kind == "admission" else None
    return encode_entry(entry), admits


def _version(body: _Body) -> str:
    """What the file's name tells; "" where it names none."""
    if not body.file_id:
        return ""
    return version_of(FileName(body.protocol, body.project, body.file_id, body.file))
