"""An index is a text of lines "filename sha256"; where files lie, the shop says of itself."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from shared.protocols.toy import names

from shared.errors import UpstreamInvalid
from shared.models import FileEntry, FileName, UpstreamSource
from shared.policy.age import Dated
from shared.policy.traits import Traits
from shared.protocols.roles.documents import Documents, IndexDocument

_LINE = re.compile(r"([a-z0-9][a-z0-9.-]{0,80}) ([0-9a-f]{64})")


class ToyDocuments(Documents):
    def read_index(
        self, identity: str, source: UpstreamSource, *, url: str, content_type: str, body: bytes
    ) -> IndexDocument:
        lines = body.decode("ascii", "replace").splitlines()
        if not lines or not all(_LINE.fullmatch(line) for line in lines):
            raise UpstreamInvalid("not an index of the toy")
        return IndexDocument("\n".join([url, *lines]).encode())

    def decode_document(self, body: bytes) -> Any:
        url, *lines = body.decode().splitlines()
        return url.split("/")[-2], dict(line.split() for line in lines)

    def find_file(
        self, document: Any, file: FileName, source: UpstreamSource | None = None
    ) -> FileEntry | None:
        name, files = document
        if files.get(file.filename) != file.file_id:
            return None
        folder = source.document if source is not None else "http://nowhere.invalid"
        address = f"{folder}/{name}/{file.filename}"
        return FileEntry(file.filename, address, file.file_id, hashes={"sha256": file.file_id})

    def dated(self, identity: str, document: Any, *, marks: bool = False) -> Iterator[Dated]:
        for filename, digest in document[1].items():
            yield Dated(filename, names.version_of(filename), mark=digest, is_file=True)

    def dated_name(self, document: Any, file: FileName) -> str:
        return file.filename if file.filename in document[1] else ""

    def traits(self, identity: str, document: Any) -> Iterator[Traits]:
        return map(Traits, dict.fromkeys(map(names.version_of, document[1])))

    def entry_identities(self, file: FileName) -> tuple[str, ...]:
        return (names.index_identity(file.project),)
