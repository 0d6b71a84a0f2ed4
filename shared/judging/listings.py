"""What is stored of a project, and what the policy says of each version that its own list names. Asks no
upstream."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any

import msgspec

from shared.errors.passing import ObjectMissing
from shared.models import SealedFile
from shared.objects.verify import read_whole
from shared.policy.age import Seen
from shared.policy.content import Held
from shared.policy.project import JudgedEntry, ProjectVerdicts
from shared.protocols.base import PackageProxyBase
from shared.protocols.dating import judged_of
from shared.stores import Stores


class Listing(msgspec.Struct, frozen=True):
    """The last good list of a project's versions, and its stored files."""

    project: str
    body: bytes  # canonical; b"" where no list is stored
    seen: Seen
    sealed: list[SealedFile]
    fetched_at: float = 0.0  # unix seconds: the list; 0: there is none
    source_id: int = 0  # that gave it; of several the first

    def judged(
        self, protocol: PackageProxyBase, verdicts: ProjectVerdicts, now: float, *, changes: bool = False
    ) -> tuple[list[JudgedEntry], Mapping[str, Held]]:
        """See `judged_of`. Takes what parsing takes. Raises `UpstreamInvalid`."""
        return judged_of(
            protocol,
            self.project,
            self.document(protocol),
            verdicts,
            self.seen,
            self.sealed,
            now,
            changes=changes,
        )

    def document(self, protocol: PackageProxyBase) -> Any:
        """The list, read; None where none is stored. Raises `UpstreamInvalid`."""
        return protocol.documents.decode_document(self.body) if self.body else None


async def load_listing(stores: Stores, protocol: PackageProxyBase, project: str) -> Listing:
    """Three round trips. Raises `DatabaseUnavailable`, `StoreUnavailable`."""
    identity = protocol.grammar.index_identity(project)
    state = await stores.artifacts.index_state(protocol.name, identity, project, ())
    row = state.document
    body = b""
    if row is not None:
        with contextlib.suppress(ObjectMissing):
            body = await read_whole(stores.bare_objects, row.document_key, stores.threads)
    seen = await stores.artifacts.first_seen(protocol.name, project)
    fetched_at, source_id = (0.0, 0) if row is None else (row.fetched_at, row.source_id)
    return Listing(project, body, seen or Seen(fetched_at), state.sealed, fetched_at, source_id)
