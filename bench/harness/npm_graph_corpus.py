"""A graph of npm packages for the benchmark: sizes as real packuments have, some majors needed twice."""

from __future__ import annotations

import base64
import hashlib
import json
import random
from pathlib import Path

PACKAGES = 1000
ROOTS = 40
VERSIONS = 24  # of each major; a packument has about 90 kB
_FILLING = "What this package does, told at some length. " * 10


def name(number: int) -> str:
    """Package `number`; the first `ROOTS` are asked for."""
    return f"bough-{number:04d}"


def build(root: Path, base_url: str) -> None:
    """Write `root`/npm/{name}/index.json; addresses name the upstream, so at each run."""
    chance = random.Random(19)
    for number in range(PACKAGES):
        folder = root / "npm" / name(number)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "index.json").write_text(json.dumps(_packument(number, base_url, chance)))


def _packument(number: int, base_url: str, chance: random.Random) -> dict[str, object]:
    own = name(number)
    following = [each for each in (number + 7, 3 * number + ROOTS) if each < PACKAGES]
    following += [chance.randrange(number + 1, PACKAGES) for _ in range(2) if number + 1 < PACKAGES]
    following += [chance.randrange(PACKAGES)] if chance.random() < 0.02 else []  # now and then a cycle
    dependencies = {name(each): f"^{1 if chance.random() < 0.1 else 2}.3.0" for each in following}
    peers = {name(following[0]): ">=1"} if following and chance.random() < 0.05 else {}
    versions = {}
    for major in (1, 2):
        for minor in range(VERSIONS):
            version = f"{major}.{minor}.0"
            content = f"{own}{version}".encode()
            versions[version] = {
                "name": own,
                "version": version,
                "description": _FILLING[:160],
                "maintainers": [
                    {"name": f"someone-{each}", "email": f"{each}@example.com"} for each in range(4)
                ],
                "repository": {"type": "git", "url": f"git+https://git.example.com/{own}.git"},
                "engines": {"node": ">=18"},
                "dependencies": dependencies,
                "peerDependencies": peers,
                "devDependencies": {f"tool-{each}": "^2.0.0" for each in range(14)},
                "scripts": {"test": "node test.js", "build": "node build.js", "lint": "lint ."},
                "dist": {
                    "tarball": f"{base_url}/npm/{own}/-/{own}-{version}.tgz",
                    "shasum": hashlib.sha1(content, usedforsecurity=False).hexdigest(),
                    "integrity": "sha512-" + base64.b64encode(hashlib.sha512(content).digest()).decode(),
                    "signatures": [{"keyid": "SHA256:key", "sig": "A" * 96}],
                },
            }
    return {
        "_id": own,
        "name": own,
        "dist-tags": {"latest": f"2.{VERSIONS - 1}.0"},
        "versions": versions,
        "time": dict.fromkeys(versions, "2024-01-01T00:00:00.000Z"),
        "readme": _FILLING * 4,
    }
