"""What rules of the policy file only warn of: an event for each rule and project in a day, however many
versions of it that is about."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from shared.artifacts.event_kinds import WARNED
from shared.errors import OrchardError
from shared.policy.content import Held
from shared.postgres.database import Database
from shared.process.bounded import Bounded
from shared.telemetry.logs import get_logger

log = get_logger()

AT_ONCE = 20  # versions of one project: the newest
MOST_VERSIONS = 100  # of one event: the last
MOST = 200  # events of one project that are kept: the last
REMEMBERED = 10_000  # projects of which this process knows what it wrote

# $3 rules, $4 why each warns, $5 of which versions (JSON, the newest last). Unlike other events these are not
# counted: a page that is made again tells nothing new. What is said of further versions within a day of the
# event is added to it. An event of the version before is about one version.
_NOTE = f"""
WITH known AS (
    SELECT id, at, detail, detail ->> 'rule' AS rule,
        coalesce(detail -> 'versions', jsonb_build_array(detail -> 'version')) AS versions
    FROM events WHERE kind = '{WARNED}' AND protocol = $1 AND project = $2
), news AS (
    SELECT rule, why, told.at, (
        SELECT jsonb_agg(version ORDER BY place)
        FROM jsonb_array_elements_text(told.versions::jsonb) WITH ORDINALITY AS v (version, place)
        WHERE NOT EXISTS (SELECT FROM known WHERE known.rule = told.rule AND known.versions ? version)
    ) AS versions
    FROM unnest($3::text[], $4::text[], $5::text[]) WITH ORDINALITY AS told (rule, why, versions, at)
), today AS (
    SELECT DISTINCT ON (news.rule) known.id, news.rule, known.detail || jsonb_build_object(
        'why', news.why, 'version', news.versions -> -1,
        'versions', jsonb_path_query_array(
            known.versions || news.versions, '$[last - {MOST_VERSIONS - 1} to last]')) AS detail
    FROM news JOIN known USING (rule)
    WHERE news.versions IS NOT NULL AND known.at > now() - interval '1 day'
    ORDER BY news.rule, known.id DESC
), grown AS (
    UPDATE events e SET detail = today.detail, last_at = now(),
        detail_digest = sha256(convert_to(today.detail::text, 'UTF8'))
    FROM today WHERE e.id = today.id
), gone AS (
    DELETE FROM events WHERE id IN (
        SELECT id FROM known WHERE id NOT IN (SELECT id FROM today)
        ORDER BY id DESC OFFSET {MOST} - cardinality($3::text[])
    )
), made AS (
    SELECT at, jsonb_build_object(
        'rule', rule, 'why', why, 'version', versions -> -1, 'versions', versions) AS detail
    FROM news WHERE versions IS NOT NULL AND rule NOT IN (SELECT rule FROM today)
)
INSERT INTO events (kind, protocol, project, filename, detail, detail_digest)
SELECT '{WARNED}', $1, $2, '', detail, sha256(convert_to(detail::text, 'UTF8')) FROM made ORDER BY at
ON CONFLICT DO NOTHING
"""  # noqa: S608 - of constants


class Warned:
    """Written while pages are made and files judged. What cannot be written is written with the next."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._written = Bounded[tuple[str, str], tuple[tuple[str, str, str], ...]](REMEMBERED)

    async def note(self, protocol: str, project: str, contents: Mapping[str, Held]) -> None:
        """`contents`: by version, the newest last. One statement where there is a warning that this process
        has not written."""
        told: dict[str, tuple[str, list[str]]] = {}
        for version, held in contents.items():
            for rule, why in held.warnings.items():
                told[rule] = why, [*told.get(rule, ("", []))[1][1 - AT_ONCE :], version]
        rows = tuple(
            (rule, why, msgspec.json.encode(versions).decode())
            for rule, (why, versions) in list(told.items())[:MOST]
        )
        if not rows or self._written.get((protocol, project)) == rows:
            return
        try:
            await self._database.execute(_NOTE, protocol, project, *map(list, zip(*rows, strict=True)))
        except OrchardError as error:
            log.info("warnings_not_noted", project=project, error=error.code)
            return
        self._written.put((protocol, project), rows)
