"""Who published a file, as the API tells it."""

from __future__ import annotations

from typing import Literal

import msgspec

from shared.policy.age import Dated, Seen
from shared.policy.evidence import OPENPGP, FileSignature


class Provenance(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is known of a file's attestations, or of its signature. The publisher's fields are of what is
    verified."""

    status: Literal["verified", "failed", "none", "unknown"]  # unknown: it has some that nobody verified yet
    kind: str = ""  # "GitHub", "GitLab", …; "OpenPGP": of a signature
    repository: str = ""  # of a signature the key's fingerprint
    workflow: str = ""
    why: str = ""  # of what is not verified
    signature: Literal["", "verified", "failed"] = (
        ""  # the registry's own; "": none, or no key of it is known
    )


def provenance_of(listed: Dated, seen: Seen) -> Provenance:
    """Of an entry of a list; where no list tells digests, of all files of it whose signatures are known."""
    if not listed.digest:
        found = [of_signature(each) for each in seen.signatures if each.entry == listed.name]
        return worst(found) or Provenance("unknown" if listed.provenance else "none")
    known = seen.evidence.get(listed.digest)
    if known is None:
        return Provenance("unknown" if listed.provenance else "none")
    who, status = known.publisher, known.status
    told = "none" if status == "unknown" and not listed.provenance else status
    return Provenance(told, who.kind, who.repository, who.workflow, known.why, known.signature)


def of_signature(known: FileSignature) -> Provenance:
    """Of a file, by the signature beside it."""
    status = "none" if known.status == "missing" else known.status
    return Provenance(status, OPENPGP if known.signer else "", known.signer, "", known.why)


_WORST_FIRST = ("failed", "none", "unknown", "verified")


def worst(found: list[Provenance]) -> Provenance | None:
    """Of a version's files that which says the least for it; None of none."""
    return min(found, key=lambda each: _WORST_FIRST.index(each.status), default=None)
