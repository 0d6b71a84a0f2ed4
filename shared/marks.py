"""JSON documents told apart by a member that marks their format, wherever in the document it stands. The
standard library alone."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

MOST_BYTES = 16 * 1024 * 1024
"""Of a document that is read; of a longer one the beginning alone tells."""
HEAD_BYTES = 4096


class Mark(NamedTuple):
    """A member of the outermost object, and how its text begins."""

    member: str
    begins: str


def members_of(body: bytes) -> Mapping[str, Any] | None:
    """Those of the document's object. None: it is no JSON object, or too long to be read."""
    if len(body) > MOST_BYTES or body[:HEAD_BYTES].removeprefix(b"\xef\xbb\xbf").lstrip()[:1] != b"{":
        return None
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def marked(body: bytes, marks: Iterable[tuple[str, Mark]]) -> str:
    """The first whose mark the document has; "": none. Of what cannot be read the beginning tells: what is
    wrong with it is said by who reads that format."""
    wanted = list(marks)
    members = members_of(body) if wanted else None
    for name, (member, begins) in wanted:
        if members is not None:
            if str(members.get(member, "")).startswith(begins):
                return name
        elif re.search(rf'"{re.escape(member)}"\s*:\s*"{re.escape(begins)}'.encode(), body[:HEAD_BYTES]):
            return name
    return ""
