"""Finding one file in a document: by its id and exact name, with its metadata and signature."""

from __future__ import annotations

from shared.models import FileEntry
from shared.protocols.links import with_suffix
from shared.protocols.pypi import names
from shared.protocols.pypi.document import Document, File
from shared.protocols.pypi.identities import is_stable_id

# Files go out as octets whatever they are, so that nothing on the way unpacks or renders them.
FILE_TYPE = "application/octet-stream"
# Core metadata is UTF-8 text (core metadata specification, "Metadata-Version 2.1" and later).
METADATA_TYPE = "text/plain; charset=utf-8"
SIGNATURE_TYPE = "application/pgp-signature"


def find_file(document: Document, file_id: str, filename: str) -> FileEntry | None:
    """The entry of exactly this file, or None; see `PackageProxyBase.find_file`.

    "x.whl.metadata" gives the metadata's URL with its hashes as `hashes` ({} where the upstream
    offers it without a digest), None where the upstream offers none; "x.whl.asc" likewise.
    """
    parent, suffix = names.parent_file(filename)
    file = _entry(document, file_id, parent)
    if file is None:
        return None
    metadata = file.get("core-metadata", file.get("data-dist-info-metadata"))
    metadata_hashes: dict[str, str] | None = None
    if metadata:
        metadata_hashes = metadata if isinstance(metadata, dict) else {}
    if suffix == ".metadata":
        if metadata_hashes is None:
            return None
        url = with_suffix(file["url"], suffix)
        return FileEntry(filename, url, file_id, metadata_hashes, content_type=METADATA_TYPE)
    if suffix == ".asc":
        if file.get("gpg-sig") is not True:
            return None
        return FileEntry(filename, with_suffix(file["url"], suffix), file_id, content_type=SIGNATURE_TYPE)
    return FileEntry(
        filename=filename,
        url=file["url"],
        file_id=file_id,
        hashes=file["hashes"],
        size_bytes=file.get("size"),
        metadata_hashes=metadata_hashes,
        content_type=FILE_TYPE,
    )


def _entry(document: Document, file_id: str, filename: str) -> File | None:
    candidates = document.by_name.get(filename, ())
    for file in candidates:
        if document.file_id(file) == file_id:
            return file
    if document.stable:  # a URL with the digest, made elsewhere, is as good
        for file in candidates:
            if file["hashes"].get("sha256") == file_id:
                return file
    # The upstream tells the digest now, but the URL was given out before: it stays valid.
    if candidates and is_stable_id(file_id) and document.stable_id(filename) == file_id:
        return candidates[0]
    return None
