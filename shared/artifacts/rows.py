"""Rows to values and values to columns, for the statements of `ArtifactRepository`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from shared.errors import InvalidData
from shared.models import (
    CachedUrl,
    Dependency,
    Extraction,
    IndexState,
    SealedFile,
    StandingFile,
    StoredDocument,
    StoredFile,
)
from shared.postgres.database import Row

_decode_texts = msgspec.json.Decoder(dict[str, str]).decode
_decode_document = msgspec.json.Decoder(StoredDocument).decode
_decode_pins = msgspec.json.Decoder(list[tuple[str, int]]).decode
_decode_sealed = msgspec.json.Decoder(list[SealedFile]).decode
_EXTRAS_SEPARATOR = "\x1f"  # an array of arrays cannot be passed: unnest would flatten it


def digest(sha256: str) -> bytes:
    """The column's form of a hex SHA256. Raises `InvalidData`."""
    try:
        return bytes.fromhex(sha256)
    except ValueError:
        raise InvalidData("a SHA256 is 64 hex digits") from None


def event_detail(detail: Mapping[str, Any]) -> str:
    """JSON in one spelling, so that equal details are equal rows. Raises `InvalidData`."""
    try:
        text = msgspec.json.encode(detail, order="deterministic").decode()
    except UnicodeEncodeError:
        raise InvalidData("a text holds a lone surrogate") from None
    if "\\u0000" in text:
        raise InvalidData("a text holds a NUL character")
    return text


def url_columns(urls: Sequence[CachedUrl]) -> list[list[Any]]:
    """The parameters of `STORE`."""
    files = [url.file for url in urls]
    stored = [url.stored for url in urls]
    return [
        list(range(len(urls))),
        [file.protocol for file in files],
        [file.project for file in files],
        [file.file_id for file in files],
        [file.filename for file in files],
        [digest(each.sha256) for each in stored],
        [each.size_bytes for each in stored],
        [each.content_type for each in stored],
        [each.object_key for each in stored],
        [url.generation for url in urls],
        [url.source_id for url in urls],
        [url.upstream_url for url in urls],
        [url.role for url in urls],
        [event_detail(each.digests) for each in stored],
        [each.modified for each in stored],
        [event_detail(each.headers) for each in stored],
        [each.published for each in stored],
        [each.judged for each in stored],
        [event_detail(url.checked) if url.checked else None for url in urls],
    ]


def _texts(told: str) -> dict[str, str]:
    """Digests or headers: a column of JSON as text."""
    return _decode_texts(told) if told != "{}" else {}


def stored_file_of(row: Row) -> StoredFile:
    """A row of `LOOKUP`, `LOOKUP_MANY`, `STORE` or `STANDING_FILE`."""
    return StoredFile(
        sha256=row["sha256"].hex(),
        size_bytes=row["size_bytes"],
        content_type=row["content_type"],
        object_key=row["object_key"],
        filename=row["filename"],
        created_at=row["created_at"],
        digests=_texts(row["digests"]),
        modified=row["modified"],
        headers=_texts(row["headers"]),
        provisional=row["provisional"],
        published=row["published"],
        judged=row["judged"],
    )


def sealed_file_of(row: Row) -> SealedFile:
    """A row of `SEALED_FILES`."""
    return SealedFile(
        filename=row["filename"],
        file_id=row["file_id"],
        sha256=row["sha256"].hex(),
        size_bytes=row["size_bytes"],
        metadata_sha256=row["metadata_sha256"].hex() if row["metadata_sha256"] else "",
        digests=_texts(row["digests"]),
        stored_at=row["stored_at"],
        published=row["published"],
        judged=row["judged"],
        licence=row["licence"],
    )


def standing_file_of(row: Row) -> StandingFile:
    """A row of `STANDING_FILE`."""
    return StandingFile(
        stored=stored_file_of(row),
        state=row["state"],
        has_metadata=row["has_metadata"],
        provisional_sha256=row["provisional_sha256"].hex() if row["provisional_sha256"] else "",
        document_key=row["document_key"] or "",
    )


def index_state_of(row: Row, pin_names: Sequence[str]) -> IndexState:
    """A row of `INDEX_STATE`."""
    pins: dict[str, frozenset[int]] = {}
    for name, source_id in _decode_pins(row["pins"]) if row["pins"] else ():
        pins[name] = pins.get(name, frozenset()) | {source_id}
    return IndexState(
        document=_decode_document(row["document"]) if row["document"] else None,
        pinned=first_pinned(pins, pin_names),
        sealed=_decode_sealed(row["sealed"]) if row["sealed"] else [],
    )


def first_pinned(pins: Mapping[str, frozenset[int]], names: Sequence[str]) -> frozenset[int]:
    """The sources of the first name that is pinned; empty: none is."""
    return next((pins[name] for name in names if name in pins), frozenset())


def _joined(extras: Sequence[str]) -> str:
    if any(_EXTRAS_SEPARATOR in extra for extra in extras):
        raise InvalidData("an extra's name holds a control character")
    return _EXTRAS_SEPARATOR.join(extras)


def extraction_columns(extractions: Sequence[Extraction]) -> list[list[Any]]:
    """The first seven parameters of `STORE_EXTRACTIONS`."""
    return [
        [digest(extraction.sha256) for extraction in extractions],
        [extraction.state for extraction in extractions],
        [extraction.reason for extraction in extractions],
        [extraction.name for extraction in extractions],
        [extraction.version for extraction in extractions],
        [extraction.requires_python for extraction in extractions],
        [_joined(extraction.extras) for extraction in extractions],
    ]


def dependency_columns(extractions: Sequence[Extraction]) -> list[list[Any]]:
    """The other parameters of `STORE_EXTRACTIONS`: one entry per dependency."""
    rows = [(digest(one.sha256), dependency) for one in extractions for dependency in one.dependencies]
    return [
        [digest for digest, _ in rows],
        [dependency.position for _, dependency in rows],
        [dependency.requirement for _, dependency in rows],
        [dependency.name for _, dependency in rows],
        [dependency.specifier for _, dependency in rows],
        [dependency.marker for _, dependency in rows],
        [_joined(dependency.extras) for _, dependency in rows],
        [dependency.optional for _, dependency in rows],
        [dependency.kind for _, dependency in rows],
    ]


def dependency_of(row: Row) -> Dependency:
    """One row of `EXTRACTION`."""
    return Dependency(
        position=row["position"],
        requirement=row["requirement"],
        name=row["name"],
        specifier=row["specifier"],
        marker=row["marker"],
        extras=tuple(row["extras"]),
        optional=row["optional"],
        kind=row["kind"],
    )
