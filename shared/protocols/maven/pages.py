"""What clients get for metadata, with its checksums."""

from __future__ import annotations

from collections.abc import Mapping

from shared.models import FileName, SealedFile
from shared.policy.project import ProjectVerdicts
from shared.protocols.maven import blocking, dates, index, paths
from shared.protocols.roles.pages import Pages, Rendering

Sealed = Mapping[tuple[str, str], SealedFile]


class MavenPages(Pages):
    """Metadata without addresses, hence without a base URL."""

    def rewrite_index(
        self, identity: str, document: bytes, *, sealed: Sealed, base_url: str
    ) -> dict[str, Rendering]:
        return index.renderings(identity, document)

    def without_blocked(self, identity: str, body: bytes, verdicts: ProjectVerdicts, sealed: Sealed) -> bytes:
        """Metadata tells no digests: bytes that are blocked hide the version whose POM or main artifact is
        stored here."""
        gone = set(verdicts.versions)
        for (file_id, filename), file in sealed.items() if verdicts.digests else ():
            name = FileName("maven", paths.project_of(identity), file_id, filename)
            if file.sha256 in verdicts.digests and dates.dates_version(name):
                gone.add(dates.dated_name(body, name))
        return blocking.without_blocked(identity, body, gone)
