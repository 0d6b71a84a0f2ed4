"""What pages were made without, by rules that a person may overrule: the queue `held_versions`."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from shared.errors import OrchardError
from shared.policy.content import Held
from shared.policy.held import held_back
from shared.policy.project import JudgedEntry
from shared.postgres.database import Database
from shared.protocols import protocol_named
from shared.telemetry.logs import get_logger

log = get_logger()

MOST = 20  # versions of one project: the newest

_NOTE = """
WITH wanted AS (
    SELECT * FROM unnest($3::text[], $4::text[], $5::text[], $6::float8[], $7::float8[], $8::text[],
            $9::text[])
        AS t(version, rule, why, published, until, change, told)
), gone AS (
    DELETE FROM held_versions WHERE protocol = $1 AND project = $2 AND version <> ALL($3::text[])
)
INSERT INTO held_versions AS h (protocol, project, version, rule, why, published, until, change, told)
SELECT $1, $2, version, rule, why, published, until, change::jsonb, told FROM wanted
ON CONFLICT (protocol, project, version) DO UPDATE SET rule = excluded.rule, why = excluded.why,
    published = excluded.published, until = excluded.until, change = excluded.change, told = excluded.told
WHERE (h.rule, h.why, h.published, h.until, h.told) IS DISTINCT FROM
    (excluded.rule, excluded.why, excluded.published, excluded.until, excluded.told)
"""


class HeldQueue:
    """Written while pages are made. What cannot be written is written with the next page."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def note(
        self, protocol: str, project: str, entries: list[JudgedEntry], contents: Mapping[str, Held]
    ) -> None:
        """All that is held back of a project now. One statement, which changes nothing where the rows say so:
        what this process wrote last another one may have replaced."""
        rows = held_back(entries, contents)[:MOST]
        names = protocol_named(protocol).names
        try:
            await self._database.execute(
                _NOTE,
                protocol,
                project,
                [each.version for each in rows],
                [each.verdict.rule for each in rows],
                [each.verdict.why for each in rows],
                [each.published for each in rows],
                [each.verdict.until for each in rows],
                [msgspec.json.encode(each.change).decode() for each in rows],
                [names.told_version(project, each.version, each.name) for each in rows],
            )
        except OrchardError as error:
            log.info("held_versions_not_noted", project=project, error=error.code)
