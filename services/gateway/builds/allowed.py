"""Whether what a build has may be given now: the same policy as for a request of it."""

from __future__ import annotations

from shared.builds.entries import BuildList, Entry, File, Page
from shared.errors import NoSource, OrchardError
from shared.models import NO_STANDING
from shared.policy.policy import Policy
from shared.protocols import find_protocol
from shared.protocols.subjects import subject_of_file

NOT_JUDGED = "nobody has judged it under the rules of now yet: it is when it is asked for"


def check_file(entry: File, policy: Policy, now: float) -> None:
    """Raises `Blocked` and what it is the base of; `NoSource` where its protocol is not spoken any more."""
    protocol = find_protocol(entry.protocol)
    if protocol is None:
        raise NoSource("its protocol is not spoken any more")
    policy.check_file(subject_of_file(protocol, entry.file, entry.stored or NO_STANDING), now)


def check_page(entry: Page, policy: Policy) -> None:
    """The same of a page."""
    protocol = find_protocol(entry.protocol)
    if protocol is not None:
        policy.check(entry.protocol, protocol.grammar.project_of(entry.identity), page=True)


def why_refused(entry: Entry, policy: Policy, now: float) -> str:
    """Why it would not be given now, as far as its facts tell; "": it would. `judged` of a file is as its row
    has it now; what nobody has judged under the rules of now is judged when it is asked for."""
    try:
        if isinstance(entry, Page):
            check_page(entry, policy)
        elif isinstance(entry, File):
            protocol = find_protocol(entry.protocol)
            if protocol is None:
                check_file(entry, policy, now)
            elif not policy.admits(subject_of_file(protocol, entry.file, entry.stored or NO_STANDING), now):
                return NOT_JUDGED
    except OrchardError as error:
        return error.message
    return ""


def check_list(listed: BuildList, policy: Policy, now: float) -> None:
    """Raises as `check_file` for the first page or file of it that may not be given."""
    for page in listed.pages:
        check_page(page, policy)
    for file in listed.files:
        check_file(file, policy, now)
