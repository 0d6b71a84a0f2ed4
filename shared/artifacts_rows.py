"""Rows to values and values to columns, for the statements of `ArtifactRepository`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from shared.clients.postgres import Row
from shared.errors import InvalidData
from shared.models import FORMAT, ArtifactFacts, CachedUrl, Dependency, Extraction, SealedFile

_decode_digests = msgspec.json.Decoder(dict[str, str]).decode
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
    return [
        list(range(len(urls))),
        [url.protocol for url in urls],
        [url.project for url in urls],
        [url.file_id for url in urls],
        [url.filename for url in urls],
        [digest(url.sha256) for url in urls],
        [url.size_bytes for url in urls],
        [url.content_type for url in urls],
        [url.object_key for url in urls],
        [url.generation for url in urls],
        [url.source_id for url in urls],
        [url.upstream_url for url in urls],
        [url.role for url in urls],
        [event_detail(url.digests) for url in urls],
        [url.modified for url in urls],
    ]


def digests_of(row: Row) -> dict[str, str]:
    """The kept hashes of a row that selects `digests::text`."""
    return _decode_digests(row["digests"]) if row["digests"] != "{}" else {}


def facts_of(row: Row) -> ArtifactFacts:
    """The facts in a row of `LOOKUP` or `LOOKUP_MANY`."""
    return ArtifactFacts(
        format=FORMAT,
        sha256=row["sha256"].hex(),
        size_bytes=row["size_bytes"],
        content_type=row["content_type"],
        object_key=row["object_key"],
        filename=row["filename"],
        created_at=row["created_at"],
        digests=digests_of(row),
        modified=row["modified"],
    )


def sealed_file_of(row: Row) -> SealedFile:
    """A row of `SEALED_FILES`."""
    return SealedFile(
        filename=row["filename"],
        file_id=row["file_id"],
        sha256=row["sha256"].hex(),
        size_bytes=row["size_bytes"],
        metadata_sha256=row["metadata_sha256"].hex() if row["metadata_sha256"] else "",
        digests=digests_of(row),
    )


def standing_url(url: CachedUrl, row: Row) -> CachedUrl:
    """The URL as it stands in the table, by a row of `STORE`."""
    return msgspec.structs.replace(
        url,
        sha256=row["sha256"].hex(),
        size_bytes=row["size_bytes"],
        content_type=row["content_type"],
        object_key=row["object_key"],
        generation=row["generation"],
        source_id=row["source_id"],
        upstream_url=row["upstream_url"],
        role=row["role"],
        created_at=row["created_at"],
        digests=digests_of(row),
        modified=row["modified"],
    )


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
