"""The ledger of servings: what it costs a hit, and how fast its questions are over many rows.

    python -m bench.ledger hits               # hits with and without it, in turn; a part of `make bench`
    python -m bench.ledger rows [10000000]    # so many rows are made, then asked about

Rows: 30 days, 20,000 files and 2,000 clients; how often a file is served follows Zipf's law, so the first has
a tenth of all. Bar: every question within a second, the first time and by the median of five.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
import statistics
import sys
import tempfile
import time
import urllib.parse
import urllib.request
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import uvloop

from bench.harness import corpus, load, peers, processes
from bench.harness.orchard import orchard
from bench.harness.table import Figure, print_figures
from services.extractor.ledger.rows import LedgerRows
from services.gateway.api.admin.serving_rows import LATEST, ServingRows
from services.gateway.api.admin.subjects import Subject
from services.gateway.app import Application
from services.gateway.hits.finished import About, KeptFile
from services.gateway.hits.hot import HotPages
from services.gateway.http.access_log import Record
from services.gateway.http.addresses import TrustedProxies
from services.gateway.http.requests import RequestIds
from services.gateway.ledger.entries import Entry
from services.gateway.ledger.ledger import Ledger
from services.gateway.serving.ports import Reply
from services.standalone.postgres import EmbeddedPostgres
from shared.errors.passing import DatabaseUnavailable
from shared.ledger.batch import FORMAT, Batch, Client, File, Serving
from shared.migrations.runner import migrate, read_migrations
from shared.postgres.connection import session
from shared.postgres.database import Database
from shared.settings import Settings

DAYS, FILES, CLIENTS = 30, 20_000, 2_000
MOST_SECONDS = 1.0
REPEATS = 7
SECONDS = 2.0  # wrk takes whole ones
LEAST = 0.97  # of the rate without the ledger
PAGE = {"Accept": "application/vnd.pypi.simple.v1+json"}

MAKE_FILES = """
INSERT INTO serving_files (key, protocol, project, alike, version, filename, sha256, seen_on)
SELECT sha256(convert_to('f' || n, 'UTF8')), 'npm', 'package-' || n / 4, 'package-' || n / 4, '1.0.' || n % 4,
    'package-' || n / 4 || '-1.0.' || n % 4 || '.tgz', sha256(convert_to('s' || n, 'UTF8')), current_date
FROM generate_series(0, $1 - 1) AS n ORDER BY n
"""
MAKE_CLIENTS = """
INSERT INTO serving_clients (key, address, token, tool, version, seen_on)
SELECT sha256(convert_to('c' || n, 'UTF8')), '10.0.' || n / 250 || '.' || n % 250,
    CASE WHEN n % 3 = 0 THEN 'ci-' || n ELSE '' END, (ARRAY['npm', 'pip', 'uv', 'mvn'])[1 + n % 4],
    n % 7 || '.0', current_date
FROM generate_series(0, $1 - 1) AS n ORDER BY n
"""
# $1 the day, $2 rows of it. In the order of time, as they come.
MAKE_DAY = f"""
INSERT INTO servings (at, size_bytes, file_id, client_id, times, result, cache, code)
SELECT $1::timestamptz + n * interval '86400 seconds' / $2::integer, 100000,
    greatest(1, least({FILES}, floor({FILES}::float8 ^ random())::integer)),
    1 + floor(random() * {CLIENTS})::integer, 1,
    CASE WHEN random() < 0.01 THEN 3 ELSE 0 END, 'HIT', ''
FROM generate_series(0, $2::integer - 1) AS n
"""
SUM_DAY = """
INSERT INTO servings_daily (day, file_id, client_id, result, code, times, first_at, last_at)
SELECT ($1 AT TIME ZONE 'UTC')::date, file_id, client_id, result, code, sum(times), min(at), max(at)
FROM servings WHERE at >= $1 AND at < $1 + interval '1 day' GROUP BY 2, 3, 4, 5
"""
SIZES = """
SELECT sum(pg_relation_size(c.oid))::bigint AS rows, sum(pg_indexes_size(c.oid))::bigint AS indexes
FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
WHERE i.inhparent IN ('servings'::regclass, 'servings_daily'::regclass)
"""


async def ask(address: str, rows: int) -> list[Figure]:
    await migrate(address, read_migrations(), wait_seconds=30, say=lambda _: None)
    database = Database(address, max_size=4)
    await database.open()
    keeper, reader = LedgerRows(database, days=DAYS), ServingRows(database)
    midnight = datetime.combine(datetime.now(UTC).date(), datetime.min.time(), UTC)
    started = time.perf_counter()
    async with session(address) as scripts:
        await scripts.fetch(MAKE_FILES, FILES)
        await scripts.fetch(MAKE_CLIENTS, CLIENTS)
        for day in range(DAYS):
            at = midnight - timedelta(days=day + 1)
            await scripts.fetch("SELECT add_servings_day($1)", at.date())
            await scripts.fetch(MAKE_DAY, at, rows // DAYS)
            await scripts.fetch(SUM_DAY, at)
        made = time.perf_counter() - started
        await scripts.script("VACUUM ANALYZE servings")
        await scripts.script("VACUUM ANALYZE servings_daily")
        sizes = await scripts.fetch(SIZES)
    figures = [
        Figure("rows made", f"{rows:,} in {made:.0f} s"),
        Figure("bytes a row", f"{sizes[0]['rows'] / rows:.0f} + {sizes[0]['indexes'] / rows:.0f} of indexes"),
    ]
    week = (midnight - timedelta(days=6, hours=12)).timestamp()
    top, middle, rare = (_subject(number) for number in (1, 100, FILES - 5))
    digest = Subject(sha256=hashlib.sha256(b"s99").hexdigest())
    everything = Subject("npm", "package-0", "", alike="package-0")

    async def who(of: Subject, since: float) -> list[Any]:
        return await reader.who_got((await reader.files_of(of))[0], since, LATEST, None, 101)

    questions: dict[str, Callable[[], Awaitable[list[Any]]]] = {
        "who has the most served version": lambda: who(top, 0),
        "the same, last 6 days and a half": lambda: who(top, week),
        "all versions of its package": lambda: who(everything, 0),
        "who has a usual version": lambda: who(middle, 0),
        "who has a rare version": lambda: who(rare, 0),
        "who has a digest": lambda: who(digest, 0),
        "who has what nobody got": lambda: who(Subject("npm", "x", "1", alike="x"), 0),
        "export: a page of 5,000": lambda: _page(reader, week),
    }
    for name, question in questions.items():
        taken = []
        for _ in range(6):
            began = time.perf_counter()
            try:
                found = await question()
            except DatabaseUnavailable:  # nothing may take longer than two seconds
                found = []
            taken.append(time.perf_counter() - began)
        first, median = taken[0], statistics.median(taken[1:])
        words = f"{first * 1000:,.0f} ms first, {median * 1000:,.0f} ms"
        met = max(first, median) <= MOST_SECONDS
        figures.append(Figure(name, words, f"≤ {MOST_SECONDS:g} s", met, f"{len(found)} found"))
    figures += await _keeping(keeper)
    await database.aclose()
    return figures


async def _keeping(keeper: LedgerRows) -> list[Figure]:
    """How fast an extractor stores batches of 1,000 beside all those rows."""
    now = time.time()
    clients = [Client(f"10.0.0.{n}", "", "pip", "24") for n in range(20)]
    files = [File("npm", f"package-{n}", "1.0.0", f"package-{n}-1.0.0.tgz", "") for n in range(500)]
    servings = [Serving(now, n % 20, n % 500, 0, "HIT", "", 1, 1000) for n in range(1000)]
    taken = []
    for number in range(1, 41):
        began = time.perf_counter()
        await keeper.keep(Batch(FORMAT, "bench", number, 0, clients, files, servings))
        taken.append(time.perf_counter() - began)
    median = statistics.median(taken)
    return [
        Figure("a batch of 1,000 stored", f"{median * 1000:.0f} ms", note=f"{1000 / median:,.0f} servings/s")
    ]


async def _page(reader: ServingRows, since: float) -> list[Any]:
    return (await reader.servings(since, LATEST, -1, 5000))[0]


def _subject(number: int) -> Subject:
    """The file with this id."""
    name = f"package-{(number - 1) // 4}"
    return Subject("npm", name, f"1.0.{(number - 1) % 4}", alike=name)


def rows(count: int) -> list[Figure]:
    with tempfile.TemporaryDirectory() as folder, EmbeddedPostgres(Path(folder, "postgres")) as server:
        return uvloop.run(ask(server.url(), count))


def hits() -> list[Figure]:
    base = Path(__file__).resolve().parent / ".work"
    root, work = base / "corpus", base / "run" / "ledger"
    corpus.build(root)
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    return run(work, root)


def run(work: Path, root: Path) -> list[Figure]:
    """A file from memory and one by its path, from an Orchard with the ledger and one without, in turn."""
    for size in (20_000, 300_000):
        corpus.add_wheel(root, f"size{size}", size)
    with peers.upstream(work / "upstream", root) as upstream, ExitStack() as stack:
        ours = {
            name: stack.enter_context(
                orchard(work / name, upstream=f"{upstream.base}/simple/", ledger_days=days)
            )
            for name, days in (("with", 90), ("without", 0))
        }
        runs: dict[str, Callable[[], load.Measurement]] = {}
        costs: dict[str, list[float]] = {}
        for name, one in ours.items():
            for size in (20_000, 300_000):
                page = one.url(f"/pypi/simple/size{size}/")
                with urllib.request.urlopen(urllib.request.Request(page, headers=PAGE)) as answer:
                    file = urllib.parse.urljoin(page, str(json.loads(answer.read())["files"][0]["url"]))
                for _ in range(4):
                    urllib.request.urlopen(file).read()
                each = costs[f"{size} B {name}"] = []
                runs[f"{size} B {name}"] = partial(_measure, file, one.pids("gateway"), each)
        found = load.interleaved(runs, repeats=REPEATS)
    figures = []
    for size in (20_000, 300_000):
        rates = {name: found[f"{size} B {name}"].requests_per_second for name in ours}
        ratio = rates["with"] / rates["without"]
        words = f"{rates['with']:,.0f}/s with, {rates['without']:,.0f}/s without"
        figures.append(
            Figure(f"hit of {size:,} B", f"{ratio:.3f} ×", f"≥ {LEAST:g} ×", ratio >= LEAST, words)
        )
        least = {name: min(costs[f"{size} B {name}"]) for name in ours}  # what other load disturbs least
        words = f"{least['with']:.1f} µs with, {least['without']:.1f} µs without, the least of {REPEATS} runs"
        figures.append(Figure("… its CPU", f"{least['with'] / least['without']:.3f} ×", note=words))
    errors = sum(one.errors for one in found.values())
    figures.append(Figure("errors", str(errors), "0", errors == 0))
    return figures


def _measure(url: str, pids: list[int], costs: list[float]) -> load.Measurement:
    """One run; adds microseconds of CPU that a request cost the gateway."""
    before = processes.cpu_seconds(pids)
    headers = {"User-Agent": 'pip/24.0 {"ci":null,"cpu":"x86_64"}'}
    found = load.wrk(url, connections=32, seconds=SECONDS, headers=headers)
    seconds = processes.cpu_seconds(pids) - before
    costs.append(seconds / (found.requests_per_second * SECONDS) * 1e6)
    return found


def in_process() -> list[Figure]:
    """What the ledger adds to a gateway's own work for a hit, in this process, without server and sockets:
    with and without in turns of some milliseconds, so that other load falls on both. Batches are in it."""
    figures = []
    for name, requests in (("like hits", 1), ("hits of 900 clients in turn", 900)):
        taken = uvloop.run(_turns(requests))
        each = {which: statistics.median(of) / requests_of(requests) * 1e6 for which, of in taken.items()}
        added = each["with"] - each["without"]
        bar, met = (
            ("≤ 0.6 µs", added <= 0.6) if requests == 1 else ("", None)
        )  # 3 % of 20 µs, a hit from memory
        figures.append(Figure(f"added to {name}", f"{added:.2f} µs", bar, met))
    return figures


def requests_of(clients: int) -> int:
    """How many requests one turn has."""
    return max(1, 900 // clients) * clients


async def _turns(clients: int) -> dict[str, list[float]]:
    """CPU seconds of each turn."""
    entry = Entry(File("npm", "package", "1.0.0", "package-1.0.0.tgz", "ab" * 32), 0, "HIT")
    apps = {"with": _application(entry), "without": _application(None)}
    scopes = [
        {
            "type": "http",
            "method": "GET",
            "path": "/npm/package/-/package-1.0.0.tgz",
            "raw_path": b"/npm/package/-/package-1.0.0.tgz",
            "query_string": b"",
            "scheme": "http",
            "client": (f"10.0.{number // 250}.{number % 250}", 40_000),
            "headers": [(b"host", b"127.0.0.1:8080"), (b"user-agent", b"npm/10.8.2 node/v20.17.0 linux x64")],
        }
        for number in range(clients)
    ] * (requests_of(clients) // clients)
    sent = 0

    async def send(_: Any) -> None:
        nonlocal sent
        sent += 1

    taken: dict[str, list[float]] = {name: [] for name in apps}
    for turn in range(400):
        for name, app in apps.items() if turn % 2 else reversed(apps.items()):
            began = time.process_time()
            for scope in scopes:
                await app(scope, send, send)
            if app.gateway is not None and app.gateway.ledger is not None:
                app.gateway.ledger._seal()
                app.gateway.ledger._waiting.clear()
                app.gateway.ledger._waiting_bytes = 0
            taken[name].append(time.process_time() - began)
    assert sent == 400 * 2 * 2 * len(scopes), "every request was a hit"
    return taken


def _application(entry: Entry | None) -> Application:
    """With one hot file; all else of a gateway that a hit does not touch is left out."""
    value = b"facts"
    l1: Any = SimpleNamespace(peek=lambda _: value)
    hot = HotPages(l1, max_bytes=2**20, own_name=str)
    about = About("npm", '"/npm/package/-/package-1.0.0.tgz"', Any, entry)  # type: ignore[arg-type]
    headers = [(b"etag", b'"x"'), (b"content-length", b"20000")]
    kept = KeptFile(
        Reply(200, "HIT", list(headers), body=bytes(20_000)),
        Reply(304, "HIT", list(headers)),
        about,
        None,
        "k",
        value,
    )
    raw_path = b"/npm/package/-/package-1.0.0.tgz"
    hot.keep(("GET", raw_path, b"", None, None, False), kept)
    ledger = None if entry is None else Ledger(None, str)  # type: ignore[arg-type]
    app = Application(Settings())
    app.gateway = SimpleNamespace(  # type: ignore[assignment]
        edge_words=None, hosts=SimpleNamespace(limited=False), gate=SimpleNamespace(by_path=None),
        proxies=TrustedProxies(["127.0.0.0/8"]), access=SimpleNamespace(anonymous=True), hot=hot,
        request_ids=RequestIds(), record=Record(None), ledger=ledger,
    )  # fmt: skip
    return app


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.ledger", description=__doc__)
    parser.add_argument("what", choices=("hits", "rows"))
    parser.add_argument("count", nargs="?", type=int, default=10_000_000)
    options = parser.parse_args()
    figures = [*in_process(), *hits()] if options.what == "hits" else rows(options.count)
    print_figures(f"Ledger: {options.what}", figures)
    return 1 if any(figure.met is False for figure in figures) else 0


if __name__ == "__main__":
    sys.exit(main())
