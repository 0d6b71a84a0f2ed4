"""Attestations of files (PEP 740): where they are, how they are written, what they are about."""

from __future__ import annotations

from collections.abc import Iterator

from packaging.utils import (
    InvalidSdistFilename,
    InvalidWheelFilename,
    parse_sdist_filename,
    parse_wheel_filename,
)

from shared.policy.age import Dated
from shared.policy.evidence import LONGEST, Attested, Publisher, Signed

MEDIA_TYPES = "application/vnd.pypi.integrity.v1+json, application/json;q=0.5"


def attested(project: str, listed: Dated) -> Attested:
    """See `Documents.attested`."""
    return Attested(listed.name, "sha256", MEDIA_TYPES)


def is_subject(attested: str, name: str) -> bool:
    """See `Documents.is_subject`: file names have several spellings."""
    parse = parse_wheel_filename if attested.endswith(".whl") else parse_sdist_filename
    try:
        return bool(name == attested or parse(name) == parse(attested))
    except (InvalidWheelFilename, InvalidSdistFilename):
        return False


def attestations(document: bytes) -> Iterator[Signed]:
    """See `Documents.attestations`: a provenance object. Whom the index names the certificate must name."""
    from pypi_attestations import Provenance

    for each in Provenance.model_validate_json(document).attestation_bundles:
        told = each.publisher.model_dump()
        publisher = Publisher(
            told["kind"][:LONGEST],
            (told.get("repository") or told.get("email") or told.get("project_id") or "")[:LONGEST],
            (told.get("workflow") or told.get("workflow_filepath") or "")[:LONGEST],
        )
        for attestation in each.attestations:
            yield Signed(attestation.to_bundle(), publisher, each.publisher._as_policy())
