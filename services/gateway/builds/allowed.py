"""Whether what a build has may be given now: the same policy as for a request of it."""

from __future__ import annotations

import msgspec

from shared.builds.entries import BuildList, File
from shared.errors import NoSource
from shared.policy.policy import Policy
from shared.policy.verdict import Subject
from shared.protocols import find_protocol


def check_file(entry: File, policy: Policy, now: float) -> None:
    """Raises `Blocked` and what it is the base of; `NoSource` where its protocol is not spoken any more."""
    protocol = find_protocol(entry.protocol)
    if protocol is None:
        raise NoSource("its protocol is not spoken any more")
    version = protocol.grammar.version_asked(protocol.grammar.artifact_resource(entry.file))
    stored = entry.stored
    told = entry.file.file_id
    of = Subject(entry.protocol, entry.file.project, version, told, promised=told)
    if stored is not None:
        of = msgspec.structs.replace(
            of,
            sha256=stored.sha256,
            published=stored.published,
            stored_at=stored.created_at,
            judged=stored.judged,
        )
    policy.check_file(of, now)


def check_list(listed: BuildList, policy: Policy, now: float) -> None:
    """Raises as `check_file` for the first page or file of it that may not be given."""
    for page in listed.pages:
        protocol = find_protocol(page.protocol)
        if protocol is not None:
            policy.check(page.protocol, protocol.grammar.project_of(page.identity), page=True)
    for file in listed.files:
        check_file(file, policy, now)
