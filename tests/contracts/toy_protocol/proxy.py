"""`ToyProxy`: an index is a text of lines "filename sha256"; files lie beside it.

It shows what a protocol must supply, and that nothing else has to know of it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, BinaryIO, ClassVar

from shared.errors import MalformedRequest, MethodNotAllowed, RouteNotFound, UpstreamInvalid
from shared.models import Extraction, FileEntry, SealedFile, UpstreamSource
from shared.protocols.base import (
    IndexDocument,
    PackageProxyBase,
    Redirect,
    Rendering,
    Resource,
    UpstreamRequest,
)

_NAME = r"[a-z][a-z0-9]{0,60}"
_INDEX = re.compile(rf"/({_NAME})/index")
_FILE = re.compile(rf"/({_NAME})/([0-9a-f]{{64}})/([a-z0-9][a-z0-9.-]{{0,80}})")
_LINE = re.compile(r"([a-z0-9][a-z0-9.-]{0,80}) ([0-9a-f]{64})")


class ToyProxy(PackageProxyBase):
    """The smallest protocol that has indexes and files."""

    name: ClassVar[str] = "toy"
    purl_type: ClassVar[str] = "generic"

    def classify(
        self, method: str, raw_path: bytes, query: bytes, headers: Mapping[bytes, bytes]
    ) -> Resource | Redirect:
        if method not in ("GET", "HEAD"):
            raise MethodNotAllowed("the toy is read-only")
        if not raw_path.isascii():
            raise MalformedRequest("names are ASCII")
        path = raw_path.decode()
        if found := _INDEX.fullmatch(path):
            return Resource(
                protocol="toy",
                kind="index",
                identity=self.index_identity(found[1]),
                project=found[1],
                representation="text",
            )
        if found := _FILE.fullmatch(path):
            return self.artifact_resource(found[1], found[2], found[3])
        raise RouteNotFound("nothing of the toy lies here")

    def index_identity(self, project: str) -> str:
        return f"index/{project}"

    def artifact_path(self, project: str, file_id: str, filename: str) -> str:
        return f"/{project}/{file_id}/{filename}"

    def artifact_resource(self, project: str, file_id: str, filename: str) -> Resource:
        return Resource(
            protocol="toy",
            kind="artifact",
            identity=f"{project}/{file_id}/{filename}",
            project=project,
            file_id=file_id,
            filename=filename,
            sha256=file_id,
        )

    def project_of(self, identity: str) -> str:
        return identity.removeprefix("index/")

    def upstream_request(self, identity: str, source_url: str) -> UpstreamRequest:
        return UpstreamRequest(f"{source_url.rstrip('/')}/{self.project_of(identity)}/index", "text/plain")

    def read_index(
        self, identity: str, source: UpstreamSource, *, url: str, content_type: str, body: bytes
    ) -> IndexDocument:
        lines = body.decode("ascii", "replace").splitlines()
        if not lines or not all(_LINE.fullmatch(line) for line in lines):
            raise UpstreamInvalid("not an index of the toy")
        return IndexDocument("\n".join([url, *lines]).encode())

    def decode_document(self, body: bytes) -> Any:
        url, *lines = body.decode().splitlines()
        return url.rsplit("/", 1)[0], dict(line.split() for line in lines)

    def find_file(self, document: Any, file_id: str, filename: str) -> FileEntry | None:
        folder, files = document
        if files.get(filename) != file_id:
            return None
        return FileEntry(filename, f"{folder}/{filename}", file_id, hashes={"sha256": file_id})

    def rewrite_index(
        self, identity: str, document: Any, *, sealed: Mapping[tuple[str, str], SealedFile], base_url: str
    ) -> dict[str, Rendering]:
        lines = [f"{digest}/{filename}" for filename, digest in document[1].items()]
        return {"text": Rendering("\n".join(lines).encode(), "text/plain")}

    def is_extractable(self, filename: str) -> bool:
        return False

    def extract(self, filename: str, file: BinaryIO, size_bytes: int) -> tuple[Extraction, bytes | None]:
        return Extraction(sha256="", state="unknown", reason="the toy declares nothing"), None
