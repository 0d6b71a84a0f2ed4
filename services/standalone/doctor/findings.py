"""What a check found, and how it is shown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import msgspec

State = Literal["ok", "warning", "failed"]
_MARKS = {"ok": "ok", "warning": "!", "failed": "FAILED"}


class Finding(msgspec.Struct, frozen=True):
    """One check. `cure`: one line of what to do; "" where all is well."""

    check: str  # disk, upstream pypi, …
    state: State
    detail: str
    cure: str = ""


def in_words(findings: Sequence[Finding]) -> str:
    """A line for each, and its cure below it."""
    width = max((len(each.check) for each in findings), default=0)
    lines = []
    for each in findings:
        lines.append(f"{_MARKS[each.state]:<6} {each.check:<{width}}  {each.detail}")
        if each.cure:
            lines.append(f"{'':6} {'':<{width}}  -> {each.cure}")
    return "\n".join(lines)
