"""The transparency log: how fast it is written, how old its checkpoint gets, how long a proof takes.

    python -m bench.tlog [1000000]    # so many entries

Entries wait in the outbox as triggers put them there; one writer, over a durable PostgreSQL and files, logs
them. A proof is asked of a reader that remembers nothing, and of one that has answered before. Bars: 2,000
entries a second, a checkpoint each second, 5 ms for a proof by the median.
"""

from __future__ import annotations

import argparse
import hashlib
import random
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path

import uvloop

from bench.harness.table import Figure, print_figures
from services.extractor.transparency.writer import LogWriter
from services.standalone.postgres import EmbeddedPostgres
from shared.migrations.runner import migrate, read_migrations
from shared.objects.files import FileObjectStore
from shared.postgres.database import Database
from shared.process.threads import BoundedThreads
from shared.tlog.notes import Key
from shared.tlog.proofs import check_file
from shared.tlog.signing import new_signer_text, read_signer
from shared.transparency.reader import LogReader
from shared.transparency.rows import LogRows

WAITING = 20_000  # in the outbox at a time
PROOFS = 200
ENTRIES_A_SECOND = 2_000
CHECKPOINT_SECONDS = 1.0
PROOF_SECONDS = 0.005

FILL = """
INSERT INTO log_outbox (at, kind, body)
SELECT now(), 'admission', jsonb_build_object('protocol', 'npm', 'project', 'package-' || n, 'file_id', 'x',
    'file', 'package-' || n || '-1.0.0.tgz', 'role', 'file', 'size', n,
    'digests', jsonb_build_object('sha256', encode(sha256(n::text::bytea), 'hex'), 'sha512',
        repeat('0', 128)),
    'source', jsonb_build_object('name', 'main', 'address', 'https://mirror.example/', 'url',
        'https://mirror.example/package-' || n || '/-/package-' || n || '-1.0.0.tgz'),
    'checked', jsonb_build_object('index', 'sha512'))
FROM generate_series($1::int, $2::int - 1) AS n
"""


class _Timed(LogRows):
    """Notes when checkpoints were published."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self.published = [time.monotonic()]

    async def publish(self, checkpoint: bytes, size: int, key: str) -> bool:
        done = await super().publish(checkpoint, size, key)
        self.published.append(time.monotonic())
        return done


async def _measure(folder: Path, url: str, entries: int) -> list[Figure]:
    await migrate(url, read_migrations(), wait_seconds=30, say=lambda _: None)
    database = Database(url, max_size=4)
    await database.open()
    threads = BoundedThreads(4, name="bench")
    store = FileObjectStore(folder / "objects", threads)
    await store.check()
    signer = read_signer(new_signer_text("bench.example/log"))
    rows = _Timed(database)
    largest = -1

    async def remembered() -> int:
        return largest

    async def remember(size: int) -> None:
        nonlocal largest
        largest = size

    async def always() -> bool:
        return True

    writer = LogWriter(rows, store, signer, remembered=remembered, remember=remember)
    try:
        wall = cpu = oldest = 0.0
        for first in range(0, entries, WAITING):
            await database.execute(FILL, first, min(first + WAITING, entries))
            rows.published = [time.monotonic()]
            began, used = time.monotonic(), time.process_time()
            await writer.run(always)
            wall, cpu = wall + time.monotonic() - began, cpu + time.process_time() - used
            gaps = [
                later - earlier for earlier, later in zip(rows.published, rows.published[1:], strict=False)
            ]
            oldest = max(oldest, *gaps)
        rate, of_core = entries / wall, entries / cpu
        cold, warm, own = await _proofs(LogRows(database), store, signer.key, entries)
    finally:
        await database.aclose()
        await threads.aclose()
    return [
        Figure(
            "entries a second",
            f"{rate:,.0f}",
            f">= {ENTRIES_A_SECOND:,}",
            rate >= ENTRIES_A_SECOND,
            f"{entries:,} in {wall:.1f} s; {of_core:,.0f} a second of the writer's own time on a core",
        ),
        Figure(
            "oldest checkpoint while it writes",
            f"{oldest:.2f} s",
            f"<= {CHECKPOINT_SECONDS:g} s",
            oldest <= CHECKPOINT_SECONDS,
        ),
        _figure("proof, nothing remembered", cold, entries),
        _figure("proof, tiles remembered", warm, entries),
        Figure("of a proof the reader's own time", f"{own * 1000:.2f} ms"),
    ]


async def _proofs(
    rows: LogRows, store: FileObjectStore, key: Key, entries: int
) -> tuple[list[float], list[float], float]:
    chosen = random.Random(51)
    numbers = [chosen.randrange(entries) for _ in range(PROOFS)]
    kept = LogReader(rows, store)
    times: tuple[list[float], list[float]] = ([], [])
    own: list[float] = []  # time on a core
    for number in numbers:
        sha256 = hashlib.sha256(str(number).encode()).hexdigest()
        for reader, into in ((LogReader(rows, store), times[0]), (kept, times[1])):
            began, used = time.perf_counter(), time.process_time()
            proof = await reader.proof(sha256)
            into.append(time.perf_counter() - began)
            own.append(time.process_time() - used)
        assert proof is not None
        entry, _ = check_file(sha256, proof, key)
        assert entry["size"] == number
    return *times, statistics.median(own)


def _figure(name: str, seconds: list[float], entries: int) -> Figure:
    median, slow = statistics.median(seconds), sorted(seconds)[int(len(seconds) * 0.99)]
    note = f"the slowest hundredth {slow * 1000:.1f} ms; {entries:,} entries"
    return Figure(
        name, f"{median * 1000:.2f} ms", f"<= {PROOF_SECONDS * 1000:g} ms", median <= PROOF_SECONDS, note
    )


def main() -> int:
    """Exit 1 when a bar is missed."""
    parser = argparse.ArgumentParser(prog="python -m bench.tlog", description=__doc__)
    parser.add_argument("entries", type=int, nargs="?", default=1_000_000)
    entries = parser.parse_args().entries
    folder = Path(tempfile.mkdtemp(prefix="bench-tlog-"))
    try:
        with EmbeddedPostgres(folder / "postgres") as server:
            figures = uvloop.run(_measure(folder, server.url(), entries))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print_figures("transparency log", figures)
    return 0 if all(each.met for each in figures) else 1


if __name__ == "__main__":
    sys.exit(main())
