"""Addresses at a Maven repository: everything follows from the repository layout."""

from __future__ import annotations

from shared.models import FileEntry
from shared.protocols.base import UpstreamRequest
from shared.protocols.maven import names

_TYPES = {
    "pom": "application/xml",
    "xml": "application/xml",
    "jar": "application/java-archive",
    "module": "application/json",
    "asc": "application/pgp-signature",
}


def upstream_request(identity: str, source_url: str) -> UpstreamRequest:
    """Address of metadata, or of a snapshot that has no timestamp, at a repository."""
    kind, _, path = identity.partition("/")
    url = address(source_url, f"{path}/{names.METADATA}" if kind == "metadata" else path)
    return UpstreamRequest(url, headers_only=kind == "pointer", file=kind != "metadata")


def file_entry(source_url: str, project: str, file_id: str, filename: str) -> FileEntry:
    """A file at a repository. Its checksums are looked up beside the download; nearly every repository
    has SHA-1, and SHA-256 proves more where that is missing."""
    group, _, artifact = project.partition(":")
    path = f"{group.replace('.', '/')}/{artifact}/{file_id.partition(':')[0]}/{filename}"
    return FileEntry(
        filename=filename,
        url=address(source_url, path),
        file_id=file_id,
        content_type=content_type(filename),
        checksum_urls={
            algorithm: address(source_url, f"{path}.{algorithm}")
            for algorithm in ("sha1", "sha256", "sha512", "md5")
        },
    )


def content_type(filename: str) -> str:
    """The media type that a file is served with."""
    return _TYPES.get(filename.rpartition(".")[2], "application/octet-stream")


def address(source_url: str, path: str) -> str:
    """A path below a repository, whose URL may have a query (a token, say)."""
    root, question_mark, query = source_url.partition("?")
    return f"{root.rstrip('/')}/{path}{question_mark}{query}"
