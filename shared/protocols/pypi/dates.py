"""When files were uploaded: `upload-time` (PEP 700), `upload_time_iso_8601` of the legacy documents.

Of files, for a wheel may be added to an old version.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from shared.models import FileName
from shared.policy.age import Dated
from shared.protocols.pypi import names
from shared.protocols.pypi.blocking import file_version
from shared.protocols.pypi.document import Document
from shared.protocols.reading.times import unix_seconds


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
        yield Dated(filename, version, unix_seconds(file.get(time)), sha256, is_file=True)


def dated_name(document: Document, file: FileName) -> str:
    """See `Documents.dated_name`."""
    parent, _ = names.parent_file(file.filename)
    return parent if parent in document.by_name else ""
