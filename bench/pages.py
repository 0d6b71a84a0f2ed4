"""`python -m bench.pages`: how long each page for people takes where 10⁶ packages are known.

Makes a database of its own below bench/.work/pages (kept for the next run), starts one gateway over it, and
prints the median and the longest of some answers, whole, over the wire.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from bench.harness.table import print_rows
from services.standalone.postgres import EmbeddedPostgres
from services.standalone.redis_server import EmbeddedRedis
from shared.migrations.runner import migrate, read_migrations
from shared.postgres.connection import session

ROOT = Path(__file__).parents[1]
DATA = ROOT / "bench" / ".work" / "pages"
TOKEN = "operators-token-of-the-bench"
MOST_SECONDS = 0.2
RUNS = 15

# Half a million files for each million of packages: some have none left, few have many.
_ROWS = (
    "INSERT INTO projects (name, system) VALUES ('_bench', true) ON CONFLICT DO NOTHING",
    """INSERT INTO packages (protocol, name, owner)
    SELECT (ARRAY['pypi', 'npm', 'maven', 'cargo'])[n % 4 + 1], 'package-' || lpad(n::text, 7, '0'), '_bench'
    FROM generate_series(1, $1::int) n""",
    """INSERT INTO artifacts (sha256, size_bytes, content_type, object_key, extraction_state, name, version)
    SELECT sha256(n::text::bytea), n % 100000, 'application/octet-stream',
        'artifacts/' || encode(sha256(n::text::bytea), 'hex'), 'extracted', 'package', '1.0'
    FROM generate_series(1, $1::int / 2) n""",
    """INSERT INTO cached_urls (protocol, project, file_id, filename, sha256, generation, source_id)
    SELECT (ARRAY['pypi', 'npm', 'maven', 'cargo'])[n % 4 + 1], 'package-' || lpad(n::text, 7, '0'),
        encode(sha256(n::text::bytea), 'hex'), 'package-1.0.tar.gz', sha256(n::text::bytea), 1, 1
    FROM generate_series(1, $1::int / 2) n""",
    """INSERT INTO artifact_dependencies (sha256, position, requirement, name)
    SELECT sha256(n::text::bytea), 0, 'package-0000004>=1', 'package-0000004'
    FROM generate_series(1, $1::int / 2, 4) n""",
    """INSERT INTO audit (who, action, target) SELECT 'me', 'block.create', n::text
    FROM generate_series(1, $1::int / 10) n""",
    """INSERT INTO events (kind, protocol, project, filename, detail_digest)
    SELECT 'upstream_mutated', 'pypi', 'package-' || n, '', sha256(n::text::bytea)
    FROM generate_series(1, $1::int / 100) n""",
    "ANALYZE",
)
PAGES = {
    "home": "",
    "search": "search?q=package-05",
    "search, nothing": "search?q=zzz",
    "search, a version": "search?q=Package_0500000@1.0",
    "packages": "packages?protocol=npm",
    "packages, by prefix": "packages?protocol=npm&prefix=package-09",
    "package": "packages/pypi/package-0000004",
    "file": "files/4b227777d4dd1fc61c6f884f48641d02b4d121d3fd328cb08b5531fcacdabf8a",
    "setup": "setup",
    "upstreams": "upstreams",
    "events": "events",
    "policy": "policy",
    "policy, a package": "policy?of=pkg:pypi/package-0000004",
    "policy, tried": "policy?tried=yes",
    "held back": "held",
    "webhooks": "webhooks",
    "tokens": "tokens",
    "builds": "builds",
    "queues": "queues",
    "disk": "disk",
    "locks": "locks",
    "jobs": "jobs",
    "audit": "audit",
    "who has": "who-has?of=pkg:pypi/package-0000004",
}


def main() -> int:
    """Exit code 1 if a page takes longer than it may."""
    parser = argparse.ArgumentParser(prog="python -m bench.pages", description=__doc__)
    parser.add_argument("--packages", type=float, default=1e6, help="how many are known (default 1e6)")
    options = parser.parse_args()
    with _gateway(int(options.packages)) as base:
        rows, slow = _measure(base)
    print_rows([("page", "status", "median ms", "longest ms", "kB"), *rows])
    return 1 if slow else 0


def _measure(base: str) -> tuple[list[tuple[str, ...]], list[str]]:
    rows, slow = [], []
    headers = {"authorization": f"Bearer {TOKEN}"}
    with httpx.Client(base_url=base, headers=headers, trust_env=False, timeout=60) as client:
        for name, address in PAGES.items():
            answer = client.get(f"/ui/{address}")
            seconds = []
            for _ in range(RUNS):
                began = time.perf_counter()
                answer = client.get(f"/ui/{address}")
                seconds.append(time.perf_counter() - began)
            median, longest = statistics.median(seconds), max(seconds)
            size = len(answer.content) / 1000
            rows.append(
                (name, str(answer.status_code), f"{median * 1e3:.1f}", f"{longest * 1e3:.1f}", f"{size:.0f}")
            )
            if median > MOST_SECONDS or answer.status_code not in (200, 303):
                slow.append(name)
    return rows, slow


@contextmanager
def _gateway(packages: int) -> Iterator[str]:
    folder = DATA / str(packages)
    folder.mkdir(parents=True, exist_ok=True)
    with (
        EmbeddedPostgres(folder / "postgres", max_connections=50) as postgres,
        EmbeddedRedis(folder / "cache", "cache") as cache,
        EmbeddedRedis(folder / "queue", "queue") as queue,
    ):
        asyncio.run(_fill(postgres.url(), packages))
        with httpx.Client(trust_env=False) as client:
            environment = {name: value for name, value in os.environ.items() if name[:8] != "ORCHARD_"}
            base = f"http://127.0.0.1:{PORT}"
            process = subprocess.Popen(
                [sys.executable, "-m", "services.gateway"],
                cwd=ROOT,
                env={
                    **environment,
                    "ORCHARD_DATABASE_URL": postgres.url(),
                    "ORCHARD_REDIS_HOST": "127.0.0.1",
                    "ORCHARD_REDIS_PORT": str(cache.port),
                    "ORCHARD_REDIS_PASSWORD": cache.password,
                    "ORCHARD_QUEUE_REDIS_HOST": "127.0.0.1",
                    "ORCHARD_QUEUE_REDIS_PORT": str(queue.port),
                    "ORCHARD_QUEUE_REDIS_PASSWORD": queue.password,
                    "ORCHARD_DATA_DIR": str(folder / "data"),
                    "ORCHARD_ADMIN_TOKEN": TOKEN,
                    "ORCHARD_PORT": str(PORT),
                    "ORCHARD_ACCESS_LOG": "false",
                },
            )
            try:
                _wait(client, base)
                yield base
            finally:
                process.send_signal(signal.SIGTERM)
                process.wait(20)


PORT = 18_087


def _wait(client: httpx.Client, base: str) -> None:
    deadline = time.monotonic() + 60
    while True:
        try:
            if client.get(f"{base}/health/ready").status_code == 200:
                return
        except httpx.TransportError:
            pass
        if time.monotonic() > deadline:
            raise SystemExit("the gateway did not start")
        time.sleep(0.1)


async def _fill(url: str, packages: int) -> None:
    await migrate(url, read_migrations(), wait_seconds=30.0, say=lambda line: print(f"  {line}"))
    async with session(url) as database:
        known = await database.fetch("SELECT count(*)::int AS packages FROM packages")
        if known[0]["packages"] >= packages:
            return
        began = time.monotonic()
        for statement in _ROWS:
            await database.fetch(statement, *([packages] if "$1" in statement else []))
        print(f"  {packages:,} packages made in {time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    sys.exit(main())
