"""npm packages for the benchmark: packuments of 59 kB, 4 MB, 20 MB and 40 MB, and two tarballs."""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import json
import os
import tarfile
from pathlib import Path

TARBALL_BYTES = 1024 * 1024
TARBALLS = {"small": TARBALL_BYTES, "tiny": 20 * 1024}
HUGE = "huge"
LARGE = tuple(f"large{number}" for number in range(10))
_README = "What this package does, told at some length. " * 20


def build(root: Path, base_url: str) -> None:
    """Write `root`/npm/{name}/index.json and its tarball; addresses name the upstream, so at each run."""
    sizes = {"small": 28, "tiny": 28, "full": 1900, **dict.fromkeys(LARGE, 13_600), HUGE: 27_200}
    for name, versions in sizes.items():
        tarball = _tarball(name, TARBALLS[name]) if name in TARBALLS else b""
        if tarball:
            (root / "npm" / name / "-").mkdir(parents=True, exist_ok=True)
            (root / "npm" / name / "-" / f"{name}-1.0.0.tgz").write_bytes(tarball)
        put_packument(root, base_url, name, versions, tarball)


def put_packument(root: Path, base_url: str, name: str, versions: int, tarball: bytes = b"") -> int:
    """Show a packument of so many versions from now on; its size in bytes."""
    folder = root / "npm" / name
    folder.mkdir(parents=True, exist_ok=True)
    body = json.dumps(_packument(name, versions, base_url, tarball)).encode()
    (folder / "index.json").write_bytes(body)
    (folder / "index.json.gz").write_bytes(gzip.compress(body, 5, mtime=0))
    return len(body)


def _packument(name: str, count: int, base_url: str, tarball: bytes) -> dict[str, object]:
    numbers = ["1.0.0", *(f"2.{number // 100}.{number % 100}" for number in range(count - 1))]
    versions = {}
    for number in numbers:
        content = tarball if number == "1.0.0" else f"{name}{number}".encode()
        versions[number] = {
            "name": name,
            "version": number,
            "description": _README[:400],
            "license": "MIT",
            "dependencies": {f"dependency-{index}": "^1.0.0" for index in range(12)},
            "devDependencies": {f"tool-{index}": "^2.0.0" for index in range(12)},
            "scripts": {"test": "node test.js", "build": "node build.js"},
            "dist": {
                "tarball": f"{base_url}/npm/{name}/-/{name}-{number}.tgz",
                "shasum": hashlib.sha1(content, usedforsecurity=False).hexdigest(),
                "integrity": "sha512-" + base64.b64encode(hashlib.sha512(content).digest()).decode(),
                "fileCount": 3,
                "unpackedSize": len(content),
            },
        }
    time = {number: f"2024-01-01T00:00:{index % 60:02d}.000Z" for index, number in enumerate(numbers)}
    tags = {"latest": numbers[-1]}
    return {
        "_id": name,
        "name": name,
        "dist-tags": tags,
        "versions": versions,
        "time": time,
        "readme": _README,
    }


def _tarball(name: str, size_bytes: int) -> bytes:
    """One package whose padding does not compress."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz", compresslevel=1) as archive:
        manifest = json.dumps({"name": name, "version": "1.0.0"}).encode()
        for member, content in (("package.json", manifest), ("padding.bin", os.urandom(size_bytes))):
            entry = tarfile.TarInfo(f"package/{member}")
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()
