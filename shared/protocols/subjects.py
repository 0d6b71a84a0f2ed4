"""From an address, and what is known of the file behind it, to what the policy judges: in this one place."""

from __future__ import annotations

from shared.models import NO_STANDING, FileName
from shared.policy.verdict import Facts, Subject
from shared.protocols.base import PackageProxyBase
from shared.protocols.resource import Resource


def subject_of(protocol: PackageProxyBase, resource: Resource, facts: Facts = NO_STANDING) -> Subject:
    """`facts`: of the file, if anything is known. An index has no digest of its own."""
    told = resource.file_id
    return Subject(
        resource.protocol,
        resource.project,
        protocol.grammar.version_asked(resource),
        facts.sha256 or told,
        facts.published,
        facts.stored_at,
        facts.judged,
        told,
    )


def subject_of_file(protocol: PackageProxyBase, file: FileName, facts: Facts) -> Subject:
    """The same of a file by its name."""
    return subject_of(protocol, protocol.grammar.artifact_resource(file), facts)
