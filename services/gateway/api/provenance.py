"""Who published a file, as the API tells it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import msgspec

from shared.policy.age import Dated
from shared.policy.evidence import Evidence


class Provenance(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is known of a file's attestations. The publisher's fields are of what is verified."""

    status: Literal["verified", "failed", "none", "unknown"]  # unknown: it has some that nobody verified yet
    kind: str = ""  # "GitHub", "GitLab", …
    repository: str = ""
    workflow: str = ""
    why: str = ""  # of what is not verified
    signature: Literal["", "verified", "failed"] = (
        ""  # the registry's own; "": none, or no key of it is known
    )


def provenance_of(listed: Dated, evidence: Mapping[str, Evidence]) -> Provenance:
    """Of an entry of a list."""
    known = evidence.get(listed.digest) if listed.digest else None
    if known is None:
        return Provenance("unknown" if listed.provenance else "none")
    who, status = known.publisher, known.status
    told = "none" if status == "unknown" and not listed.provenance else status
    return Provenance(told, who.kind, who.repository, who.workflow, known.why, known.signature)


_WORST_FIRST = ("failed", "none", "unknown", "verified")


def worst(found: list[Provenance]) -> Provenance | None:
    """Of a version's files that which says the least for it; None of none."""
    return min(found, key=lambda each: _WORST_FIRST.index(each.status), default=None)
