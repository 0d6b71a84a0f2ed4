"""Whether the stores and the Orchard itself answer."""

from __future__ import annotations

import json
import urllib.error
import urllib.request

from services.standalone.banner import own_url
from services.standalone.doctor.findings import Finding
from shared.errors import OrchardError
from shared.migrations.runner import read_migrations
from shared.postgres.connection import session
from shared.redis.client import RedisClient
from shared.settings import Settings

SECONDS = 5.0
APPLIED = "SELECT max(version) AS newest FROM schema_migrations"


async def store_findings(settings: Settings) -> list[Finding]:
    """Of the stores that the settings name; an Orchard's own are in its health."""
    found = []
    if settings.database_url:
        found.append(await _database(settings.database_url))
    if settings.redis_host or settings.redis_sentinels:
        found.append(await _redis("Redis, cache", RedisClient.for_cache(settings), "ORCHARD_REDIS_HOST"))
    if settings.queue_redis_host or settings.queue_redis_sentinels:
        queue = RedisClient.for_queue(settings)
        found.append(await _redis("Redis, queue", queue, "ORCHARD_QUEUE_REDIS_HOST"))
    return found


async def _database(url: str) -> Finding:
    try:
        async with session(url) as database:
            newest = (await database.fetch(APPLIED))[0]["newest"] or 0
    except OrchardError as error:
        cure = "check ORCHARD_DATABASE_URL, and that `python -m shared.migrations` has run"
        return Finding("PostgreSQL", "failed", error.message, cure)
    ours = len(read_migrations())
    if newest < ours:
        cure = "run `python -m shared.migrations`"
        return Finding("PostgreSQL", "failed", f"its schema is {newest:04d}, this Orchard's {ours:04d}", cure)
    return Finding("PostgreSQL", "ok", f"answers; schema {newest:04d}")


async def _redis(name: str, client: RedisClient, variable: str) -> Finding:
    try:
        await client.open()
        await client.ping()
        return Finding(name, "ok", "answers")
    except OrchardError as error:
        return Finding(name, "failed", error.message, f"check {variable}, its port and its password")
    finally:
        await client.aclose()


def orchard_finding(settings: Settings) -> Finding:
    """What the Orchard on this machine says of itself."""
    url = own_url(settings, settings.port)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"{url}/health", timeout=SECONDS) as answer:
            report = json.load(answer)
    except urllib.error.HTTPError as error:
        return Finding("Orchard", "failed", f"{url} answers {error.code}", "`orchard status` says more")
    except (OSError, ValueError):
        return Finding("Orchard", "warning", f"none answers at {url}", "start it: `orchard up`, `make run`")
    if report.get("problems"):
        return Finding("Orchard", "warning", "; ".join(report["problems"]), "`orchard status` says more")
    return Finding("Orchard", "ok", f"answers at {url}, version {report.get('version', '?')}")
