"""`News`: of each new advisory an event tells how many clients got something that it is about, by the ledger
(docs/ledger.md)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

from services.fetcher.feeds.concerned import SERVED, concerned
from shared.access.feeds import FeedState
from shared.access.watcher import AccessWatcher
from shared.ledger.batch import REFUSED
from shared.policy.advisories import Advisory
from shared.postgres.database import Row
from shared.protocols import protocol_named
from shared.stores import Stores
from shared.telemetry.logs import get_logger

log = get_logger()

_FILES = """
SELECT id, project, version FROM serving_files
WHERE protocol = $1 AND alike = ANY($2::text[]) AND project = ANY($3::text[]) AND version <> ''
"""
_SPELT = "SELECT DISTINCT project FROM serving_files WHERE protocol = $1 AND alike = ANY($2::text[])"
_WHO = f"""
SELECT count(DISTINCT client_id) AS clients, coalesce(sum(times), 0)::bigint AS servings
FROM servings_daily WHERE file_id = ANY($1::integer[]) AND result <> {REFUSED}
"""  # noqa: S608


class News:
    """Every method raises `DatabaseUnavailable`. Doing it again changes nothing."""

    def __init__(self, stores: Stores, access: AccessWatcher) -> None:
        self._database = stores.database
        self._artifacts = stores.artifacts
        self._access = access

    async def tell(self, feed: FeedState, since: float) -> None:
        """Of the newest snapshot of a feed, which this process knows already: of advisories that are no older
        than `since` (unix seconds)."""
        async for protocol, names in concerned(self._database, SERVED, feed.changed):
            await self._tell_servings(protocol, names, since)

    async def _tell_servings(self, name: str, projects: Sequence[str], since: float) -> None:
        """Of advisories that are new by the snapshot of that moment (unix seconds). `projects` as the ledger
        spells them: in lower case several may be one."""
        names = protocol_named(name).names
        spelt = [row["project"] for row in await self._database.fetch(_SPELT, name, list(projects))]
        advised = [each for each in spelt if self._fresh(name, each, since)]
        files: dict[str, list[Row]] = defaultdict(list)
        for row in await self._database.fetch(_FILES, name, list(projects), advised) if advised else ():
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
