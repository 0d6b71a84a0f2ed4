"""The statement of one admission: SLSA's Dependency Ingestion Provenance (draft of slsa.dev/dependency/v1).

docs/decisions/0048 says where each field comes from. What is not known is left out, or said as such.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from shared.protocols.file_versions import told_version
from shared.protocols.package_urls import purl
from shared.statements.platform import Platform, encoded
from shared.tlog.dsse import DEPENDENCY
from shared.tlog.entries import LogEntry, Source

UPSTREAM = ("index", "address", "checksum")  # of what `LogEntry.checked` names: what the source tells
_SIGNING = (
    "Signed after the admission, by a process that fetches nothing from upstreams. No process of this "
    "platform runs code of a package; packages are read in child processes that start without environment "
    "and are not given the key."
)
_APART = (
    "Signed by a process of its own, which alone has the key. It is asked after the admission, and neither "
    "runs nor reads anything of a package."
)
_INGESTION = (
    "Files are downloaded, hashed, compared and stored as they are. Nothing in them is run, and no two share "
    "a working file."
)


class Evaluated(msgspec.Struct, frozen=True):
    """That the policy was asked and allowed it. `version`: of its blocks and rules on this project."""

    version: str
    at: float  # unix seconds


def dependency_statement(
    entry: LogEntry, platform: Platform, evaluated: Sequence[Evaluated] | None, publisher: str = ""
) -> bytes | None:
    """The payload of the statement of an admission's entry; None where the predicate cannot be filled: its
    source is not known. `evaluated` empty: no policy was in force; None: what it says is not known.
    `publisher`: whom a verified attestation of these bytes names; "" where none was verified."""
    source, digests = entry.source, entry.digests
    if source is None or not source.address or "sha256" not in digests:
        return None
    version = told_version(entry.protocol, entry.project, entry.version, entry.file)
    told = {entry.checked[by] for by in UPSTREAM if by in entry.checked}
    compared = {name: digests[name] for name in sorted(told) if name in digests}
    predicate: dict[str, Any] = {
        "ingestor": {"id": platform.public_url or platform.id},
        "ingestionPlatform": {"id": platform.id, "version": platform.version},
        "upstream": {
            "registry": source.address,
            "name": entry.project,
            "version": version,
            **({"digest": compared} if compared else {}),
        },
        "ingestion": {
            "timestamp": entry.time,
            "path": f"{platform.public_url}/cas/sha256/{digests['sha256']}",
        },
        "integrity": {"result": "verified", "method": "hash", "expected": compared}
        if compared
        else {"result": "unverified"},
        "publisherSignature": {"result": "verified", "method": "sigstore", "keyId": publisher}
        if publisher
        else {"result": "unverified"},
        "signingIsolation": {
            "method": "separate-signer-process" if platform.signer_apart else "post-ingestion-signing",
            "description": _APART if platform.signer_apart else _SIGNING,
            "signerIdentity": platform.signer,
        },
        "ingestionIsolation": {"method": "no-dep-code-executed", "description": _INGESTION},
        **_further(entry, source),
    }
    if evaluated is not None:
        predicate["policyEvaluations"] = [_evaluation(each, platform) for each in evaluated]
    subject = {
        "name": entry.file,
        "uri": purl(entry.protocol, entry.project, version),
        "digest": digests,
    }
    return encoded(DEPENDENCY, subject, predicate)


def _further(entry: LogEntry, source: Source) -> dict[str, Any]:
    """What the predicate has no field for, under names of our own (SLSA's rule for extensions)."""
    told = {
        "orchard_checked": entry.checked,
        "orchard_protocol": entry.protocol,
        "orchard_size": entry.size,
        "orchard_url": source.url,
    }
    return {name: value for name, value in told.items() if value}


def _evaluation(each: Evaluated, platform: Platform) -> dict[str, Any]:
    return {
        "policy": {"id": f"{platform.id}:policy", "version": each.version},
        "timestamp": datetime.fromtimestamp(each.at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "result": "allow",
        "description": "Blocks, exemptions, ages, advisories, policy file: asked when this was signed.",
    }
