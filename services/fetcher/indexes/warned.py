"""What rules of the policy file only warn of: an event for each version and rule, once."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from shared.artifacts.event_kinds import EventKind
from shared.errors import OrchardError
from shared.policy.content import Held
from shared.postgres.database import Database
from shared.process.bounded import Bounded
from shared.telemetry.logs import get_logger

log = get_logger()

WARNED: EventKind = "rule_warned"
AT_ONCE = 20  # versions of one project: the newest
MOST = 200  # events of one project that are kept: the last
REMEMBERED = 10_000  # projects of which this process knows what it wrote

# Unlike other events this one is not counted: a page that is made again tells nothing new.
_NOTE = f"""
WITH known AS (
    SELECT id, detail FROM events WHERE kind = '{WARNED}' AND protocol = $1 AND project = $2
), gone AS (
    DELETE FROM events WHERE id IN (
        SELECT id FROM known ORDER BY id DESC OFFSET {MOST} - cardinality($3::text[])
    )
)
INSERT INTO events (kind, protocol, project, filename, detail, detail_digest)
SELECT '{WARNED}', $1, $2, '', detail::jsonb, sha256(convert_to(detail, 'UTF8'))
FROM unnest($3::text[]) WITH ORDINALITY AS told(detail, at)
WHERE NOT EXISTS (
    SELECT FROM known WHERE known.detail ->> 'version' = told.detail::jsonb ->> 'version'
        AND known.detail ->> 'rule' = told.detail::jsonb ->> 'rule'
)
ORDER BY at
ON CONFLICT DO NOTHING
"""  # noqa: S608


class Warned:
    """Written while pages are made and files judged. What cannot be written is written with the next."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._written = Bounded[tuple[str, str], tuple[str, ...]](REMEMBERED)

    async def note(self, protocol: str, project: str, contents: Mapping[str, Held]) -> None:
        """`contents`: by version, the newest last. One statement where there is a warning that this process
        has not written."""
        versions = [version for version, held in contents.items() if held.warnings][-AT_ONCE:]
        rows = tuple(
            msgspec.json.encode({"version": version, "rule": rule, "why": why}).decode()
            for version in versions
            for rule, why in contents[version].warnings.items()
        )[-MOST:]
        if not rows or self._written.get((protocol, project)) == rows:
            return
        try:
            await self._database.execute(_NOTE, protocol, project, list(rows))
        except OrchardError as error:
            log.info("warnings_not_noted", project=project, error=error.code)
            return
        self._written.put((protocol, project), rows)
