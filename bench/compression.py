"""What the libraries take to compress an index page, and how small it gets.

    pip install --target FOLDER isal zlib-ng zstandard
    python -m bench.compression FOLDER

Processor time, the best of some turns. Pages are simple JSON pages of made-up files, digests as hard to
compress as true ones.
"""

from __future__ import annotations

import gzip
import json
import sys
import time
from collections.abc import Callable

from bench.harness.corpus import made_up
from bench.harness.table import print_rows

SIZES = {"20 kB": 50, "200 kB": 500, "1.7 MB": 4300, "20 MB": 50_000}
"""Files on the page."""


def coders() -> dict[str, Callable[[bytes], bytes]]:
    """Each as it would be called, by library and level."""
    import zstandard
    from isal import igzip
    from zlib_ng import gzip_ng

    return {
        "zlib 6": lambda body: gzip.compress(body, 6, mtime=0),
        "zlib 5": lambda body: gzip.compress(body, 5, mtime=0),
        "zlib 1": lambda body: gzip.compress(body, 1, mtime=0),
        "zlib-ng 6": lambda body: gzip_ng.compress(body, 6, mtime=0),
        "zlib-ng 2": lambda body: gzip_ng.compress(body, 2, mtime=0),
        "zlib-ng 1": lambda body: gzip_ng.compress(body, 1, mtime=0),
        "isal 0": lambda body: igzip.compress(body, 0, mtime=0),
        "isal 1": lambda body: igzip.compress(body, 1, mtime=0),
        "isal 2": lambda body: igzip.compress(body, 2, mtime=0),
        "isal 3": lambda body: igzip.compress(body, 3, mtime=0),
        "zstd 1": zstandard.ZstdCompressor(1).compress,
        "zstd 3": zstandard.ZstdCompressor(3).compress,
        "zstd 6": zstandard.ZstdCompressor(6).compress,
        "zstd 9": zstandard.ZstdCompressor(9).compress,
    }


def _best_ms(code: Callable[[bytes], object], body: bytes) -> float:
    best = float("inf")
    for _ in range(3 if len(body) > 10_000_000 else 20):
        began = time.thread_time()
        code(body)
        best = min(best, time.thread_time() - began)
    return best * 1000


def main() -> None:
    """Print the table."""
    sys.path[:0] = sys.argv[1:]
    pages = {size: json.dumps({"files": made_up("demo", count)}).encode() for size, count in SIZES.items()}
    rows = [("library, level", *(f"{size}: ms, kB" for size in pages))]
    for name, code in coders().items():
        cells = []
        for body in pages.values():
            cells.append(f"{_best_ms(code, body):.2f}, {len(code(body)) / 1000:.1f}")
        rows.append((name, *cells))
    print_rows(rows)


if __name__ == "__main__":
    main()
