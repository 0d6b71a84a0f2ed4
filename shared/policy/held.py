"""The versions of a project that a rule holds back, for the queue of approvals. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from shared.policy import content
from shared.policy.project import JudgedEntry
from shared.policy.traits import Change
from shared.policy.verdict import Verdict

SETTLED = frozenset({"block", "malware", "view"})  # of what nobody has to decide


class HeldBack(msgspec.Struct, frozen=True):
    """A version that a rule holds back, which a person may overrule."""

    version: str
    published: float  # unix seconds
    verdict: Verdict
    change: Change
    name: str = ""  # of its entry in the project's list (`Dated.name`)


def held_back(entries: Iterable[JudgedEntry], contents: Mapping[str, content.Held]) -> list[HeldBack]:
    """Those of a list, as `judged` gives them: the newest first, each version once."""
    found: dict[str, HeldBack] = {}
    for each, of, verdict in entries:
        if verdict is None or verdict.allowed or verdict.rule in SETTLED:
            continue
        judged = contents.get(each.version)
        change = Change() if judged is None else judged.change
        found[each.version] = HeldBack(each.version, of.published, verdict, change, each.name)
    return sorted(found.values(), key=lambda each: each.published, reverse=True)
