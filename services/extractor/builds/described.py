"""What is known of a build's files beyond its list: where each came from, its licence, its publisher.

Rows, and documents that the extractor reads anyway: core metadata, and the lists of projects. No package is
opened here.
"""

from __future__ import annotations

from collections.abc import Sequence

from shared.builds.entries import File
from shared.errors import UpstreamInvalid
from shared.errors.passing import ObjectMissing
from shared.judging.listings import load_listing
from shared.models import FileName
from shared.objects.verify import read_whole
from shared.policy.traits import Traits
from shared.postgres.database import Row
from shared.protocols import find_protocol
from shared.protocols.base import PackageProxyBase
from shared.protocols.file_versions import version_of
from shared.statements.provenance import Known
from shared.stores import Stores

# $1 to $4: names of files, by columns.
ROWS = """
SELECT c.protocol, c.project, c.file_id, c.filename, c.upstream_url AS url, a.licence,
    a.extraction_state = 'pending' AS pending
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[]) AS i(protocol, project, file_id, filename)
    JOIN cached_urls c USING (protocol, project, file_id, filename) JOIN artifacts a USING (sha256)
"""
MOST_PEOPLE = 3  # maintainers that are named as who supplies a version
NO_TRAITS = Traits("")


class Unread(Exception):
    """Some of the files have not been read yet: what they tell of their licence comes later."""


class Describing:
    """Over stores that others open and close."""

    def __init__(self, stores: Stores) -> None:
        self._stores = stores

    async def known(self, files: Sequence[File], *, wait: bool) -> dict[FileName, Known]:
        """By file; what is lost or broken tells nothing. Raises `Unread` if `wait`, `DatabaseUnavailable`,
        `StoreUnavailable`."""
        names = [each.file for each in files]
        columns = [[getattr(each, name) for each in names] for name in FileName.__struct_fields__]
        rows: dict[FileName, Row] = {}
        for row in await self._stores.database.fetch(ROWS, *columns):
            protocol = find_protocol(row["protocol"])
            is_read = protocol is not None and protocol.archive.is_extractable(row["filename"])
            if wait and is_read and row["pending"]:
                raise Unread
            rows[FileName(row["protocol"], row["project"], row["file_id"], row["filename"])] = row
        wanted: dict[tuple[str, str], set[str]] = {}
        for each in names:
            wanted.setdefault((each.protocol, each.project), set()).add(version_of(each))
        listed = {key: await self._listed(*key, versions) for key, versions in wanted.items()}
        return {
            each: await self._one(each, rows.get(each), listed[each.protocol, each.project]) for each in names
        }

    async def _one(self, file: FileName, row: Row | None, listed: dict[str, Traits]) -> Known:
        traits = listed.get(version_of(file), NO_TRAITS)
        supplier = ", ".join(traits.maintainers[:MOST_PEOPLE]) or await self._publisher(file)
        if row is None:
            return Known("", traits.licence or "", supplier)
        return Known(row["url"], traits.licence or row["licence"] or "", supplier)

    async def _listed(self, name: str, project: str, versions: set[str]) -> dict[str, Traits]:
        """By version, of these alone, what the project's own list tells: a list may have thousands."""
        protocol = find_protocol(name)
        if protocol is None:
            return {}
        try:
            body = (await load_listing(self._stores, protocol, project)).body
            found = await self._stores.threads.run(_traits, protocol, project, body) if body else {}
        except (ObjectMissing, UpstreamInvalid):
            return {}
        return {version: found[version] for version in versions & found.keys()}

    async def _publisher(self, file: FileName) -> str:
        """Whom the file's core metadata names, where that is stored."""
        protocol = find_protocol(file.protocol)
        metadata = None if protocol is None else protocol.archive.metadata_filename(file.filename)
        if protocol is None or metadata is None:
            return ""
        name = FileName(file.protocol, file.project, file.file_id, metadata)
        stored = await self._stores.artifacts.get_cached_url_with_artifact(name)
        if stored is None:
            return ""
        try:
            body = await read_whole(self._stores.bare_objects, stored.object_key, self._stores.threads)
        except ObjectMissing:
            return ""
        return protocol.archive.publisher(body)


def _traits(protocol: PackageProxyBase, project: str, body: bytes) -> dict[str, Traits]:
    document = protocol.documents.decode_document(body)
    identity = protocol.grammar.index_identity(project)
    return {each.version: each for each in protocol.documents.traits(identity, document)}
