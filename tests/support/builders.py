"""Real wheels, sdists and index pages, made on the spot: what the scripted upstream hands out."""

from __future__ import annotations

import base64
import gzip
import hashlib
import html
import io
import json
import random
import re
import tarfile
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

JSON_TYPE = "application/vnd.pypi.simple.v1+json"
HTML_TYPE = "text/html; charset=utf-8"


@dataclass(frozen=True)
class BuiltFile:
    """A package file as an upstream has it: the bytes, and what its index says of them."""

    filename: str
    content: bytes
    metadata: bytes | None = None  # a wheel's METADATA, served as "{filename}.metadata"
    requires_python: str | None = None
    yanked: bool | str = False
    upload_time: str = "2024-01-02T03:04:05.678901Z"
    extra_keys: Mapping[str, Any] = field(default_factory=dict)  # put into the JSON entry as they are

    @property
    def sha256(self) -> str:
        """Digest of the content, hex."""
        return hashlib.sha256(self.content).hexdigest()

    @property
    def metadata_sha256(self) -> str:
        """Digest of the METADATA, hex; "" when there is none."""
        return hashlib.sha256(self.metadata).hexdigest() if self.metadata is not None else ""


def core_metadata(
    name: str,
    version: str,
    *,
    requires: Sequence[str] = (),
    extras: Sequence[str] = (),
    requires_python: str | None = None,
    metadata_version: str = "2.2",
    dynamic: Sequence[str] = (),
    description: str = "Made for a test.\n",
) -> bytes:
    """The text of METADATA or PKG-INFO."""
    lines = [f"Metadata-Version: {metadata_version}", f"Name: {name}", f"Version: {version}"]
    lines += [f"Requires-Python: {requires_python}"] if requires_python else []
    lines += [f"Provides-Extra: {extra}" for extra in extras]
    lines += [f"Requires-Dist: {requirement}" for requirement in requires]
    lines += [f"Dynamic: {item}" for item in dynamic]
    return ("\n".join(lines) + "\n\n" + description).encode()


def build_wheel(
    name: str,
    version: str,
    *,
    requires: Sequence[str] = (),
    extras: Sequence[str] = (),
    requires_python: str | None = None,
    size_bytes: int = 0,
    tag: str = "py3-none-any",
    metadata: bytes | None = None,
    members: Mapping[str, bytes] | None = None,
) -> bytes:
    """An installable wheel. `size_bytes` is the least size: incompressible padding fills it up.

    `metadata` replaces the METADATA that the other arguments would give; `members` are added.
    Equal arguments give equal bytes.
    """
    module = re.sub(r"[-_.]+", "_", name)
    info = f"{module}-{version}.dist-info"
    if metadata is None:
        metadata = core_metadata(
            name, version, requires=requires, extras=extras, requires_python=requires_python
        )
    contents: dict[str, bytes] = {f"{module}/__init__.py": f"__version__ = {version!r}\n".encode()}
    if size_bytes:
        contents[f"{module}/padding.bin"] = random.Random(f"{name}-{version}").randbytes(size_bytes)
    contents.update(members or {})
    contents[f"{info}/METADATA"] = metadata
    wheel = f"Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: {tag}\n"
    contents[f"{info}/WHEEL"] = wheel.encode()
    record = [f"{path},{_record_hash(data)},{len(data)}" for path, data in contents.items()]
    contents[f"{info}/RECORD"] = "\n".join([*record, f"{info}/RECORD,,", ""]).encode()
    return build_zip(contents, stored={f"{module}/padding.bin"})


def build_zip(contents: Mapping[str, bytes], *, stored: set[str] | None = None) -> bytes:
    """A zip archive with fixed times; members named in `stored` are not compressed."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for path, data in contents.items():
            entry = zipfile.ZipInfo(path, (2020, 1, 1, 0, 0, 0))
            entry.external_attr = 0o644 << 16
            entry.compress_type = zipfile.ZIP_STORED if path in (stored or ()) else zipfile.ZIP_DEFLATED
            archive.writestr(entry, data)
    return buffer.getvalue()


def build_sdist(
    name: str,
    version: str,
    *,
    requires: Sequence[str] = (),
    extras: Sequence[str] = (),
    requires_python: str | None = None,
    metadata_version: str = "2.2",
    dynamic: Sequence[str] = (),
    size_bytes: int = 0,
    metadata: bytes | None = None,
    members: Mapping[str, bytes] | None = None,
) -> bytes:
    """An sdist (.tar.gz) with PKG-INFO and a pyproject.toml; arguments as for `build_wheel`."""
    module = re.sub(r"[-_.]+", "_", name)
    if metadata is None:
        metadata = core_metadata(
            name,
            version,
            requires=requires,
            extras=extras,
            requires_python=requires_python,
            metadata_version=metadata_version,
            dynamic=dynamic,
        )
    top = f"{module}-{version}"
    project = (
        '[build-system]\nrequires = ["setuptools"]\nbuild-backend = "setuptools.build_meta"\n'
        f'[project]\nname = "{name}"\nversion = "{version}"\ndependencies = {json.dumps(list(requires))}\n'
    )
    contents = {
        f"{top}/PKG-INFO": metadata,
        f"{top}/pyproject.toml": project.encode(),
        f"{top}/{module}/__init__.py": f"__version__ = {version!r}\n".encode(),
        **(members or {}),
    }
    if size_bytes:
        contents[f"{top}/padding.bin"] = random.Random(f"{name}-{version}").randbytes(size_bytes)
    return build_tar_gz(contents)


def build_tar_gz(contents: Mapping[str, bytes], *, entries: Sequence[tarfile.TarInfo] = ()) -> bytes:
    """A .tar.gz with fixed times; `entries` (links, devices) come first and have no content."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for entry in entries:
            archive.addfile(entry)
        for path, data in contents.items():
            entry = tarfile.TarInfo(path)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return gzip.compress(buffer.getvalue(), mtime=0)


def wheel_file(
    name: str,
    version: str,
    *,
    tag: str = "py3-none-any",
    requires: Sequence[str] = (),
    extras: Sequence[str] = (),
    requires_python: str | None = None,
    size_bytes: int = 0,
    yanked: bool | str = False,
    offer_metadata: bool = True,
    extra_keys: Mapping[str, Any] | None = None,
) -> BuiltFile:
    """A built wheel with what an index says of it. Without `offer_metadata` the index stays silent
    about its core metadata."""
    metadata = core_metadata(name, version, requires=requires, extras=extras, requires_python=requires_python)
    content = build_wheel(name, version, size_bytes=size_bytes, tag=tag, metadata=metadata)
    return BuiltFile(
        filename=f"{re.sub(r'[-_.]+', '_', name)}-{version}-{tag}.whl",
        content=content,
        metadata=metadata if offer_metadata else None,
        requires_python=requires_python,
        yanked=yanked,
        extra_keys=extra_keys or {},
    )


def sdist_file(name: str, version: str, *, requires: Sequence[str] = (), size_bytes: int = 0) -> BuiltFile:
    """A built sdist with what an index says of it."""
    content = build_sdist(name, version, requires=requires, size_bytes=size_bytes)
    return BuiltFile(filename=f"{re.sub(r'[-_.]+', '_', name)}-{version}.tar.gz", content=content)


def page_json(
    project: str,
    files: Sequence[BuiltFile],
    *,
    base: str = "../../files/",
    api_version: str = "1.1",
    hashes: Sequence[str] = ("sha256",),
    top_level: Mapping[str, Any] | None = None,
) -> bytes:
    """A project's page as an upstream serves it (PEP 691, PEP 700). File URLs are `base` + name."""
    entries = []
    for file in files:
        entry: dict[str, Any] = {
            "filename": file.filename,
            "url": base + file.filename,
            "hashes": {name: hashlib.new(name, file.content).hexdigest() for name in hashes},
            "requires-python": file.requires_python,
            "size": len(file.content),
            "upload-time": file.upload_time,
            "yanked": file.yanked,
        }
        if file.metadata is not None:
            entry["core-metadata"] = {"sha256": file.metadata_sha256}
        entries.append({**entry, **file.extra_keys})
    versions = sorted({file.filename.split("-")[1].removesuffix(".tar.gz") for file in files})
    page: dict[str, Any] = {"meta": {"api-version": api_version}, "name": project, "versions": versions}
    return json.dumps({**page, **(top_level or {}), "files": entries}).encode()


def page_html(
    project: str,
    files: Sequence[BuiltFile],
    *,
    base: str = "../../files/",
    algorithm: str | None = "sha256",
    head: str = "",
) -> bytes:
    """The same page as HTML (PEP 503). `algorithm` of the fragment, None for none; `head` is put in
    as it is (a <base>, meta tags)."""
    lines = [f"<!DOCTYPE html><html><head>{head}<title>Links for {project}</title></head><body>"]
    for file in files:
        fragment = f"#{algorithm}={hashlib.new(algorithm, file.content).hexdigest()}" if algorithm else ""
        attributes = ""
        if file.requires_python:
            attributes += f' data-requires-python="{html.escape(file.requires_python)}"'
        if file.yanked is not False:
            attributes += f' data-yanked="{html.escape(file.yanked) if isinstance(file.yanked, str) else ""}"'
        if file.metadata is not None:
            attributes += f' data-core-metadata="sha256={file.metadata_sha256}"'
        lines.append(f'<a href="{base}{file.filename}{fragment}"{attributes}>{file.filename}</a><br/>')
    return "\n".join([*lines, "</body></html>", ""]).encode()


def root_json(projects: Sequence[str]) -> bytes:
    """The list of all projects as JSON (PEP 691)."""
    return json.dumps(
        {"meta": {"api-version": "1.1"}, "projects": [{"name": name} for name in projects]}
    ).encode()


def _record_hash(data: bytes) -> str:
    digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
    return f"sha256={digest}"
