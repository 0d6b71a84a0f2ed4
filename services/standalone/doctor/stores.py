"""Whether the stores and the Orchard itself answer."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping
from pathlib import Path

import msgspec

from services.standalone.banner import own_url
from services.standalone.doctor.addresses import address_finding, operators_token
from services.standalone.doctor.asking import Unreached, get
from services.standalone.doctor.findings import Finding, State
from services.standalone.room import bound_of
from shared.access.feeds import OLD_SECONDS
from shared.errors import OrchardError
from shared.migrations.runner import read_migrations
from shared.postgres.connection import session
from shared.process.disk import DiskFloor, in_words
from shared.redis.client import RedisClient
from shared.settings import Settings

CONFIRMED, FAULTY = "orchard_osv_feed_confirmed_at_seconds", "orchard_osv_feed_faulty"
STORED = "orchard_stored_bytes"
_SAMPLE = re.compile(r'([a-z_]+)(?:\{[a-z_]+="([^"\\]*)"\})? ([0-9.e+-]+)')
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


def orchard_findings(settings: Settings) -> list[Finding]:
    """What the Orchard on this machine says of itself, and of what it stores and is told."""
    url = own_url(settings, settings.port)
    try:
        answer = get(settings, f"{url}/health", proxied=False)
        report = json.loads(answer.body) if answer.status == 200 else {}
    except (Unreached, ValueError):
        cure = "start it: `orchard up`, `make run`; if it runs at another port, ORCHARD_PORT says so"
        return [Finding("Orchard", "warning", f"none answers at {url}", cure)]
    if answer.status != 200:
        return [Finding("Orchard", "failed", f"{url} answers {answer.status}", "`orchard status` says more")]
    more = "`orchard status` says more"
    if report.get("problems"):
        found = Finding("Orchard", "warning", "; ".join(report["problems"]), more)
    else:
        found = Finding("Orchard", "ok", f"answers at {url}, version {report.get('version', '?')}")
    try:
        figures = read_figures(get(settings, f"{url}/metrics", proxied=False).body.decode())
        failing = failing_findings(settings, url)
    except (Unreached, ValueError, msgspec.MsgspecError):
        return [found]
    return [found, *failing, *feed_findings(figures, time.time()), *bound_findings(settings, figures)]


class _Upstream(msgspec.Struct, frozen=True):
    protocol: str
    name: str
    url: str
    enabled: bool
    failing: str


class _Upstreams(msgspec.Struct, frozen=True):
    items: list[_Upstream]


def failing_findings(settings: Settings, url: str) -> list[Finding]:
    """Upstreams that the Orchard at this address leaves alone. It may have been started with others than the
    environment of this command names. Only asked where it proves to be that of the data folder, for its
    operator's token goes with the question. Raises `Unreached`, `MsgspecError`."""
    if address_finding(settings, "Orchard", url).detail != f"{url} leads here":
        return []
    authorization = f"Bearer {operators_token(settings)}"
    answer = get(settings, f"{url}/api/v1/admin/upstreams", authorization, proxied=False)
    if answer.status != 200:
        return []
    cure = "`orchard upstreams test NAME` says how it answers now, and what to do"
    return [
        Finding(
            f"upstream {each.protocol}/{each.name}", "failed",
            f"{each.url} is left alone by the Orchard that runs: {each.failing}", cure,
        )
        for each in msgspec.json.decode(answer.body, type=_Upstreams).items
        if each.enabled and each.failing
    ]  # fmt: skip


Figures = Mapping[tuple[str, str], float]
"""By metric and its one label."""


def read_figures(text: str) -> Figures:
    """Of Prometheus's text format, samples with one label or none."""
    found = (_SAMPLE.fullmatch(line) for line in text.splitlines())
    return {(each[1], each[2] or ""): float(each[3]) for each in found if each}


def feed_findings(figures: Figures, now: float) -> list[Finding]:
    """Whether each feed of advisories is as young as it should be."""
    found = []
    for (metric, feed), at in sorted(figures.items()):
        if metric != CONFIRMED:
            continue
        name, faulty = f"feed {feed}", figures.get((FAULTY, feed), 0) > 0
        said = f"last told {(now - at) / 3600:.1f} h ago" if at else "never read"
        said += ", and is away or refused now" if faulty else ""
        if not at or now - at > OLD_SECONDS or faulty:
            state: State = "warning" if at else "failed"
            cure = "`orchard feeds` says what is wrong with it; an address needs to be reached by fetchers"
            found.append(Finding(name, state, said, cure))
        else:
            found.append(Finding(name, "ok", said))
    return found


def bound_findings(settings: Settings, figures: Figures) -> list[Finding]:
    """Whether what is stored can come to its bound before the disk is full. Nothing of a bucket, nor before
    anything was counted."""
    stored = int(sum(value for (metric, _), value in figures.items() if metric == STORED))
    folder = Path(settings.data_dir)
    if settings.s3_endpoint or not stored or not folder.is_dir():
        return []
    disk, bound = DiskFloor(folder, settings.min_free_bytes).look(), bound_of(settings, folder)
    room = max(0, disk.free_bytes - disk.floor_bytes)
    if not bound:
        cure = "set ORCHARD_EVICT_BYTES: the longest unused files go then, and nothing else waits for room"
        return [Finding("bound", "warning", f"{in_words(stored)} stored, and no bound", cure)]
    left = max(0, bound - stored)
    said = f"{in_words(stored)} of {in_words(bound)} stored"
    if left <= room:
        return [Finding("bound", "ok", said)]
    if settings.evict_bytes is None:  # half of the disk, which others fill: nobody has chosen it
        said += f"; the disk's floor comes first, with {in_words(room)} free above it"
        return [Finding("bound", "ok", said)]
    cure = "a lower ORCHARD_EVICT_BYTES, or a larger disk: at the floor files are evicted in haste"
    return [Finding("bound", "warning", f"{said}, and {in_words(room)} are free above the floor", cure)]
