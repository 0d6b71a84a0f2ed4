"""The files of the pages for people, read once at start: a page needs no disk and no path from outside."""

from __future__ import annotations

import hashlib
from pathlib import Path

import msgspec

_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}


class Asset(msgspec.Struct, frozen=True):
    """One file as it is sent."""

    body: bytes
    content_type: str
    etag: str


def _read(path: Path) -> Asset:
    body = path.read_bytes()
    return Asset(body, _TYPES[path.suffix], f'"{hashlib.sha256(body).hexdigest()[:32]}"')


ASSETS = {path.name: _read(path) for path in sorted(Path(__file__).parent.iterdir()) if path.suffix in _TYPES}
"""By file name."""
