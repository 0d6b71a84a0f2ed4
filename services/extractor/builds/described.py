"""What is known of a build's files beyond its list: where each came from, its licence, its publisher.

Only documents that the extractor reads anyway: core metadata, and the lists of projects. What is inside a
package is not opened here.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from shared.builds.entries import File
from shared.errors import UpstreamInvalid
from shared.errors.passing import ObjectMissing
from shared.judging.listings import Listing, load_listing
from shared.models import FileName
from shared.objects.verify import read_whole
from shared.policy.traits import Traits
from shared.protocols import find_protocol
from shared.protocols.base import PackageProxyBase
from shared.protocols.dating import traits_of
from shared.protocols.roles.archive import About
from shared.statements.provenance import Known, version_of
from shared.stores import Stores

# $1 to $4: names of files, by columns.
LOCATIONS = """
SELECT c.protocol, c.project, c.file_id, c.filename, c.upstream_url AS url
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[]) AS i(protocol, project, file_id, filename)
    JOIN cached_urls c USING (protocol, project, file_id, filename)
"""
MOST_PEOPLE = 3  # maintainers that are named as who supplies a version


class Describing:
    """Over stores that others open and close."""

    def __init__(self, stores: Stores) -> None:
        self._stores = stores

    async def known(self, files: Sequence[File]) -> dict[FileName, Known]:
        """By file. Raises `DatabaseUnavailable`, `StoreUnavailable`; what is lost or broken tells nothing."""
        names = [each.file for each in files]
        columns = [[getattr(each, name) for each in names] for name in FileName.__struct_fields__]
        rows = await self._stores.database.fetch(LOCATIONS, *columns)
        locations = {
            FileName(row["protocol"], row["project"], row["file_id"], row["filename"]): str(row["url"])
            for row in rows
        }
        by_project: dict[tuple[str, str], list[FileName]] = {}
        for each in names:
            by_project.setdefault((each.protocol, each.project), []).append(each)
        told: dict[FileName, About] = {}
        for (name, project), its in by_project.items():
            protocol = find_protocol(name)
            if protocol is not None:
                told |= await self._about(protocol, project, its)
        return {each: Known(locations.get(each, ""), *told.get(each, About())) for each in names}

    async def _about(
        self, protocol: PackageProxyBase, project: str, files: Sequence[FileName]
    ) -> dict[FileName, About]:
        listed = await self._listed(protocol, project)
        found: dict[FileName, About] = {}
        for each in files:
            about = listed.get(version_of(each), About())
            metadata = protocol.archive.metadata_filename(each.filename)
            if metadata is not None and not about.licence:
                name = FileName(each.protocol, each.project, each.file_id, metadata)
                about = await self._metadata(protocol, name) or about
            found[each] = about
        return found

    async def _listed(self, protocol: PackageProxyBase, project: str) -> dict[str, About]:
        """By version, what the project's own list tells."""

        def read(listing: Listing) -> dict[str, About]:
            document = protocol.documents.decode_document(listing.body) if listing.body else None
            return _by_version(traits_of(protocol, project, document, listing.sealed))

        try:
            listing = await load_listing(self._stores, protocol, project)
            return await self._stores.threads.run(read, listing)
        except (ObjectMissing, UpstreamInvalid):
            return {}

    async def _metadata(self, protocol: PackageProxyBase, name: FileName) -> About | None:
        stored = await self._stores.artifacts.get_cached_url_with_artifact(name)
        if stored is None:
            return None
        try:
            body = await read_whole(self._stores.bare_objects, stored.object_key, self._stores.threads)
        except ObjectMissing:
            return None
        return protocol.archive.about(body)


def _by_version(traits: Iterable[Traits]) -> dict[str, About]:
    return {
        each.version: About(each.licence or "", ", ".join(each.maintainers[:MOST_PEOPLE])) for each in traits
    }
