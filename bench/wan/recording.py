"""Keeps what clients ask of this machine's registries, once, so that later runs ask a folder instead.

The clients go through an Orchard; each path in its access log that was answered is then read from it whole.
Layout: `SET/pypi/offered/NAME/index.json` and `…/stripped/…` (pages with and without core metadata),
`SET/pypi/files/…` (files, `.metadata` beside wheels), `SET/npm/NAME/{index,abbreviated}.json` and tarballs,
`SET/maven/…`. Pages have a `.gz` beside them.
"""

from __future__ import annotations

import gzip
import hashlib
import http.client
import io
import json
import re
import shutil
import urllib.parse
import zipfile
from pathlib import Path
from typing import Any

from bench.harness.orchard import Orchard, orchard
from bench.wan import clients
from bench.wan.clients import CLIENTS, Place
from bench.wan.rounds import INDEXES, MOUNTS, Upstream, requests_of

HOST = "recorded.invalid"
_PYPI_JSON = "application/vnd.pypi.simple.v1+json"
_NPM_ABBREVIATED = "application/vnd.npm.install-v1+json"


def record(folder: Path, work: Path, protocol: str, packages: Any, upstream: Upstream) -> None:
    """Fill `folder` (a set's) for one protocol; the registries are asked now. Raises `RuntimeError`."""
    new = folder / f"{protocol}.new"
    shutil.rmtree(new, ignore_errors=True)
    data = work / "recording"
    shutil.rmtree(data, ignore_errors=True)
    settings = upstream.settings()
    with orchard(data, upstream=settings.pop("pypi_upstream"), pin=False, **settings) as ours:
        for client in CLIENTS:
            if client.protocol == protocol and client.there:
                place = Place(ours.url(INDEXES[protocol]))
                clients.run(client, packages, place, work / "client")
        for path in sorted({each.path for each in requests_of(data, 0) if each.status in (200, 206)}):
            _keep(ours, protocol, path, new)
    shutil.rmtree(data, ignore_errors=True)
    if protocol == "pypi":
        make_variants(new)
    if protocol == "maven":
        add_checksums(new)
    new.rename(folder / protocol)


def _keep(ours: Orchard, protocol: str, path: str, new: Path) -> None:
    below = urllib.parse.unquote(path.removeprefix(MOUNTS[protocol]))
    if ".." in below or below.startswith(("/", "-/")):
        return  # audits and such
    target = new / below
    if protocol == "pypi" and below.startswith("simple/"):
        _write(new / "pages" / f"{below.split('/')[1]}.json", _read(ours, path, _PYPI_JSON))
    elif protocol == "npm" and "/-/" not in below:
        for name, accept in (("index", "application/json"), ("abbreviated", _NPM_ABBREVIATED)):
            body = _read(ours, path, accept)
            mine, theirs = ours.url(MOUNTS["npm"]), f"https://{HOST}/{new.parent.name}/npm/"
            _compressed(target / f"{name}.json", body.replace(mine.encode(), theirs.encode()))
    elif not below.endswith((".metadata", "/")):
        _write(target, _read(ours, path, "*/*"))


def _read(ours: Orchard, path: str, accept: str) -> bytes:
    connection = http.client.HTTPConnection("127.0.0.1", ours.ports[0], timeout=120)
    try:
        connection.request("GET", path, headers={"Accept": accept})
        answer = connection.getresponse()
        body = answer.read()
    finally:
        connection.close()
    if answer.status != 200:
        raise RuntimeError(f"{path} was answered with {answer.status} when it was to be kept")
    return body


def make_variants(new: Path) -> None:
    """The pages twice: with core metadata for every wheel that was kept, and without any."""
    for page in (new / "pages").glob("*.json"):
        document = json.loads(page.read_bytes())
        for variant in ("stripped", "offered"):
            for file in document["files"]:
                for key in ("core-metadata", "dist-info-metadata", "data-dist-info-metadata"):
                    file.pop(key, None)
                kept = new / re.sub(r"^(\.\./)+", "", urllib.parse.unquote(file["url"]))
                if variant == "offered" and kept.suffix == ".whl" and kept.exists():
                    metadata = metadata_of(kept.read_bytes())
                    _write(kept.with_name(f"{kept.name}.metadata"), metadata)
                    file["core-metadata"] = {"sha256": hashlib.sha256(metadata).hexdigest()}
            _compressed(new / variant / page.stem / "index.json", json.dumps(document).encode())
    shutil.rmtree(new / "pages")


def add_checksums(new: Path) -> None:
    """`.sha1` and `.md5` beside each file: Orchard tells them in headers, so no client asked for them."""
    for path in [path for path in new.rglob("*") if path.is_file()]:
        for kind in ("sha1", "md5"):
            if path.suffix not in (".sha1", ".md5"):
                _write(
                    path.with_name(f"{path.name}.{kind}"),
                    hashlib.new(kind, path.read_bytes()).hexdigest().encode(),
                )


def metadata_of(wheel: bytes) -> bytes:
    """A wheel's METADATA."""
    with zipfile.ZipFile(io.BytesIO(wheel)) as archive:
        name = next(
            each
            for each in archive.namelist()
            if each.endswith(".dist-info/METADATA") and each.count("/") == 1
        )
        return archive.read(name)


def _compressed(path: Path, body: bytes) -> None:
    _write(path, body)
    _write(path.with_name(f"{path.name}.gz"), gzip.compress(body, 6))


def _write(path: Path, body: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(body)
