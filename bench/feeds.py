"""Feeds of advisories: how long a large one takes to load, what it costs a gateway, how soon a change counts.

    python -m bench.feeds [250000]            # so many synthetic advisories: nine of ten are malware of npm

What is timed: the process that reads the zip; a process that takes the snapshot as a gateway does (its memory
before and after, and at the most); a look-up; what a page's hit pays. Then a whole Orchard with two gateways:
from the moment at which one more advisory is in the zip to its package's refusal by both.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
import timeit
import zipfile
from pathlib import Path
from typing import Any

import httpx
import msgspec

from bench.harness.processes import rss_mib
from bench.harness.table import Figure, print_figures
from services.fetcher.feeds.build import Made, Order, build
from shared.access.feeds import unpack
from shared.policy.advisories import Advisories, Snapshot
from shared.policy.policy import Policy
from shared.policy.rules import Rules
from shared.protocols import PROTOCOLS, named_alike, version_key
from tests.support.orchard import cluster
from tests.support.upstream import Upstream

MOST_MIB, MOST_SHARE, MOST_SECONDS = 30.0, 0.03, 60.0
HIT_MICROSECONDS = 20.0  # a hit from memory (docs/performance.md)
ECOSYSTEMS = {"npm": 85, "PyPI": 10, "Maven": 4, "crates-io": 1}  # of a hundred
VECTOR = "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:{0}/I:{0}/A:{0}"


def document(number: int, ecosystem: str) -> dict[str, Any]:
    """One advisory: malware in all versions or in some that are listed, or a vulnerability in ranges."""
    name = f"package-{number}" if ecosystem != "Maven" else f"org.group{number % 500}:artifact-{number}"
    package: dict[str, Any] = {"package": {"ecosystem": ecosystem, "name": name}}
    if number % 10:
        told: dict[str, Any] = {
            "id": f"MAL-2026-{number}",
            "summary": f"Malicious code in {name} ({ecosystem})",
        }
        if number % 3:
            package["ranges"] = [{"type": "SEMVER", "events": [{"introduced": "0"}]}]
        else:
            package["versions"] = ["1.0.0", "1.0.1", "99.0.0"]
        told["database_specific"] = {"malicious-packages-origins": [{"source": "bench", "sha256": "0" * 64}]}
    else:
        letters = f"{number:012x}"
        told = {"id": f"GHSA-{letters[:4]}-{letters[4:8]}-{letters[8:]}", "aliases": [f"CVE-2026-{number}"]}
        told["summary"] = f"{name} reads beyond the end of what a request tells, if its header is long"
        told["severity"] = [{"type": "CVSS_V3", "score": VECTOR.format("HLN"[number % 3])}]
        events = [{"introduced": "0"}, {"fixed": "1.4.2"}, {"introduced": "2.0.0"}, {"fixed": "2.1.0"}]
        package["ranges"] = [{"type": "ECOSYSTEM", "events": events}]
        package["versions"] = [f"1.{minor}.{patch}" for minor in range(5) for patch in range(3)]
    return {"schema_version": "1.7.0", "details": "What it does. " * 40, **told, "affected": [package]}


def make_zip(path: Path, count: int) -> None:
    """The same for the same count."""
    chosen = random.Random(1)
    names, weights = list(ECOSYSTEMS), list(ECOSYSTEMS.values())
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as packed:
        for number in range(count):
            told = document(number, chosen.choices(names, weights)[0])
            packed.writestr(f"{told['id']}.json", json.dumps(told))


def add_to(path: Path, told: dict[str, Any]) -> None:
    """One more document, in the place of the zip."""
    draft = path.with_suffix(".draft")
    draft.write_bytes(path.read_bytes())
    with zipfile.ZipFile(draft, "a", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr(f"{told['id']}.json", json.dumps(told))
    draft.rename(path)


class Cost(msgspec.Struct):
    """What a process paid that took a snapshot."""

    before_mib: float
    after_mib: float
    most_mib: float
    load_seconds: float
    look_up_microseconds: float  # of a project that was not looked up before
    page_microseconds: float  # of `Policy.of`, more than without feeds


def take(target: str, digest: str) -> Cost:
    """In this process, as a gateway does."""
    for protocol in PROTOCOLS:
        _ = protocol.names, protocol.grammar
    gc.collect()
    before = rss_mib(os.getpid())
    began = time.perf_counter()
    snapshot = Snapshot(unpack(Path(target).read_bytes(), digest))
    seconds = time.perf_counter() - began
    known = Advisories([snapshot], digest)
    with_feeds = Policy(rules=Rules(feeds=True), named=named_alike, order=version_key, advisories=known)
    names = [f"package-{number}" for number in range(4000)]
    began = time.perf_counter()
    for name in names:
        with_feeds.of("npm", name)
    look_up = (time.perf_counter() - began) / len(names)
    gc.collect()
    after = rss_mib(os.getpid())
    without = Policy(rules=Rules(ages={}), named=named_alike)
    rounds = 200_000
    paid = min(timeit.repeat(lambda: with_feeds.of("npm", "package-77"), number=rounds, repeat=5))
    usual = min(timeit.repeat(lambda: without.of("npm", "package-77"), number=rounds, repeat=5))
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    page = (paid - usual) / rounds
    return Cost(before, after, most, seconds, look_up * 1e6, page * 1e6)


def in_a_process(work: str, value: Any) -> bytes:
    """Standard output of this module doing a part alone."""
    command = [sys.executable, "-m", "bench.feeds", work]
    return subprocess.run(command, input=msgspec.json.encode(value), capture_output=True, check=True).stdout


def effect_seconds(feed: Path, folder: Path) -> tuple[float, float]:
    """Until the first advisories count, and until one more does, at two gateways."""
    with Upstream() as upstream:
        began = time.monotonic()
        with cluster(
            folder, upstream, gateways=2, with_postgres=True, ORCHARD_OSV_FEEDS=str(feed)
        ) as orchard:
            gateways = orchard.all_of("gateway")

            def until(path: str, status: int) -> float:
                for each in gateways:
                    while httpx.get(each.base + path, timeout=30, trust_env=False).status_code != status:
                        time.sleep(0.05)
                return time.monotonic()

            first = until("/pypi/simple/harmless/", 404) - began
            events = [{"introduced": "0"}]
            package = {"ecosystem": "PyPI", "name": "harmless"}
            affected = [{"package": package, "ranges": [{"type": "ECOSYSTEM", "events": events}]}]
            add_to(feed, {"id": "MAL-2026-NEW", "affected": affected})
            began = time.monotonic()
            return first, until("/pypi/simple/harmless/", 403) - began


def main() -> None:
    """Prints one table."""
    parser = argparse.ArgumentParser(prog="python -m bench.feeds")
    parser.add_argument("count", nargs="?", default="250000")
    count = parser.parse_args().count
    if count == "build":
        made = build(msgspec.json.decode(sys.stdin.buffer.read(), type=Order))
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        sys.stdout.buffer.write(msgspec.json.encode((made, most)))
        return
    if count == "take":
        sys.stdout.buffer.write(msgspec.json.encode(take(*msgspec.json.decode(sys.stdin.buffer.read()))))
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        feed, target = folder / "all.zip", folder / "snapshot"
        make_zip(feed, int(count))
        began = time.perf_counter()
        output = in_a_process("build", Order(str(feed), "", str(target), 1.0))
        read_seconds = time.perf_counter() - began
        made, most = msgspec.json.decode(output, type=tuple[Made, float])
        assert not made.refused, made.refused
        packed = target.stat().st_size
        cost = msgspec.json.decode(in_a_process("take", [str(target), made.digest]), type=Cost)
        first, change = effect_seconds(feed, folder / "orchard")
        size = len(unpack(target.read_bytes(), made.digest))
    mib = cost.after_mib - cost.before_mib
    share = cost.page_microseconds / HIT_MICROSECONDS
    rows: list[tuple[str, str, str, bool | None]] = [
        ("the fetcher's child reads the zip", f"{read_seconds:.1f} s, {most:.0f} MiB at the most", "", None),
        ("snapshot, and packed", f"{size / 2**20:.1f} MiB, {packed / 2**20:.1f} MiB", "", None),
        ("a gateway loads it", f"{cost.load_seconds * 1000:.0f} ms", "", None),
        ("memory of a gateway", f"{mib:.1f} MiB", f"≤ {MOST_MIB:.0f} MiB", mib <= MOST_MIB),
        ("… while it loads", f"{cost.most_mib - cost.before_mib:.1f} MiB", "", None),
        ("a project's first look-up", f"{cost.look_up_microseconds:.1f} µs", "", None),
        ("an index hit pays", f"{cost.page_microseconds:.2f} µs, {share:.1%} of one from memory",
         f"≤ {MOST_SHARE:.0%}", share <= MOST_SHARE),
        ("until the first advisories count, from the start of all", f"{first:.1f} s", "", None),
        ("until one more counts everywhere", f"{change:.1f} s", f"≤ {MOST_SECONDS:.0f} s",
         change <= MOST_SECONDS),
    ]  # fmt: skip
    print_figures(f"{made.count} advisories", [Figure(*row) for row in rows])


if __name__ == "__main__":
    main()
