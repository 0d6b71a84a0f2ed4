"""Statements of admissions: how long one takes to be made and signed, and to be kept.

    python -m bench.statements [5000]    # so many admissions

Admissions are in the log already. *Made* is the statement out of the entry, its signature and its envelope,
on one core. *Kept* is all of it, as an extractor does it: entries read, the policy asked, objects put into
files, rows written into a durable PostgreSQL; wall time by the number, and the extractor's own. Bar: 1 ms to
make one.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import uvloop

from bench.harness.table import Figure, print_figures
from bench.tlog import FILL
from services.extractor.transparency.stating import AdmissionStating
from services.extractor.transparency.writer import LogWriter
from services.standalone.postgres import EmbeddedPostgres
from shared.migrations.runner import migrate, read_migrations
from shared.objects.files import FileObjectStore
from shared.policy.policy import Policy
from shared.policy.rules import Block
from shared.postgres.database import Database
from shared.process.threads import BoundedThreads
from shared.statements.dependency import Evaluated, dependency_statement
from shared.statements.platform import Platform
from shared.tlog.entries import LogEntry, Source
from shared.tlog.signing import Signer, new_signer_text, read_signer
from shared.transparency.rows import LogRows

MADE = 2_000
SECONDS = 0.001

ENTRY = LogEntry(
    kind="admission",
    time="2026-11-29T10:11:12.123456Z",
    protocol="npm",
    project="@acme/package",
    version="1.0.0",
    file="package-1.0.0.tgz",
    role="file",
    digests={"sha256": "a" * 64, "sha512": "b" * 128},
    size=123_456,
    source=Source("main", "https://mirror.example/", "https://mirror.example/package-1.0.0.tgz"),
    checked={"index": "sha512"},
)


async def _always() -> bool:
    return True


def _made(signer: Signer) -> Figure:
    platform, evaluated = Platform(signer.key, "https://orchard.example"), [Evaluated("a" * 16, 0.0)]
    taken = []
    for number in range(MADE):
        began = time.perf_counter()
        entry = LogEntry(**{**_fields(), "size": number + 1})
        payload = dependency_statement(entry, platform, evaluated)
        assert payload is not None
        envelope = signer.envelope(payload)
        taken.append(time.perf_counter() - began)
    median, slow = statistics.median(taken), sorted(taken)[int(MADE * 0.99)]
    note = f"the slowest hundredth {slow * 1000:.2f} ms; an envelope has {len(envelope):,} bytes"
    return Figure("made and signed", f"{median * 1000:.2f} ms", "<= 1 ms", median <= SECONDS, note)


def _fields() -> dict[str, Any]:
    return {name: getattr(ENTRY, name) for name in LogEntry.__struct_fields__}


async def _kept(folder: Path, url: str, signer: Signer, admissions: int) -> list[Figure]:
    await migrate(url, read_migrations(), wait_seconds=30, say=lambda _: None)
    database = Database(url, max_size=4)
    await database.open()
    threads = BoundedThreads(4, name="bench")
    store = FileObjectStore(folder / "objects", threads)
    await store.check()
    largest = -1

    async def remembered() -> int:
        return largest

    async def remember(size: int) -> None:
        nonlocal largest
        largest = size

    stores = SimpleNamespace(
        database=database, objects=store, threads=threads, settings=SimpleNamespace(public_url=())
    )
    blocks = [Block(1, "no", "npm", "another")]
    access = SimpleNamespace(state=object(), policy=Policy(blocks))
    try:
        await database.execute(FILL, 0, admissions)
        await LogWriter(LogRows(database), store, signer, remembered=remembered, remember=remember).run(
            _always
        )
        stating = AdmissionStating(cast(Any, stores), signer, cast(Any, access))
        began, used = time.monotonic(), time.process_time()
        count = await stating.run(_always, seconds=float("inf"))
        wall, own = time.monotonic() - began, time.process_time() - used
    finally:
        await database.aclose()
        await threads.aclose()
    assert count == admissions
    return [
        Figure("kept", f"{wall / count * 1000:.2f} ms", note=f"{count:,} in {wall:.1f} s, all included"),
        Figure("of that the extractor's own time", f"{own / count * 1000:.2f} ms"),
    ]


def main() -> int:
    """Exit 1 when a bar is missed."""
    parser = argparse.ArgumentParser(prog="python -m bench.statements", description=__doc__)
    parser.add_argument("admissions", type=int, nargs="?", default=5_000)
    admissions = parser.parse_args().admissions
    signer = read_signer(new_signer_text("bench.example/log"))
    folder = Path(tempfile.mkdtemp(prefix="bench-statements-"))
    try:
        figures = [_made(signer)]
        with EmbeddedPostgres(folder / "postgres") as server:
            figures += uvloop.run(_kept(folder, server.url(), signer, admissions))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print_figures("statements", figures)
    return 0 if all(each.met for each in figures) else 1


if __name__ == "__main__":
    sys.exit(main())
