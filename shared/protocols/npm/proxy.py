"""`NpmProxy`: the npm protocol, bound together for the flows that all protocols share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from shared.errors import OrchardError, UpstreamInvalid
from shared.models import FileEntry, SealedFile
from shared.protocols.base import (
    PackageProxyBase,
    Rendering,
    Resource,
)
from shared.protocols.links import Links
from shared.protocols.npm import (
    aliases,
    blocking,
    dist,
    forwarding,
    freezing,
    index,
    locking,
    metadata,
    names,
    paths,
    rendering,
    services,
    upstream,
)
from shared.protocols.npm.document import Document, decode_document
from shared.protocols.npm.resolve import NpmResolver


class NpmProxy(PackageProxyBase):
    """npm: packuments in both forms, version documents, tarballs, and a registry's services."""

    name: ClassVar[str] = "npm"
    purl_type: ClassVar[str] = "npm"
    kept_digests: ClassVar[tuple[str, ...]] = ("sha512", "sha1")  # those that packuments tell

    # What this folder's functions do as they are.
    classify = staticmethod(paths.classify)
    is_root_relative = staticmethod(aliases.is_root_relative)
    index_identity = staticmethod(names.packument_identity)
    upstream_request = staticmethod(upstream.upstream_request)
    read_index = staticmethod(index.read_index)
    decode_document = staticmethod(decode_document)
    wants_previous = staticmethod(freezing.wants_previous)
    carry_over = staticmethod(freezing.carry_over)
    per_base_url = staticmethod(names.has_addresses)
    passes_on = staticmethod(services.passes_on)
    told_names = staticmethod(forwarding.told_names)
    without_names = staticmethod(forwarding.without_names)
    check_passed = staticmethod(forwarding.check_passed)
    is_project_name = staticmethod(names.is_name)
    canonical_version = staticmethod(blocking.canonical_version)
    version_asked = staticmethod(blocking.version_asked)
    without_blocked = staticmethod(blocking.without_blocked)
    is_extractable = staticmethod(metadata.is_extractable)
    extract = staticmethod(metadata.extract)

    def artifact_path(self, project: str, file_id: str, filename: str) -> str:
        return f"/{project}/-/{filename}"

    def artifact_resource(self, project: str, file_id: str, filename: str) -> Resource:
        return paths.artifact_resource(project, filename)

    def error_fields(self, error: OrchardError) -> dict[str, str]:
        # What npm, pnpm and yarn print. Tools that publish look for "not found" in it, as registries say it.
        start = "not found: " if error.status == 404 else ""
        return {"error": f"{start}{error.message}. {error.hint}"}

    def noun_of(self, identity: str) -> str:
        return names.noun_of(identity)

    def project_of(self, identity: str) -> str:
        return names.split_identity(identity)[1]

    def find_file(self, document: Any, file_id: str, filename: str) -> FileEntry | None:
        version = document.version_of(filename)
        found = document.dist(version)
        if not found:
            return None
        return FileEntry(
            filename=filename,
            url=dist.tarball_url(found, Links(document.envelope.url)),
            file_id=names.ONE_FILE_ID,
            hashes=dist.hashes_of(found),
        )

    def lists_files(self, identity: str, document: Document) -> bool:
        return names.split_identity(identity)[0] == "packument" and bool(document.versions)

    def entry_identities(self, project: str, filename: str) -> tuple[str, ...]:
        version = names.version_of(project, filename)
        packument = names.packument_identity(project)
        return (packument, names.version_identity(project, version)) if version else (packument,)

    def rewrite_index(
        self, identity: str, document: Any, *, sealed: Mapping[tuple[str, str], SealedFile], base_url: str
    ) -> dict[str, Rendering]:
        if identity != document.envelope.identity:
            raise UpstreamInvalid("the stored document is of another package")
        return rendering.render(document, base_url, sealed)

    def mutated_files(
        self, document: Any, sealed: Mapping[tuple[str, str], SealedFile]
    ) -> list[tuple[SealedFile, str]]:
        changed = document.notes.mutated
        return [(held, changed[name]) for (_, name), held in sorted(sealed.items()) if name in changed]

    lock_reads_index: ClassVar[bool] = True

    def lock_fields(self, document: Any, version: str) -> dict[str, Any] | None:
        return locking.lock_fields(document, version)

    @property
    def resolver(self) -> NpmResolver:
        return _RESOLVER


_RESOLVER = NpmResolver()
