"""Memory of large indexes, by processes of their own: a bound per item, and one for all."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from services.fetcher.http.manager import FetchedBody
from services.fetcher.indexes.reading import MEMORY_FACTOR, read_answer
from shared.errors.passing import Overloaded
from shared.models import UpstreamSource
from shared.process.byte_budget import ByteBudget
from shared.process.threads import BoundedThreads
from shared.protocols import protocol_named

SOURCE = UpstreamSource(1, "pypi", "main", "https://index.example.com/simple/")
PYPI = protocol_named("pypi")

_PROGRAM = """
import sys
from services.fetcher.indexes.pages import Wanted, render_page
from shared.models import UpstreamSource
from shared.protocols import protocol_named

def peak():  # ru_maxrss counts what the parent had when it forked
    return next(int(line.split()[1]) for line in open("/proc/self/status") if "VmHWM" in line) * 1024

pypi, (file, kind, variant) = protocol_named("pypi"), sys.argv[1:]
pypi.documents, pypi.pages
before = peak()
body = open(file, "rb").read()
source = UpstreamSource(1, "pypi", "main", "https://index.example.com/simple/")
read = pypi.documents.read_index("simple/", source, url=source.url, content_type=kind, body=body)
del body
document = pypi.documents.decode_document(read.body)
page = render_page(pypi, "simple/", document, {}, "", Wanted(frozenset({variant})))
assert len(page.objects) == 1 and not read.dropped
print(peak() - before)
"""
NAMES = [f"project-{number}-x" for number in range(800_000)]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="by /proc")
@pytest.mark.parametrize(
    ("kind", "variant", "most_bytes"),
    [
        ("application/vnd.pypi.simple.v1+json", "json.gzip", 150 << 20),
        ("application/vnd.pypi.simple.v1+json", "html.zstd", 150 << 20),
        ("text/html", "json.gzip", 200 << 20),
    ],
)
def test_list_of_all_projects__of_40_mb__takes_a_few_times_its_text(
    tmp_path: Path, kind: str, variant: str, most_bytes: int
) -> None:
    file = tmp_path / "list"
    if "json" in kind:
        entries = ",".join(f'{{"_last-serial":{len(name)}00000,"name":"{name}"}}' for name in NAMES)
        file.write_text(f'{{"meta":{{"api-version":"1.1"}},"projects":[{entries}]}}')
    else:
        links = "".join(f'<a href="/simple/{name}/">{name}</a>\n' for name in NAMES)
        file.write_text(f"<html><head><title>Simple index</title></head><body>{links}")
    assert file.stat().st_size > 38_000_000
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM, str(file), kind, variant],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert int(done.stdout) < most_bytes


async def test_read_answer__others_hold_the_memory__waits_its_turn_and_is_refused_after_a_while() -> None:
    body = b'{"meta":{"api-version":"1.0"},"name":"demo","files":[]' + b" " * 100_000 + b"}"
    threads = BoundedThreads(1)
    budget = ByteBudget(MEMORY_FACTOR * len(body) + 1, "pages", wait_seconds=0.05)

    async def read(share: Any) -> bytes:
        response = FetchedBody(200, {"content-type": "application/json"}, SOURCE.url + "demo/", body)
        answer = await read_answer(PYPI, "simple/demo", SOURCE, response, threads, 1 << 20, {}, share)
        return answer.body

    with budget.share() as second:
        with budget.share() as first:
            assert await read(first)
            assert budget.used_bytes == MEMORY_FACTOR * len(body)
            with pytest.raises(Overloaded):
                await read(second)
            waiting = asyncio.create_task(read(second))
            await asyncio.sleep(0)
        assert await waiting
    await threads.aclose()
