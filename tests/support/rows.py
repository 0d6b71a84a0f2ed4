"""Rows of stored files, as a fetcher would make them."""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec

from shared.models import CachedUrl, FileName, StoredFile
from shared.objects.port import artifact_key


def row_of(file: FileName, content: bytes, **changes: Any) -> CachedUrl:
    """The row of a file with these bytes; `changes`: what it says instead, by the name of the field."""
    sha256 = hashlib.sha256(content).hexdigest()
    fields: dict[str, Any] = {
        "sha256": sha256,
        "size_bytes": len(content),
        "content_type": "application/octet-stream",
        "object_key": artifact_key(sha256),
        "generation": 1,
        **changes,
    }

    def of(kind: type[msgspec.Struct]) -> dict[str, Any]:
        return {name: fields.pop(name) for name in kind.__struct_fields__ if name in fields}

    file = msgspec.structs.replace(file, **of(FileName))
    return CachedUrl(file, StoredFile(filename=file.filename, **of(StoredFile)), **fields)
