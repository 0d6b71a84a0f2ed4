"""`MavenProxy`: Maven repositories, bound together for the flows that all protocols share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, BinaryIO, ClassVar

from shared.blocks import ProjectBlocks
from shared.models import Extraction, FileEntry, SealedFile, UpstreamSource
from shared.protocols.base import IndexDocument, PackageProxyBase, Rendering, Resource, UpstreamRequest
from shared.protocols.maven import blocking, index, metadata, names, paths, upstream
from shared.protocols.maven.coordinates import base_version
from shared.protocols.maven.model import decode_pom
from shared.protocols.maven.resolve import MavenResolver

_RESOLVER = MavenResolver()


class MavenProxy(PackageProxyBase):
    """Maven: the repository layout, its metadata and its checksum files."""

    name: ClassVar[str] = "maven"
    purl_type: ClassVar[str] = "maven"
    kept_digests: ClassVar[tuple[str, ...]] = ("md5", "sha1", "sha512")

    def classify(
        self, method: str, raw_path: bytes, query: bytes, headers: Mapping[bytes, bytes]
    ) -> Resource:
        return paths.classify(method, raw_path)

    def index_identity(self, project: str) -> str:
        return paths.metadata_identity(project)

    def artifact_path(self, project: str, file_id: str, filename: str) -> str:
        group, _, artifact = project.partition(":")
        return f"/{group.replace('.', '/')}/{artifact}/{paths.split_file_id(file_id)[0]}/{filename}"

    def artifact_resource(self, project: str, file_id: str, filename: str) -> Resource:
        return paths.artifact_resource(project, file_id, filename)

    def is_project_name(self, text: str) -> bool:
        return names.is_project(text)

    def canonical_version(self, version: str) -> str:
        return base_version(version)  # the builds of a snapshot lie in its folder, and are blocked with it

    def version_asked(self, resource: Resource) -> str:
        return blocking.version_asked(resource)

    def without_blocked(
        self,
        identity: str,
        body: bytes,
        blocks: ProjectBlocks,
        sealed: Mapping[tuple[str, str], SealedFile],
    ) -> bytes:
        return blocking.without_blocked(identity, body, blocks)

    def noun_of(self, identity: str) -> str:
        return paths.noun_of(identity)

    def project_of(self, identity: str) -> str:
        return paths.project_of(identity)

    def upstream_request(self, identity: str, source_url: str) -> UpstreamRequest:
        return upstream.upstream_request(identity, source_url)

    def read_index(
        self, identity: str, source: UpstreamSource, *, url: str, content_type: str, body: bytes
    ) -> IndexDocument:
        return index.read_index(identity, body, content_type)

    def decode_document(self, body: bytes) -> bytes:
        return body

    def find_file(self, document: Any, file_id: str, filename: str) -> FileEntry | None:
        return None  # no index lists files: `direct_entry` knows where each lies

    def direct_entry(self, source: UpstreamSource, project: str, file_id: str, filename: str) -> FileEntry:
        return upstream.file_entry(source.url, project, file_id, filename)

    def lists_files(self, identity: str, document: bytes) -> bool:
        if identity.startswith("metadata/"):
            own = identity == self.index_identity(self.project_of(identity))
            return own and index.lists_versions(document)
        # A snapshot's POM is a file; a catalogue of archetypes is no project's.
        return not identity.startswith("pointer/") and self.project_of(identity) != ""

    def pin_names(self, project: str) -> tuple[str, ...]:
        return (project, f"{project.partition(':')[0]}:*")

    def merges(self, identity: str) -> bool:
        return identity.startswith("metadata/")

    def merge_documents(self, identity: str, bodies: Sequence[bytes]) -> bytes:
        return index.merge_documents(bodies)

    def rewrite_index(
        self, identity: str, document: Any, *, sealed: Mapping[tuple[str, str], SealedFile], base_url: str
    ) -> dict[str, Rendering]:
        return index.renderings(identity, document)

    def is_extractable(self, filename: str) -> bool:
        return metadata.is_extractable(filename)

    def extract(self, filename: str, file: BinaryIO, size_bytes: int) -> tuple[Extraction, bytes | None]:
        return metadata.extract(file, size_bytes), None

    def has_model(self, filename: str) -> bool:
        return metadata.is_extractable(filename)

    def reads_model(self, model: bytes) -> bool:
        return bool(model) and decode_pom(model) is not None

    @property
    def resolver(self) -> MavenResolver:
        return _RESOLVER
