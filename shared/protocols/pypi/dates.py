"""What the rules ask of files and versions; when files were uploaded: `upload-time` (PEP 700),
`upload_time_iso_8601` of the legacy documents.

Of files, for a wheel may be added to an old version.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from shared.digests import is_sha256
from shared.models import FileName
from shared.policy.age import Dated
from shared.policy.traits import Traits
from shared.protocols.pypi import names
from shared.protocols.pypi.blocking import file_version
from shared.protocols.pypi.document import Document
from shared.protocols.reading.times import unix_seconds
from shared.protocols.roles.documents import Remark


def dated(identity: str, document: Document, *, marks: bool = False) -> Iterator[Dated]:
    """See `Documents.dated`."""
    page = document.page
    if document.kind == "simple":
        yield from _dated(document, page["files"], "hashes", "upload-time")
    elif document.kind == "json":
        releases = page.get("releases")
        for files in (page.get("urls", ()), *(releases.values() if isinstance(releases, dict) else ())):
            yield from _dated(document, files, "digests", "upload_time_iso_8601")


def _dated(document: Document, files: Iterable[dict[str, Any]], hashes: str, time: str) -> Iterator[Dated]:
    for file in files:
        filename: str = file["filename"]
        version = file_version(document.project, filename)
        sha256 = file[hashes].get("sha256", "")
        provenance = file.get("provenance") or ""
        yield Dated(
            filename,
            version,
            unix_seconds(file.get(time)),
            sha256,
            is_file=True,
            provenance=provenance,
            digest=sha256,
        )


def remarks(document: Document) -> dict[str, Remark]:
    """See `Documents.remarks`: the size (PEP 700), what is yanked (PEP 592)."""
    if document.kind != "simple":
        return {}
    return {file["filename"]: _remark(file) for file in document.page["files"]}


def _remark(file: dict[str, Any]) -> Remark:
    size, yanked = file.get("size"), file.get("yanked")
    reason = yanked if isinstance(yanked, str) else ""
    return Remark("yanked" if yanked else "", reason, size if isinstance(size, int) else 0)


def dated_name(document: Document, file: FileName) -> str:
    """See `Documents.dated_name`."""
    parent, _ = names.parent_file(file.filename)
    return parent if parent in document.by_name else ""


def unlisted(file: FileName, version: str, digests: Mapping[str, str]) -> Dated:
    """See `Documents.unlisted`: its address has its SHA256."""
    sha256 = file.file_id if is_sha256(file.file_id) else ""
    return Dated(names.parent_file(file.filename)[0], version, mark=sha256, is_file=True, digest=sha256)


def stands_for_entry(file: FileName) -> bool:
    """See `Documents.stands_for_entry`: metadata and signatures lie beside files."""
    return not names.parent_file(file.filename)[1]


def traits(identity: str, document: Document) -> Iterator[Traits]:
    """See `Documents.traits`. Pages tell no licence, no dependencies and no people."""
    if document.kind != "simple":
        return
    by_version: dict[str, list[dict[str, Any]]] = {}
    for file in document.page["files"]:
        by_version.setdefault(file_version(document.project, file["filename"]), []).append(file)
    for version, files in by_version.items():
        sizes = [size for file in files if isinstance(size := file.get("size"), int)]
        yield Traits(
            version,
            sdist_only=not any(file["filename"].endswith(".whl") for file in files),
            size_bytes=max(sizes, default=0),
            yanked=all(file.get("yanked") for file in files),
        )
