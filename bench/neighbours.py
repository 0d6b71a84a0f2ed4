"""How cold a second gateway of one machine is when the first has everything hot.

    python -m bench.neighbours

1,000 pages and a file out of S3, asked for one after the other over one connection. Printed: milliseconds of
a request at the first gateway (hot), at the second for the first time, and for the third time; and what the
second read from the store.
"""

from __future__ import annotations

import http.client
import shutil
import statistics
import time
from pathlib import Path
from urllib.parse import urljoin, urlsplit

from bench.harness import corpus, peers, s3_servers
from bench.harness.orchard import Orchard, orchard
from bench.harness.s3_servers import ACCESS_KEY, BUCKET, SECRET_KEY
from bench.harness.table import print_rows
from bench.hot import _answer
from bench.warm import JSON, _file_url

READ = 'orchard_object_bytes_total{direction="read"}'
FILE = "w1m-1.0-py3-none-any.whl"


def _round(port: int, paths: list[str]) -> list[float]:
    """Milliseconds of each request."""
    connection = http.client.HTTPConnection("127.0.0.1", port)
    taken = []
    for path in paths:
        began = time.perf_counter()
        connection.request("GET", path, headers={"Accept": JSON, "Accept-Encoding": "gzip"})
        answer = connection.getresponse()
        answer.read()
        if answer.status != 200:
            raise RuntimeError(f"{path}: {answer.status}")
        taken.append((time.perf_counter() - began) * 1000)
    return taken


def _measure(ours: Orchard) -> None:
    first, second = ours.ports
    pages = [f"/pypi/simple/k{number:04d}/" for number in range(corpus.DISTINCT_PAGES)]
    page = ours.url("/pypi/simple/w1m/")
    file = urlsplit(urljoin(page, _file_url(page, FILE))).path
    rows = [
        (
            "",
            "first gateway, hot",
            "second, first request",
            "second, third request",
            "read from S3 by the second",
        )
    ]
    for name, paths in (("pages", pages), ("1 MB file from S3", [file])):
        for _ in range(3):
            _round(first, paths)
            time.sleep(0.3)
        hot, before = _round(first, paths), _read(ours)
        cold = _round(second, paths)
        _round(second, paths)
        time.sleep(0.3)
        warm = _round(second, paths)
        rows.append((name, *map(_told, (hot, cold, warm)), f"{(_read(ours) - before) / 1e6:.1f} MB"))
    print_rows(rows)


def _told(taken: list[float]) -> str:
    return f"{statistics.median(taken):.2f} ms, p99 {sorted(taken)[int(len(taken) * 0.99)]:.1f}"


def _read(ours: Orchard) -> float:
    """Bytes that the second gateway has streamed from the store."""
    text = _answer(ours.url("/metrics", 1), {})[1].decode()
    return sum(float(line.split()[1]) for line in text.splitlines() if line.startswith(READ))


def main() -> None:
    base = Path(__file__).resolve().parent / ".work"
    corpus.build(base / "corpus")
    work = base / "run" / "neighbours"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    with (
        s3_servers.stand_in(work / "s3") as endpoint,
        peers.upstream(work / "upstream", base / "corpus") as up,
    ):
        settings = {
            "s3_endpoint": endpoint,
            "s3_bucket": BUCKET,
            "s3_access_key": ACCESS_KEY,
            "s3_secret_key": SECRET_KEY,
            "s3_create_bucket": "true",
        }
        with orchard(
            work / "orchard", upstream=f"{up.base}/simple/", gateways=2, pin=False, **settings
        ) as ours:
            _measure(ours)


if __name__ == "__main__":
    main()
