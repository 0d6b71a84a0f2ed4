"""Whether what a build has may be given now: the same policy as for a request of it."""

from __future__ import annotations

from shared.builds.entries import BuildList, File
from shared.errors import NoSource
from shared.models import NO_STANDING
from shared.policy.policy import Policy
from shared.protocols import find_protocol
from shared.protocols.subjects import subject_of_file


def check_file(entry: File, policy: Policy, now: float) -> None:
    """Raises `Blocked` and what it is the base of; `NoSource` where its protocol is not spoken any more."""
    protocol = find_protocol(entry.protocol)
    if protocol is None:
        raise NoSource("its protocol is not spoken any more")
    policy.check_file(subject_of_file(protocol, entry.file, entry.stored or NO_STANDING), now)


def check_list(listed: BuildList, policy: Policy, now: float) -> None:
    """Raises as `check_file` for the first page or file of it that may not be given."""
    for page in listed.pages:
        protocol = find_protocol(page.protocol)
        if protocol is not None:
            policy.check(page.protocol, protocol.grammar.project_of(page.identity), page=True)
    for file in listed.files:
        check_file(file, policy, now)
