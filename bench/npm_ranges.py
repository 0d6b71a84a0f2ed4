"""npm ranges: ours beside the package node-semver (PyPI), on ranges and versions of real packuments.

    pip install --target FOLDER node-semver
    python -m bench.npm_ranges http://127.0.0.1:8080/npm/ FOLDER

The address is a registry's, best a running Orchard's. Each range of a package on one of the others is tried
on all versions of that one; then generated ranges, in npm's spellings, on generated versions. Where the two
differ, npm's own semver says who is right, if node and npm are here.
"""

from __future__ import annotations

import json
import random
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterable
from functools import lru_cache
from pathlib import Path
from typing import Any

from bench.resolution_oracle_npm import ROOTS
from shared.protocols.npm.semver import parse_version
from shared.protocols.npm.semver_ranges import parse_range

FIELDS = ("dependencies", "devDependencies", "peerDependencies", "optionalDependencies")
VERSIONS_READ = 150  # the newest of each package, whose ranges are taken

Pair = tuple[str, str]
"""Version, range."""

_JUDGE = """
const semver = require(process.argv[1]);
const pairs = JSON.parse(require("fs").readFileSync(0));
console.log(JSON.stringify(pairs.map(([v, r]) => semver.satisfies(v, r, {loose: true}))));
"""


def _packuments(registry: str) -> dict[str, dict[str, Any]]:
    found = {}
    for name in dict.fromkeys(root.rpartition("@")[0] or root for root in ROOTS):
        address = registry.rstrip("/") + "/" + name.replace("/", "%2f")
        with urllib.request.urlopen(address, timeout=60) as answer:
            found[name] = json.load(answer)["versions"]
    return found


def _pairs(packuments: dict[str, dict[str, Any]]) -> list[Pair]:
    ranges: dict[str, set[str]] = {name: set() for name in packuments}
    for versions in packuments.values():
        for manifest in list(versions.values())[-VERSIONS_READ:]:
            for field in FIELDS:
                for name, wanted in (manifest.get(field) or {}).items():
                    if name in ranges and isinstance(wanted, str):
                        ranges[name].add(wanted)
    return [(each, wanted) for name in ranges for wanted in sorted(ranges[name]) for each in packuments[name]]


def _ours_uncached(version: str, wanted: str) -> bool:
    found, parsed = parse_range.__wrapped__(wanted), parse_version.__wrapped__(version)
    return found is not None and parsed is not None and found.admits(parsed)


def _theirs(nodesemver: Any) -> Callable[[str, str], bool]:
    def satisfied(version: str, wanted: str) -> bool:
        try:
            return bool(nodesemver.satisfies(version, wanted, loose=True))
        except ValueError:
            return False

    return satisfied


def _theirs_remembered(nodesemver: Any) -> Callable[[str, str], bool]:
    """With what each text means remembered, as `satisfies` of ours does."""
    read_range = lru_cache(16_384)(lambda wanted: nodesemver.make_range(wanted, True))
    read_version = lru_cache(65_536)(lambda version: nodesemver.make_semver(version, True))
    return lambda version, wanted: bool(read_range(wanted).test(read_version(version)))


def _ours_remembered(version: str, wanted: str) -> bool:
    found, parsed = parse_range(wanted), parse_version(version)
    return found is not None and parsed is not None and found.admits(parsed)


def _generated(chance: random.Random) -> Pair:
    def number() -> str:
        return str(chance.choice((0, 0, 1, 1, 2, 3, 10)))

    def version() -> str:
        tail = chance.choice(("", "", "", "-alpha", "-rc.1", "-0", "-beta.2.x", "+build", "-rc.1+build"))
        return f"{number()}.{number()}.{number()}{tail}"

    def part() -> str:
        operator = chance.choice(("", "", "^", "~", "~> ", ">", ">=", "<", "<= ", "=", "v", "^ "))
        short = ".".join(number() for _ in range(chance.randrange(1, 3))) + chance.choice(
            ("", "", ".x", ".*")
        )
        return operator + chance.choice((version(), version(), short))

    wanted = " || ".join(
        chance.choice((part(), f"{part()} {part()}", f"{version()} - {version()}", "*", ""))
        for _ in range(chance.choice((1, 1, 1, 2)))
    )
    return version(), wanted


def _judge(pairs: list[Pair]) -> list[bool] | None:
    npm, node = shutil.which("npm"), shutil.which("node")
    if npm is None or node is None:
        return None
    semver = Path(npm).resolve().parents[1] / "node_modules" / "semver"
    told = subprocess.run(
        [node, "-e", _JUDGE, str(semver)], input=json.dumps(pairs), capture_output=True, text=True, check=True
    )
    return list(json.loads(told.stdout))


def _timed(name: str, function: Callable[[str, str], bool], pairs: Iterable[Pair]) -> list[bool]:
    best, results = float("inf"), []
    for _ in range(3):
        began = time.process_time()
        results = [function(version, wanted) for version, wanted in pairs]
        best = min(best, time.process_time() - began)
    print(f"{name:<32} {best / len(results) * 1e6:8.2f} µs a pair")
    return results


def _compare(what: str, pairs: list[Pair], ours: list[bool], theirs: list[bool]) -> None:
    print(f"{what}: {sum(a != b for a, b in zip(ours, theirs, strict=True))} of {len(pairs):,} differ")
    judged = _judge(pairs)
    if judged is not None:
        for name, told in (("ours", ours), ("node-semver", theirs)):
            wrong = [pair for pair, a, b in zip(pairs, told, judged, strict=True) if a != b]
            print(f"  {name}: {len(wrong)} unlike npm's own", *wrong[:3])


def main() -> None:
    registry, folder = sys.argv[1:]
    sys.path.insert(0, folder)
    import nodesemver

    pairs = _pairs(_packuments(registry))
    print(f"{len(pairs):,} pairs of {len({wanted for _, wanted in pairs}):,} ranges")
    sample = pairs[:: max(1, len(pairs) // 20_000)]
    ours = _timed("ours, nothing remembered", _ours_uncached, sample)
    theirs = _timed("node-semver", _theirs(nodesemver), sample)
    readable = [pair for pair in sample if parse_range(pair[1]) and parse_version(pair[0])]
    _timed("ours, texts read once", _ours_remembered, readable)
    _timed("node-semver, texts read once", _theirs_remembered(nodesemver), readable)
    _compare("real pairs", sample, ours, theirs)
    chance = random.Random(7)
    made = [_generated(chance) for _ in range(20_000)]
    satisfied = _theirs(nodesemver)
    _compare("generated", made, [_ours_uncached(*pair) for pair in made], [satisfied(*pair) for pair in made])
    hostile = ">=1" + " " * 4000 + "<2"
    for name, call in (("ours", _ours_uncached), ("node-semver", satisfied)):
        began = time.perf_counter()
        call("1.2.3", hostile)
        print(f"a range with 4,000 spaces: {name} {(time.perf_counter() - began) * 1000:.1f} ms")


if __name__ == "__main__":
    main()
