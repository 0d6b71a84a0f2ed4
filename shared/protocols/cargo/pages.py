"""What clients get of a crate's index file: what the upstream wrote."""

from __future__ import annotations

from collections.abc import Mapping

from shared.models import SealedFile
from shared.policy.project import ProjectVerdicts
from shared.protocols.cargo import freezing
from shared.protocols.cargo.index import IndexFile, join_lines, without_blocked
from shared.protocols.cargo.paths import LINES
from shared.protocols.roles.pages import Pages, Rendering

Sealed = Mapping[tuple[str, str], SealedFile]


def render(identity: str, document: IndexFile, *, sealed: Sealed, base_url: str) -> dict[str, Rendering]:
    """See `Pages.rewrite_index`."""
    lines = freezing.shown_lines(document, sealed)
    body = document.body if lines == document.lines else join_lines(lines)
    changed = bool(sealed) and lines != freezing.shown_lines(document, {})
    return {LINES: Rendering(body, "text/plain; charset=utf-8", is_changed=changed)}


class CargoPages(Pages):
    """Index files as they are."""

    rewrite_index = staticmethod(render)
    wants_previous = staticmethod(freezing.wants_previous)
    mutated_files = staticmethod(freezing.mutated_files)

    def without_blocked(self, identity: str, body: bytes, verdicts: ProjectVerdicts, sealed: Sealed) -> bytes:
        return without_blocked(body, verdicts, freezing.stored_digests(sealed))

    def carry_over(
        self, document: IndexFile, previous: IndexFile | None, sealed: Sealed, now: float
    ) -> bytes | None:
        return freezing.carry_over(document, previous, sealed)
