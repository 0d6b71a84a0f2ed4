"""`News`: what a change of advisories means for what is stored here, and for those who already got it.

Files of malware are put under quarantine: a row each, by which they are kept as evidence. Of each new
advisory an event tells how many clients got something that it is about, by the ledger (docs/ledger.md).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Sequence

from shared.access.feeds import FeedState, Project
from shared.access.watcher import AccessWatcher
from shared.ledger.batch import REFUSED
from shared.models import FileName
from shared.policy.advisories import Advisory
from shared.postgres.database import Row
from shared.protocols import find_protocol, protocol_named
from shared.stores import Stores
from shared.telemetry.logs import get_logger

log = get_logger()

AT_ONCE = 500  # projects of one statement

_STORED = """
SELECT protocol, project, file_id, filename, sha256 FROM cached_urls
WHERE protocol = $1 AND project = ANY($2::text[]) AND role = 'file'
"""
_PACKAGES = """
SELECT protocol, name AS project FROM packages WHERE (protocol, name) > ($1, $2)
ORDER BY protocol, name LIMIT $3
"""
_SERVED = """
SELECT id, project, version FROM serving_files
WHERE protocol = $1 AND alike = ANY($2::text[]) AND project = ANY($3::text[]) AND version <> ''
"""
_SPELT = "SELECT DISTINCT project FROM serving_files WHERE protocol = $1 AND alike = ANY($2::text[])"
_LEDGER = """
SELECT DISTINCT protocol, alike AS project FROM serving_files WHERE (protocol, alike) > ($1, $2)
ORDER BY protocol, alike LIMIT $3
"""
_WHO = f"""
SELECT count(DISTINCT client_id) AS clients, coalesce(sum(times), 0)::bigint AS servings
FROM servings_daily WHERE file_id = ANY($1::integer[]) AND result <> {REFUSED}
"""  # noqa: S608
_HOLD = """
INSERT INTO quarantine (protocol, project, file_id, filename, version, sha256, advisory)
SELECT $1, project, file_id, filename, version, sha256, advisory
FROM unnest($2::text[], $3::text[], $4::text[], $5::text[], $6::bytea[], $7::text[])
    AS t (project, file_id, filename, version, sha256, advisory)
ON CONFLICT (protocol, project, file_id, filename) DO UPDATE SET advisory = excluded.advisory
RETURNING project, filename, xmax = 0 AS is_new
"""
_RELEASE = """
DELETE FROM quarantine WHERE protocol = $1 AND project = ANY($2::text[])
    AND NOT (project || E'\\n' || file_id || E'\\n' || filename) = ANY($3::text[])
"""


class News:
    """Every method raises `DatabaseUnavailable`. Doing it again changes nothing."""

    def __init__(self, stores: Stores, access: AccessWatcher) -> None:
        self._database = stores.database
        self._artifacts = stores.artifacts
        self._access = access

    async def tell(self, feed: FeedState) -> None:
        """Of the newest snapshot of a feed, which this process knows already."""
        async for protocol, names in self._projects(_PACKAGES, feed.changed, all_spellings=True):
            await self._quarantine(protocol, names)
        async for protocol, names in self._projects(_LEDGER, feed.changed, all_spellings=False):
            await self._tell_servings(protocol, names, feed.read_at)

    async def _projects(
        self, everything: str, changed: Sequence[Project] | None, *, all_spellings: bool
    ) -> AsyncIterator[tuple[str, list[str]]]:
        """Those that changed, some at a time; all that are known here where they are too many."""
        if changed is not None:
            named: dict[str, list[str]] = defaultdict(list)
            for protocol, project in changed:
                found = find_protocol(protocol)
                if found is not None:
                    spellings = found.names.spellings(project) if all_spellings else (project.lower(),)
                    if not spellings:
                        changed = None
                        break
                    named[protocol] += spellings
        if changed is not None:
            for protocol, names in named.items():
                for start in range(0, len(names), AT_ONCE):
                    yield protocol, names[start : start + AT_ONCE]
            return
        after = ("", "")
        while rows := await self._database.fetch(everything, *after, AT_ONCE):
            after = rows[-1]["protocol"], rows[-1]["project"]
            of: dict[str, list[str]] = defaultdict(list)
            for row in rows:
                of[row["protocol"]].append(row["project"])
            for protocol, names in of.items():
                if find_protocol(protocol) is not None:
                    yield protocol, names

    # --- what is stored ---------------------------------------------------------------------------

    async def _quarantine(self, name: str, projects: Sequence[str]) -> None:
        protocol, policy = protocol_named(name), self._access.policy
        held: list[tuple[str, str, str, str, bytes, str]] = []
        advised = [each for each in projects if policy.of(name, each).advised is not None]
        for row in await self._database.fetch(_STORED, name, advised) if advised else ():
            file = FileName(name, row["project"], row["file_id"], row["filename"])
            version = protocol.grammar.version_asked(protocol.grammar.artifact_resource(file))
            found = policy.of(name, file.project).by_name(version, bytes(row["sha256"]).hex())
            if found is not None and found.rule == "malware":
                held.append(
                    (
                        file.project,
                        file.file_id,
                        file.filename,
                        version,
                        bytes(row["sha256"]),
                        found.why[:128],
                    )
                )
        kept = ["\n".join(each[:3]) for each in held]
        await self._database.execute(_RELEASE, name, list(projects), kept)
        if not held:
            return
        columns = [list(column) for column in zip(*held, strict=True)]
        for row in await self._database.fetch(_HOLD, name, *columns):
            if row["is_new"]:
                log.warning(
                    "file_quarantined", protocol=name, project=row["project"], filename=row["filename"]
                )
                why = next(each[5] for each in held if each[2] == row["filename"])
                await self._artifacts.record_event(
                    "malware_stored", name, row["project"], row["filename"], {"advisory": why}
                )

    # --- who got it -------------------------------------------------------------------------------

    async def _tell_servings(self, name: str, projects: Sequence[str], since: float) -> None:
        """Of advisories that are new by the snapshot of that moment (unix seconds). `projects` as the ledger
        spells them: in lower case several may be one."""
        names = protocol_named(name).names
        spelt = [row["project"] for row in await self._database.fetch(_SPELT, name, list(projects))]
        advised = [each for each in spelt if self._fresh(name, each, since)]
        files: dict[str, list[Row]] = defaultdict(list)
        for row in await self._database.fetch(_SERVED, name, list(projects), advised) if advised else ():
            files[names.named_alike(row["project"])].append(row)
        for project, rows in files.items():
            for advisory in self._fresh(name, project, since):
                ids = [row["id"] for row in rows if advisory.affects(row["version"], names.version_key)]
                if ids:
                    await self._tell(
                        name, project, advisory, ids, {row["version"] for row in rows if row["id"] in ids}
                    )

    def _fresh(self, name: str, project: str, since: float) -> list[Advisory]:
        advised = self._access.policy.of(name, project).advised
        told = () if advised is None else (*advised.malware, *advised.vulnerabilities)
        return [each for each in told if each.seen_at >= since]

    async def _tell(
        self, protocol: str, project: str, advisory: Advisory, files: Sequence[int], versions: Iterable[str]
    ) -> None:
        row = await self._database.fetchrow(_WHO, list(files))
        if row is None or not row["clients"]:
            return
        detail = {
            "advisory": advisory.id,
            "clients": row["clients"],
            "servings": row["servings"],
            "versions": sorted(versions)[:20],
        }
        log.warning("advisory_about_served", protocol=protocol, project=project, **detail)
        await self._artifacts.record_event("advisory_about_served", protocol, project, "", detail)
