"""`NpmProxy`: the npm protocol, bound together for the flows that all protocols share."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, BinaryIO, ClassVar

from shared.errors import OrchardError, UpstreamInvalid
from shared.models import Extraction, FileEntry, SealedFile, UpstreamSource
from shared.protocols.base import (
    IndexDocument,
    PackageProxyBase,
    Passed,
    Redirect,
    Rendering,
    Resource,
    UpstreamRequest,
)
from shared.protocols.npm import dist, forwarding, index, locking, metadata, names, paths, rendering, upstream
from shared.protocols.npm.document import Document, decode_document


class NpmProxy(PackageProxyBase):
    """npm: packuments in both forms, version documents, tarballs, and a registry's services."""

    name: ClassVar[str] = "npm"
    system_project: ClassVar[str] = "_npm"
    purl_type: ClassVar[str] = "npm"

    def classify(
        self, method: str, raw_path: bytes, query: bytes, headers: Mapping[bytes, bytes]
    ) -> Resource | Redirect:
        return paths.classify(method, raw_path, query, headers)

    def index_identity(self, project: str) -> str:
        return names.packument_identity(project)

    def artifact_path(self, project: str, file_id: str, filename: str) -> str:
        return f"/{project}/-/{filename}"

    def artifact_resource(self, project: str, file_id: str, filename: str) -> Resource:
        return paths.artifact_resource(project, filename)

    def error_fields(self, error: OrchardError) -> dict[str, str]:
        return {"error": f"{error.message}. {error.hint}"}  # what npm, pnpm and yarn print

    def told_names(self, path: str, body: bytes) -> frozenset[str]:
        return forwarding.told_names(path, body)

    def without_names(self, path: str, body: bytes, withheld: Collection[str]) -> Passed:
        return forwarding.without_names(path, body, withheld)

    def project_of(self, identity: str) -> str:
        return names.split_identity(identity)[1]

    def upstream_request(self, identity: str, source_url: str) -> UpstreamRequest:
        return upstream.upstream_request(identity, source_url)

    def read_index(
        self, identity: str, source: UpstreamSource, *, url: str, content_type: str, body: bytes
    ) -> IndexDocument:
        return index.read_index(identity, source, url=url, body=body)

    def decode_document(self, body: bytes) -> Document:
        return decode_document(body)

    def wants_previous(self, document: Any, sealed: Mapping[tuple[str, str], SealedFile]) -> bool:
        return index.wants_previous(document, sealed)

    def carry_over(
        self, document: Any, previous: Any, sealed: Mapping[tuple[str, str], SealedFile], now: float
    ) -> bytes:
        return index.carry_over(document, previous, sealed, now)

    def find_file(self, document: Any, file_id: str, filename: str) -> FileEntry | None:
        version = document.version_of(filename)
        found = document.dist(version)
        if not found:
            return None
        return FileEntry(
            filename=filename,
            url=dist.tarball_url(found, document.envelope.url),
            file_id=paths.ONE_FILE_ID,
            hashes=dist.hashes_of(found),
        )

    def entry_identities(self, project: str, filename: str) -> tuple[str, ...]:
        version = names.version_of(project, filename)
        packument = names.packument_identity(project)
        return (packument, names.version_identity(project, version)) if version else (packument,)

    def per_base_url(self, identity: str) -> bool:
        return names.split_identity(identity)[0] in ("packument", "version")

    def rewrite_index(
        self, identity: str, document: Any, *, sealed: Mapping[tuple[str, str], SealedFile], base_url: str
    ) -> dict[str, Rendering]:
        if identity != document.envelope.identity:
            raise UpstreamInvalid("the stored document is of another package")
        return rendering.render(document, base_url)

    def mutated_files(
        self, document: Any, sealed: Mapping[tuple[str, str], SealedFile]
    ) -> list[tuple[SealedFile, str]]:
        changed = document.notes.mutated
        return [(held, changed[name]) for (_, name), held in sorted(sealed.items()) if name in changed]

    def is_extractable(self, filename: str) -> bool:
        return metadata.is_extractable(filename)

    def extract(self, filename: str, file: BinaryIO, size_bytes: int) -> tuple[Extraction, bytes | None]:
        return metadata.extract(filename, file, size_bytes)

    lock_reads_index: ClassVar[bool] = True

    def lock_fields(self, document: Any, version: str) -> dict[str, Any]:
        return locking.lock_fields(document, version)
