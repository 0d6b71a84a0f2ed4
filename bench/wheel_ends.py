"""`python -m bench.wheel_ends`: what reading metadata out of wheels by ranges costs (docs/decisions/0033).

For the wheels that `bench.wan` has recorded: requests, bytes and CPU time for each, as the fetcher does it,
with the ranges cut out of the recorded files. No network, no stores.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from pathlib import Path
from typing import Any, cast

from bench.wan.measuring import SETS, WORK
from services.fetcher.files.early_metadata import EarlyMetadata
from services.fetcher.files.entries import Found
from services.fetcher.files.ranges import Piece, RangeReader
from shared.artifacts.repository import ArtifactRepository
from shared.models import FileEntry, UpstreamSource
from shared.process.threads import BoundedThreads
from shared.protocols import protocol_named

SOURCE = UpstreamSource(1, "pypi", "recorded", "http://recorded.example/simple/")


class Recorded:
    """Ranges of a recorded file, counted."""

    def __init__(self, path: Path) -> None:
        self.content = path.read_bytes()
        self.requests = 0
        self.bytes = 0

    async def end(self, found: Found, count: int) -> Piece:
        start = max(0, len(self.content) - count)
        return await self.part(found, start, len(self.content), total=len(self.content))

    async def part(self, found: Found, start: int, end: int, *, total: int, **_: Any) -> Piece:
        self.requests += 1
        self.bytes += end - start
        return Piece(start, self.content[start:end], total)


async def measure(wheels: list[Path]) -> None:
    """One line for each wheel and one for all."""
    threads, protocol = BoundedThreads(2), protocol_named("pypi")
    unused = cast(ArtifactRepository, None)  # nothing here contradicts itself
    print(f"{'requests':>8} {'bytes':>8} {'of':>10} {'CPU ms':>7}  wheel")
    once, total_bytes, total_ms = 0, 0, 0.0
    for number, path in enumerate([wheels[0], *wheels]):
        host = Recorded(path)
        early = EarlyMetadata(cast(RangeReader, host), threads=threads, artifacts=unused)
        size = len(host.content)
        entry = FileEntry(path.name, f"http://recorded.example/{path.name}", "id", size_bytes=size)
        begun = time.process_time()
        if await early.read(protocol, "", Found(entry, SOURCE)) is None:
            raise SystemExit(f"{path.name}: not read")
        ms = (time.process_time() - begun) * 1000
        if not number:
            continue  # it loads the modules
        print(f"{host.requests:>8} {host.bytes:>8} {size:>10} {ms:>7.2f}  {path.name}")
        once, total_bytes, total_ms = once + (host.requests == 1), total_bytes + host.bytes, total_ms + ms
    count = len(wheels)
    print(
        f"{once} of {count} by one request; {total_bytes // count} bytes and {total_ms / count:.2f} ms each"
    )
    await threads.aclose()


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m bench.wheel_ends", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--set", choices=tuple(SETS), default="small", help="of bench/wan/sets.toml (small)")
    folder = WORK / "recorded" / parser.parse_args().set / "pypi" / "files"
    wheels = sorted(folder.rglob("*.whl"))
    if not wheels:
        raise SystemExit("nothing is recorded: run `python -m bench.wan --client uv --runs 1` first")
    asyncio.run(measure(wheels))


if __name__ == "__main__":
    main()
