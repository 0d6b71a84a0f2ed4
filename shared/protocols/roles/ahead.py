"""`Ahead`: of a document, what its client is likely to ask next (docs/decisions/0037).

Pure guesses: a wrong one costs bytes and changes nothing that is served. Documents are strangers' work: what
is read of one, and what is told of it, is bounded.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from shared.models import FileName
from shared.policy.project import NOTHING, ProjectVerdicts

MOST_NAMES = 200
"""Guesses of one document: one that names more is a trap, or nothing that anybody resolves at once."""

MOST_WANTED = 2_000
"""Characters of `Guess.wanted`: it lies in queued jobs, and is remembered for each client."""


class Guess(msgspec.Struct, frozen=True):
    """An index (`identity`) or a `file`, of which versions `wanted` are asked for: read by the same role
    alone; "" where nothing is known of that."""

    project: str
    identity: str = ""
    file: FileName | None = None
    wanted: str = ""


class Ahead:
    """Guesses nothing by default."""

    def tool(self, user_agent: str) -> str:
        """What of a client's User-Agent decides what it asks: read by the same role alone. "" for one that
        resolves nothing, or of which nothing is known: nothing is read ahead for it."""
        return ""

    def after_index(
        self, identity: str, document: Any, tool: str, wanted: str, blocks: ProjectVerdicts = NOTHING
    ) -> Sequence[Guess]:
        """What follows an index, of which versions `wanted` are asked for. `document`: as
        `Documents.decode_document` gives it. Nothing that is blocked. May raise `UpstreamInvalid`."""
        return ()

    def reads_file(self, filename: str) -> bool:
        """Whether `after_file` could say anything of a file of this name."""
        return False

    def after_file(self, file: FileName, content: bytes, tool: str, wanted: str) -> Sequence[Guess]:
        """What follows a file. May raise `UpstreamInvalid`."""
        return ()
