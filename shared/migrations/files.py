"""Finds the numbered SQL files and their checksums. Applied files are never edited, only followed."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import msgspec

_NAME = re.compile(r"^(\d{4})_([a-z0-9_]+)\.sql$")
FOLDER = Path(__file__).parent


class Migration(msgspec.Struct, frozen=True):
    """One file. `checksum` is the SHA256 hex of its bytes."""

    version: int
    name: str
    sql: str
    checksum: str


def read_migrations(folder: Path = FOLDER) -> list[Migration]:
    """All files in order. Raises `ValueError` for a misnamed file, a gap or a number used twice."""
    found = []
    for path in sorted(folder.glob("*.sql")):
        match = _NAME.match(path.name)
        if match is None:
            raise ValueError(f"{path.name}: a migration is named NNNN_words.sql")
        data = path.read_bytes()
        found.append(Migration(int(match[1]), path.stem, data.decode(), hashlib.sha256(data).hexdigest()))
    for expected, migration in enumerate(found, start=1):
        if migration.version != expected:
            raise ValueError(f"{migration.name}: expected number {expected:04d}")
    return found
