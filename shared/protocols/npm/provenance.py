"""Where the provenance of a version is (`dist.attestations`), and what it is about."""

from __future__ import annotations

from urllib.parse import unquote

import msgspec

from shared.policy.age import Dated
from shared.policy.evidence import Attested
from shared.protocols.npm.dist import hashes_of, integrity_of
from shared.protocols.npm.document import Document
from shared.protocols.reading.json_text import value_of

MOST_SIGNATURES = 8  # of one version: more are not looked at


def marked(listed: Dated, document: Document) -> Dated:
    """With what tells the bytes that the upstream has now, and the provenance of those that are served."""
    now, served = hashes_of(document.upstream_dist(listed.name)), document.dist(listed.name)
    sha512 = hashes_of(served).get("sha512", "")
    return msgspec.structs.replace(
        listed,
        mark=now.get("sha1") or now.get("sha512", ""),
        provenance=_address(value_of(served.get("attestations"))),
        digest="" if " " in sha512 else sha512,
        signatures=_signatures(value_of(served.get("signatures"))),
    )


def _signatures(told: object) -> tuple[tuple[str, str], ...]:
    found = told[:MOST_SIGNATURES] if isinstance(told, list) else []
    pairs = [(each.get("keyid"), each.get("sig")) for each in found if isinstance(each, dict)]
    return tuple((key, sig) for key, sig in pairs if isinstance(key, str) and isinstance(sig, str))


def signed_text(project: str, listed: Dated) -> bytes:
    """See `Documents.signed_text` (npm documentation, "ECDSA registry signatures")."""
    return f"{project}@{listed.name}:{integrity_of('sha512', listed.digest)}".encode()


def _address(told: object) -> str:
    url = told.get("url") if isinstance(told, dict) else None
    return url if isinstance(url, str) else ""


def attested(project: str, listed: Dated) -> Attested:
    """See `Documents.attested`: the subject is a package URL."""
    return Attested(f"pkg:npm/{project}@{listed.name}", "sha512")


def is_subject(attested: str, name: str) -> bool:
    """See `Documents.is_subject`: the scope's @ is quoted, or not."""
    return unquote(name) == attested
