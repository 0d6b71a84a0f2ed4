"""Addresses at a Maven repository: everything follows from the repository layout."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import ClassVar

from shared.models import FileEntry, FileName, UpstreamSource
from shared.protocols.maven import names
from shared.protocols.roles.upstream import Upstream, UpstreamRequest

_TYPES = {
    "pom": "application/xml",
    "xml": "application/xml",
    "jar": "application/java-archive",
    "module": "application/json",
    "asc": "application/pgp-signature",
}


def upstream_request(identity: str, source: UpstreamSource) -> UpstreamRequest:
    """Address of metadata, or of a snapshot that has no timestamp, at a repository."""
    kind, _, path = identity.partition("/")
    url = address(source.url, f"{path}/{names.METADATA}" if kind == "metadata" else path)
    return UpstreamRequest(url, headers_only=kind == "pointer", file=kind != "metadata")


def file_entry(source_url: str, file: FileName) -> FileEntry:
    """A file at a repository. Its checksums are looked up beside the download; nearly every repository
    has SHA-1, and SHA-256 proves more where that is missing."""
    group, _, artifact = file.project.partition(":")
    path = f"{group.replace('.', '/')}/{artifact}/{file.file_id.partition(':')[0]}/{file.filename}"
    return FileEntry(
        filename=file.filename,
        url=address(source_url, path),
        file_id=file.file_id,
        content_type=content_type(file.filename),
        checksum_urls={
            algorithm: address(source_url, f"{path}.{algorithm}")
            for algorithm in ("sha1", "sha256", "sha512", "md5")
        },
        signature_url=""
        if path.endswith(names.SIGNATURE)
        else address(source_url, f"{path}{names.SIGNATURE}"),
    )


def content_type(filename: str) -> str:
    """The media type that a file is served with."""
    return _TYPES.get(filename.rpartition(".")[2], "application/octet-stream")


def address(source_url: str, path: str) -> str:
    """A path below a repository, whose URL may have a query (a token, say)."""
    root, question_mark, query = source_url.partition("?")
    return f"{root.rstrip('/')}/{path}{question_mark}{query}"


def digests_told(headers: Mapping[str, str]) -> dict[str, str]:
    """X-Checksum-*, and an ETag that says that it is a SHA-1 (Maven Resolver, "remote-included
    checksums")."""
    found = {name: headers.get(names.CHECKSUM_HEADER + name, "").strip().lower() for name in names.CHECKSUMS}
    marked = re.fullmatch(r'"?\{SHA1\{([0-9A-Fa-f]{40})\}\}"?', headers.get("etag", "").strip())
    if marked is not None:
        found["sha1"] = marked[1].lower()
    return {name: text for name, text in found.items() if re.fullmatch(r"[0-9a-f]+", text)}


class MavenUpstream(Upstream):
    """A repository's root."""

    kept_digests: ClassVar[tuple[str, ...]] = ("md5", "sha1", "sha512")

    upstream_request = staticmethod(upstream_request)
    digests_told = staticmethod(digests_told)

    def direct_entry(self, source: UpstreamSource, file: FileName) -> FileEntry:
        return file_entry(source.url, file)
