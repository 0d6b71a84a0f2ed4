"""`PyPIProxy`: the PyPI protocol, bound together for the flows that all protocols share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, BinaryIO, ClassVar

from shared.blocks import ProjectBlocks
from shared.errors import UpstreamInvalid
from shared.models import Extraction, FileEntry, SealedFile, UpstreamSource
from shared.protocols.base import (
    IndexDocument,
    PackageProxyBase,
    Redirect,
    Rendering,
    Resource,
    UpstreamRequest,
)
from shared.protocols.pypi import (
    blocking,
    finding,
    freezing,
    identities,
    index,
    legacy,
    metadata,
    names,
    paths,
    rendering,
    sealing,
    upstream,
)
from shared.protocols.pypi.document import Document, decode_document
from shared.protocols.pypi.resolve import PyPIResolver


class PyPIProxy(PackageProxyBase):
    """PyPI: PEP 503/691 simple pages, files, core metadata and the legacy JSON API."""

    name: ClassVar[str] = "pypi"
    purl_type: ClassVar[str] = "pypi"

    def classify(
        self, method: str, raw_path: bytes, query: bytes, headers: Mapping[bytes, bytes]
    ) -> Resource | Redirect:
        return paths.classify(method, raw_path, query, headers)

    def index_identity(self, project: str) -> str:
        return identities.simple_identity(project)

    def artifact_path(self, project: str, file_id: str, filename: str) -> str:
        return f"/files/{project}/{file_id}/{filename}"

    def artifact_resource(self, project: str, file_id: str, filename: str) -> Resource:
        return paths.artifact_resource(project, file_id, filename)

    def canonical_name(self, name: str) -> str:
        return names.normalise(name)

    def is_project_name(self, text: str) -> bool:
        return names.is_project(text)

    def canonical_version(self, version: str) -> str:
        return blocking.canonical_version(version)

    def version_asked(self, resource: Resource) -> str:
        if resource.kind == "artifact":
            return blocking.file_version(resource.project, resource.filename)
        return super().version_asked(resource)

    def without_blocked(
        self,
        identity: str,
        body: bytes,
        blocks: ProjectBlocks,
        sealed: Mapping[tuple[str, str], SealedFile],
    ) -> bytes:
        return blocking.without_blocked(body, blocks, sealed)

    def noun_of(self, identity: str) -> str:
        _, project, version = identities.split_identity(identity)
        if not project:
            return "a list of all projects"
        return f"version {version} of {project}" if version else project

    def project_of(self, identity: str) -> str:
        return identities.split_identity(identity)[1]

    def upstream_request(self, identity: str, source_url: str) -> UpstreamRequest:
        return upstream.upstream_request(identity, source_url)

    def read_index(
        self, identity: str, source: UpstreamSource, *, url: str, content_type: str, body: bytes
    ) -> IndexDocument:
        return index.read_index(identity, source, url=url, content_type=content_type, body=body)

    def decode_document(self, body: bytes) -> Document:
        return decode_document(body)

    def find_file(self, document: Any, file_id: str, filename: str) -> FileEntry | None:
        return finding.find_file(document, file_id, filename)

    def wants_previous(self, document: Any, sealed: Mapping[tuple[str, str], SealedFile]) -> bool:
        return bool(document.kind == "simple")

    def carry_over(
        self, document: Any, previous: Any, sealed: Mapping[tuple[str, str], SealedFile], now: float
    ) -> bytes | None:
        return freezing.carry_over(document, previous, sealed)

    def lists_files(self, identity: str, document: Document) -> bool:
        return document.kind == "simple" and bool(document.by_name)

    def per_base_url(self, identity: str) -> bool:
        return identities.split_identity(identity)[0] == "json"

    def rewrite_index(
        self, identity: str, document: Any, *, sealed: Mapping[tuple[str, str], SealedFile], base_url: str
    ) -> dict[str, Rendering]:
        if identity != document.envelope.identity:
            raise UpstreamInvalid("the stored index document is of another index")
        if document.kind == "root":
            return rendering.render_root(document)
        if document.kind == "json":
            return legacy.render_legacy(document, sealed, base_url)
        return rendering.render_project(document, sealed, base_url)

    def mutated_files(
        self, document: Any, sealed: Mapping[tuple[str, str], SealedFile]
    ) -> list[tuple[SealedFile, str]]:
        return sealing.mutated_files(document, sealed)

    def is_extractable(self, filename: str) -> bool:
        return metadata.is_extractable(filename)

    def extract(self, filename: str, file: BinaryIO, size_bytes: int) -> tuple[Extraction, bytes | None]:
        return metadata.extract(filename, file, size_bytes)

    def metadata_filename(self, filename: str) -> str | None:
        return f"{filename}.metadata" if filename.endswith(".whl") else None

    @property
    def resolver(self) -> PyPIResolver:
        return _RESOLVER


_RESOLVER = PyPIResolver()
