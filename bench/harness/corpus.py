"""The files that the benchmark's upstream serves: real archives with real hashes, made once.

Projects:
  small        22 kB JSON page (about 60 files)
  large        1.4 MB JSON page (3,550 files)
  k0000…k0999  1,000 small pages for the distinct-key runs
  wheels       files of 10 kB, 1 MB, 12 MB, 16 MB and on request 64 MB and 1 GB
  app00…app60  61 packages that depend on one another, for the real client
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import os
import zipfile
from pathlib import Path

KIB = 1024
MIB = 1024 * KIB

WHEELS = {"w10k": 10 * KIB, "w1m": MIB, "w12m": 12 * MIB, "w16m": 16 * MIB}
APP_PACKAGES = 61
DISTINCT_PAGES = 1000


def build(root: Path) -> None:
    """Write the tree below `root`, once; `root`/simple/{project}/index.json and `root`/files/…"""
    done = root / "complete-v1"
    if done.exists():
        return
    (root / "files").mkdir(parents=True, exist_ok=True)
    for name, size in WHEELS.items():
        publish(root, name, [_wheel(root, name, "1.0", size)])
    names = [f"app{number:02d}" for number in range(APP_PACKAGES)]
    for number, name in enumerate(names):
        requires = names[1:] if number == 0 else names[number * 2 : number * 2 + 2] if number else []
        publish(
            root, name, [_wheel(root, name, "1.0", 20 * KIB, requires=[r for r in requires if r != name])]
        )
    publish(root, "small", made_up("small", 60))
    publish(root, "large", made_up("large", 3550))
    for number in range(DISTINCT_PAGES):
        publish(root, f"k{number:04d}", made_up(f"k{number:04d}", 60))
    _publish_root(root)
    done.touch()


def add_wheel(root: Path, name: str, size_bytes: int) -> None:
    """Publish one more project with one wheel of about `size_bytes`."""
    if not (root / "simple" / name / "index.json").exists():
        publish(root, name, [_wheel(root, name, "1.0", size_bytes)])
        _publish_root(root)


def publish_wheel(root: Path, name: str, requires: list[str]) -> None:
    """Publish one more project with one small wheel that requires others."""
    publish(root, name, [_wheel(root, name, "1.0", KIB, requires)])


def _wheel(
    root: Path, name: str, version: str, size_bytes: int, requires: list[str] | None = None
) -> dict[str, object]:
    """A valid wheel of about `size_bytes`, padded with incompressible bytes; returns its index entry."""
    info = f"{name}-{version}.dist-info"
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    metadata += "".join(f"Requires-Dist: {requirement}\n" for requirement in requires or [])
    filename = f"{name}-{version}-py3-none-any.whl"
    path = root / "files" / filename
    members: dict[str, bytes] = {
        f"{name}/__init__.py": b"",
        f"{info}/METADATA": metadata.encode(),
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nGenerator: bench\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        record = ""
        left = size_bytes
        with archive.open(zipfile.ZipInfo(f"{name}/padding.bin"), "w", force_zip64=True) as padding:
            digest = hashlib.sha256()
            while left > 0:
                block = os.urandom(min(left, MIB))
                padding.write(block)
                digest.update(block)
                left -= len(block)
        record += f"{name}/padding.bin,sha256={_b64(digest.digest())},{size_bytes}\n"
        for member, body in members.items():
            archive.writestr(member, body)
            record += f"{member},sha256={_b64(hashlib.sha256(body).digest())},{len(body)}\n"
        archive.writestr(f"{info}/RECORD", record + f"{info}/RECORD,,\n")
    (root / "files" / f"{filename}.metadata").write_text(metadata)
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    return {
        "filename": filename,
        "url": f"../../files/{filename}",
        "hashes": {"sha256": sha256},
        "size": path.stat().st_size,
        "upload-time": "2024-01-01T00:00:00.000001Z",
        "core-metadata": {"sha256": hashlib.sha256(metadata.encode()).hexdigest()},
        "yanked": False,
    }


def made_up(name: str, count: int) -> list[dict[str, object]]:
    """Entries of files that nobody downloads: for pages of a wanted size."""
    entries: list[dict[str, object]] = []
    for number in range(count):
        version = f"{number // 100}.{number % 100}.0"
        filename = f"{name}-{version}-py3-none-any.whl"
        digest = hashlib.sha256(filename.encode()).hexdigest()
        entries.append(
            {
                "filename": filename,
                "url": f"../../files/{filename}",
                "hashes": {"sha256": digest},
                "requires-python": ">=3.8",
                "size": 10_000 + number,
                "upload-time": f"2024-01-01T00:00:{number % 60:02d}.{number:06d}Z",
                "core-metadata": {"sha256": hashlib.sha256(digest.encode()).hexdigest()},
                "yanked": False,
            }
        )
    return entries


def publish(root: Path, name: str, entries: list[dict[str, object]]) -> None:
    """Write a project's page, plain and compressed."""
    folder = root / "simple" / name
    folder.mkdir(parents=True, exist_ok=True)
    versions = sorted({str(entry["filename"]).split("-")[1] for entry in entries})
    page = {"meta": {"api-version": "1.1"}, "name": name, "versions": versions, "files": entries}
    body = json.dumps(page).encode()
    (folder / "index.json").write_bytes(body)
    (folder / "index.json.gz").write_bytes(gzip.compress(body, 6, mtime=0))


def _publish_root(root: Path) -> None:
    """The list of all projects, which devpi reads before any project page."""
    names = sorted(each.name for each in (root / "simple").iterdir() if each.is_dir())
    page = {"meta": {"api-version": "1.1"}, "projects": [{"name": name} for name in names]}
    (root / "simple" / "index.json").write_text(json.dumps(page))


def _b64(digest: bytes) -> str:
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
