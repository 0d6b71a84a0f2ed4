"""Which projects a change of advisories is about, some at a time."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator, Collection

from shared.access.feeds import Project
from shared.postgres.database import Database
from shared.protocols import find_protocol

AT_ONCE = 500  # projects of one statement

STORED = """
SELECT protocol, name AS project FROM packages WHERE (protocol, name) > ($1, $2)
ORDER BY protocol, name LIMIT $3
"""
"""All that have files here."""
SERVED = """
SELECT DISTINCT protocol, alike AS project FROM serving_files WHERE (protocol, alike) > ($1, $2)
ORDER BY protocol, alike LIMIT $3
"""
"""All in the ledger, as that spells them."""


async def concerned(
    database: Database, everything: str, changed: Collection[Project] | None
) -> AsyncIterator[tuple[str, list[str]]]:
    """Protocols and names as `everything` spells them: of those that changed, of all where these are too many
    (None). Raises `DatabaseUnavailable`."""
    named: dict[str, list[str]] = defaultdict(list)
    for protocol, project in changed or ():
        found = find_protocol(protocol)
        if found is not None:
            spellings = (project.lower(),) if everything is SERVED else found.names.spellings(project)
            if not spellings:  # they are too many to name
                changed = None
                break
            named[protocol] += spellings
    if changed is not None:
        for protocol, names in named.items():
            for start in range(0, len(names), AT_ONCE):
                yield protocol, names[start : start + AT_ONCE]
        return
    after = ("", "")
    while rows := await database.fetch(everything, *after, AT_ONCE):
        after = rows[-1]["protocol"], rows[-1]["project"]
        of: dict[str, list[str]] = defaultdict(list)
        for row in rows:
            of[row["protocol"]].append(row["project"])
        for protocol, names in of.items():
            if find_protocol(protocol) is not None:
                yield protocol, names
