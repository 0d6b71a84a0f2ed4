"""What clients get for metadata, with its checksums."""

from __future__ import annotations

from collections.abc import Mapping

from shared.models import SealedFile
from shared.policy.project import ProjectVerdicts
from shared.protocols.maven import blocking, index
from shared.protocols.roles.pages import Pages, Rendering

Sealed = Mapping[tuple[str, str], SealedFile]


class MavenPages(Pages):
    """Metadata without addresses, hence without a base URL."""

    def rewrite_index(
        self, identity: str, document: bytes, *, sealed: Sealed, base_url: str
    ) -> dict[str, Rendering]:
        return index.renderings(identity, document)

    def without_blocked(self, identity: str, body: bytes, verdicts: ProjectVerdicts, sealed: Sealed) -> bytes:
        return blocking.without_blocked(identity, body, verdicts)
