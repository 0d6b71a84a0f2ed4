"""`python -m bench.page_work`: the work of a fetcher for one cold page, step by step, without any store.

Processor time of one thread, in a process that has loaded what a fetcher loads. Rows are pages as indexes
have them: few files, many versions of one wheel each, many wheels of each version.
"""

from __future__ import annotations

import gzip
import json
import statistics
import time
from collections.abc import Callable

from bench.harness import corpus
from bench.harness.table import print_rows
from services.fetcher.compose import roles
from services.fetcher.http.response import decode_body
from services.fetcher.indexes.documents import Loaded
from services.fetcher.indexes.pages import Wanted, render_page
from shared.models import UpstreamSource
from shared.process import interpreter
from shared.protocols import load, protocol_named

RUNS = 15
PLATFORMS = (
    "manylinux_2_17_x86_64.manylinux2014_x86_64", "manylinux_2_17_aarch64.manylinux2014_aarch64",
    "musllinux_1_1_x86_64", "macosx_10_12_x86_64", "macosx_11_0_arm64", "win_amd64", "win32",
)  # fmt: skip
TOOL = "cp312-manylinux_2_36_x86_64"
URL = "https://index.example.com/simple/demo/"
SOURCE = UpstreamSource(id=1, protocol="pypi", name="main", url="https://index.example.com/simple/")


def wheels(versions: int, pythons: range) -> list[dict[str, object]]:
    """Entries of wheels for each version, Python and platform."""
    names = [
        f"demo-2.{version}.0-cp3{python}-cp3{python}-{platform}.whl"
        for version in range(versions)
        for python in pythons
        for platform in PLATFORMS
    ]
    entries = corpus.made_up("demo", len(names))  # each with digests of its own
    return [
        {**entry, "filename": name, "url": f"../../files/{name}"}
        for entry, name in zip(entries, names, strict=True)
    ]


def milliseconds(step: Callable[[], object]) -> float:
    """Of processor time, the median of some runs."""
    step()
    taken = []
    for _ in range(RUNS):
        began = time.thread_time()
        step()
        taken.append(time.thread_time() - began)
    return statistics.median(taken) * 1000


def row(what: str, entries: list[dict[str, object]]) -> list[str]:
    """One page's steps, in milliseconds."""
    pypi = protocol_named("pypi")
    versions = sorted({str(entry["filename"]).split("-")[1] for entry in entries})
    page = {"meta": {"api-version": "1.1"}, "name": "demo", "versions": versions, "files": entries}
    body = json.dumps(page).encode()
    packed = gzip.compress(body, 6)

    def read() -> Loaded:
        found = pypi.documents.read_index(
            "simple/demo", SOURCE, url=URL, content_type="application/json", body=body
        )
        return Loaded.of(found.body, found.document)

    document = read().document
    steps: list[Callable[[], object]] = [
        lambda: decode_body(packed, "gzip", max_bytes=1 << 30),
        read,
        lambda: render_page(pypi, "simple/demo", document, {}, wanted=Wanted(frozenset({"json.gzip"}))),
        lambda: pypi.ahead.after_index("simple/demo", document, TOOL, ""),
    ]
    taken = [milliseconds(step) for step in steps]
    size = f"{len(body) / 1e6:.2f} MB, {len(entries)} files"
    return [what, size, *(f"{each:.2f}" for each in taken), f"{sum(taken):.2f}"]


def main() -> None:
    """Print the table."""
    load(roles)
    interpreter.tune()
    print_rows(
        [
            ("page", "size", "unpack", "read", "render, gzip", "read ahead", "all, ms"),
            row("few files", corpus.made_up("demo", 60)),
            row("many versions", corpus.made_up("demo", 3550)),
            row("many wheels", wheels(100, range(8, 15))),
        ]
    )


if __name__ == "__main__":
    main()
