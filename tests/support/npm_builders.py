"""Makes npm packages: tarballs, their packuments, and both published on a scripted upstream."""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Mapping
from typing import Any

from tests.support.upstream import Reply, Upstream

PREFIX = "/npm"
"""Where the registry lies on the scripted upstream (`Cluster` sets ORCHARD_NPM_UPSTREAM so)."""


def build_tarball(
    name: str,
    version: str,
    *,
    manifest: Mapping[str, Any] | None = None,
    size_bytes: int = 0,
    folder: str = "package",
    more: Mapping[str, bytes] | None = None,
) -> bytes:
    """A package as `npm pack` makes it, with `more` files by path; `size_bytes` of incompressible filling on
    top."""
    about = {"name": name, "version": version, **(manifest or {})}
    files = {
        "package.json": json.dumps(about).encode(),
        "index.js": f"module.exports = {json.dumps(name)};\n".encode(),
        **(more or {}),
    }
    if size_bytes:
        files["filling.bin"] = hashlib.shake_128(f"{name}@{version}".encode()).digest(size_bytes)
    packed = io.BytesIO()
    with (
        gzip.GzipFile(fileobj=packed, mode="wb", compresslevel=1, mtime=0) as compressed,
        tarfile.open(fileobj=compressed, mode="w") as archive,
    ):
        for path, content in files.items():
            info = tarfile.TarInfo(f"{folder}/{path}")
            info.size, info.mode = len(content), 0o644
            archive.addfile(info, io.BytesIO(content))
    return packed.getvalue()


def integrity(data: bytes, algorithm: str = "sha512") -> str:
    """Subresource Integrity of some bytes."""
    return f"{algorithm}-{base64.b64encode(hashlib.new(algorithm, data).digest()).decode()}"


def base_name(name: str, version: str) -> str:
    """A tarball's usual file name."""
    return f"{name.rpartition('/')[2]}-{version}.tgz"


def tarball_path(name: str, version: str) -> str:
    """A tarball's usual path on the scripted upstream."""
    return f"{PREFIX}/{name}/-/{base_name(name, version)}"


def packument_path(name: str) -> str:
    """A packument's path on the scripted upstream, as Orchard asks for it."""
    return f"{PREFIX}/{name.replace('/', '%2F')}"


def version_path(name: str, spec: str) -> str:
    """A version document's path on the scripted upstream."""
    return f"{packument_path(name)}/{spec}"


def build_packument(
    upstream: str,
    name: str,
    tarballs: Mapping[str, bytes],
    *,
    manifests: Mapping[str, Mapping[str, Any]] | None = None,
    tags: Mapping[str, str] | None = None,
    time: Mapping[str, str] | None = None,
    dist: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The full packument of some tarballs by version. `dist` is merged into every `dist`; `time` {}
    leaves it out."""
    versions = {}
    for version, data in tarballs.items():
        about = {
            "tarball": f"{upstream}{tarball_path(name, version)}",
            "integrity": integrity(data),
            "shasum": hashlib.sha1(data).hexdigest(),
            "signatures": [{"keyid": "SHA256:test", "sig": "MEQC+/=="}],
            **(dist or {}),
        }
        versions[version] = {
            "name": name,
            "version": version,
            "_id": f"{name}@{version}",
            **((manifests or {}).get(version, {})),
            "dist": {key: value for key, value in about.items() if value is not None},
        }
    newest = list(tarballs)[-1] if tarballs else ""
    document: dict[str, Any] = {
        "_id": name,
        "name": name,
        "description": f"{name} for tests",
        "dist-tags": {"latest": newest, **(tags or {})},
        "versions": versions,
        "readme": "# read me",
    }
    if time is None:
        time = dict.fromkeys(("created", "modified", *tarballs), "2020-01-02T03:04:05.678Z")
    if time:
        document["time"] = dict(time)
    return document


def publish(
    server: Upstream,
    name: str,
    versions: Mapping[str, Mapping[str, Any]],
    *,
    size_bytes: int = 0,
    version_documents: bool = True,
    more: Mapping[str, bytes] | None = None,
    **options: Any,
) -> dict[str, bytes]:
    """Packument, version documents and tarballs of `name`; `versions` maps each to its manifest's
    further keys, `more` files lie in each tarball. The tarballs by version come back."""
    tarballs = {
        version: build_tarball(name, version, manifest=manifest, size_bytes=size_bytes, more=more)
        for version, manifest in versions.items()
    }
    for version, data in tarballs.items():
        server.put(tarball_path(name, version), data)
    document = build_packument(server.url, name, tarballs, manifests=versions, **options)
    put_packument(server, document, version_documents=version_documents)
    return tarballs


def put_packument(server: Upstream, document: Mapping[str, Any], *, version_documents: bool = True) -> None:
    """Show this packument from now on, and with it each version's and each tag's own document."""
    name = document["name"]
    page = Reply(json.dumps(document).encode(), "application/json")
    for path in (packument_path(name), packument_path(name).replace("%2F", "%2f")):  # Orchard; npm itself
        server.put(path, page)
    if version_documents:
        shown = dict(document["versions"])
        shown |= {tag: shown[version] for tag, version in document["dist-tags"].items() if version in shown}
        for spec, manifest in shown.items():
            server.put(version_path(name, spec), Reply(json.dumps(manifest).encode(), "application/json"))
