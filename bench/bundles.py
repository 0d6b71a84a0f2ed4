"""Bundles: how long the import of many files takes, beside a raw copy of the same bytes in the same run.

    python -m bench.bundles [10000]    # so many files

Files of a few hundred bytes to a megabyte, most of them small, as packages are; a durable PostgreSQL, objects
in files. The raw copy writes the same files one by one and has the disk take them at its end. Bar: 60 s.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import sys
import tempfile
import time
from pathlib import Path

import uvloop

from bench.harness.table import Figure, print_figures
from services.standalone.bundles.importing import import_bundle
from services.standalone.postgres import EmbeddedPostgres
from shared.migrations.runner import migrate, read_migrations
from shared.objects.files import FileObjectStore
from shared.process.threads import BoundedThreads
from tests.support.bundles import SIGNER, Made, made

IMPORT_SECONDS = 60.0
LARGEST_BYTES = 1_000_000


def build(count: int) -> Made:
    """A bundle of so many files."""
    chosen = random.Random(49)
    sizes = [min(LARGEST_BYTES, int(chosen.lognormvariate(9, 1.5))) for _ in range(count)]
    files = {f"demo-{at}.0-py3-none-any.whl": chosen.randbytes(size) for at, size in enumerate(sizes)}
    return made(files, {"simple/demo": b"{}"})


async def measure(folder: Path, url: str, count: int) -> list[Figure]:
    """Figures of one import of `count` files into the empty database at `url`."""
    await migrate(url, read_migrations(), wait_seconds=30, say=lambda _: None)
    it = build(count)
    path, size = folder / "it.bundle", sum(each.size for each in it.manifest.objects)
    path.write_bytes(it.data)
    copied = _copy(it, folder / "copy")
    threads = BoundedThreads(16, name="bench")
    store = FileObjectStore(folder / "objects", threads)
    await store.check()
    try:
        done = await import_bundle(path, store, url, [SIGNER.key], spool=folder)
        again = await import_bundle(path, store, url, [SIGNER.key], spool=folder)
    finally:
        await threads.aclose()
    note = f"{done.files:,} files, {size / 1e6:,.0f} MB; the raw copy took {copied:.1f} s in this run"
    met = done.seconds <= IMPORT_SECONDS
    return [
        Figure("import", f"{done.seconds:.1f} s", f"<= {IMPORT_SECONDS:g} s", met, note),
        Figure("import beside the raw copy", f"{done.seconds / copied:.1f} times"),
        Figure("the same again", f"{again.seconds:.1f} s"),
    ]


def _copy(it: Made, folder: Path) -> float:
    folder.mkdir()
    began = time.monotonic()
    for key, content in it.contents.items():
        (folder / key.replace("/", "-")).write_bytes(content)
    os.sync()
    return time.monotonic() - began


def main() -> int:
    """Exit 1 when the bar is missed."""
    parser = argparse.ArgumentParser(prog="python -m bench.bundles", description=__doc__)
    parser.add_argument("files", type=int, nargs="?", default=10_000)
    count = parser.parse_args().files
    folder = Path(tempfile.mkdtemp(prefix="bench-bundles-"))
    try:
        with EmbeddedPostgres(folder / "postgres") as server:
            figures = uvloop.run(measure(folder, server.url(), count))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print_figures("bundles", figures)
    return 0 if all(each.met is not False for each in figures) else 1


if __name__ == "__main__":
    sys.exit(main())
