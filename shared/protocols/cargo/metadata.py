"""What a crate's file says of itself: the dependencies in its Cargo.toml, as cargo rewrote it to publish.

Declared, not resolved, with those for building and of all targets; those for development are nobody else's
(The Cargo Book, "Specifying Dependencies"). What cargo resolves with stands in the index, not here.
"""

from __future__ import annotations

import gzip
import re
import tarfile
import tomllib
import zlib
from collections.abc import Iterator
from typing import Any, BinaryIO

from shared.errors import UpstreamInvalid
from shared.models import Dependency, Extraction, FileEntry
from shared.protocols.cargo import names
from shared.protocols.reading.tarballs import BadArchive, NoSuchMember, read_top_file
from shared.protocols.roles.archive import Archive

MANIFEST = "Cargo.toml"
MAX_DEPENDENCIES = 10_000
MAX_VALUE_CHARACTERS = 10_000
MAX_LICENCE_CHARACTERS = 500

_KINDS = (("dependencies", "runtime"), ("build-dependencies", "build"))
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


class BadManifest(Exception):
    """The Cargo.toml cannot be believed; the text says why."""


def is_extractable(filename: str) -> bool:
    """Crates; nothing else is served."""
    return filename.endswith(".crate")


def extract(filename: str, file: BinaryIO, size_bytes: int) -> tuple[Extraction, bytes | None]:
    """Dependencies of a crate; `sha256` is left empty for the caller. Never raises for bad input."""
    try:
        folder, content = read_top_file(file, MANIFEST)
        if not _is_folder(folder, filename):
            raise BadManifest("it lies in another folder than the file's name says")
        return _extraction(content), None
    except NoSuchMember as error:
        return Extraction(sha256="", state="unknown", reason=str(error)), None
    except (BadArchive, BadManifest) as error:
        return Extraction(sha256="", state="unextractable", reason=str(error)), None


def check_file(entry: FileEntry, file: BinaryIO) -> None:
    """Raises `UpstreamInvalid` for what cargo would not unpack: no gzipped tar, another folder, no manifest.

    A manifest behind more than is unpacked here is not missed.
    """
    if not _begins_in_folder(file, entry.filename):
        raise UpstreamInvalid(f"{entry.filename} is no crate: a gzipped tar of one folder of its name")
    try:
        read_top_file(file, MANIFEST)
    except NoSuchMember as error:
        raise UpstreamInvalid(f"{entry.filename} is no crate: {error}") from error
    except BadArchive:
        pass


def _begins_in_folder(file: BinaryIO, filename: str) -> bool:
    file.seek(0)
    try:
        with gzip.GzipFile(fileobj=file) as unpacked:
            header = tarfile.TarInfo.frombuf(unpacked.read(tarfile.BLOCKSIZE), "utf-8", "replace")
    except (OSError, EOFError, zlib.error, tarfile.HeaderError):
        return False
    about_the_next = header.type in (tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME)
    return about_the_next or _is_folder(header.name.partition("/")[0], filename)


def _is_folder(folder: str, filename: str) -> bool:
    return f"{folder}.crate".lower() == filename.lower()


def _extraction(content: bytes) -> Extraction:
    try:
        manifest = tomllib.loads(content.decode())
    except (ValueError, RecursionError):
        raise BadManifest(f"{MANIFEST} is not valid TOML") from None
    package = manifest.get("package", manifest.get("project"))
    name, version = (_table(package).get(key) for key in ("name", "version"))
    if not isinstance(name, str) or not isinstance(version, str) or not names.is_name(name):
        raise BadManifest(f"{MANIFEST} has no name or no version")
    _check_storable(version)
    features = [each for each in _table(manifest.get("features")) if _UNSTORABLE.search(each) is None]
    return Extraction(
        sha256="",
        state="extracted",
        name=name,
        version=version,
        dependencies=tuple(_numbered(manifest)),
        extras=tuple(sorted(features)[:MAX_DEPENDENCIES]),
        licence=_licence(_table(package)),
    )


def _licence(package: dict[str, Any]) -> str:
    """SPDX; before that was asked for a "/" stood for OR (The Cargo Book, "The license and license-file
    fields"). Of a crate that names a file alone, the file: that is no expression."""
    told, file = package.get("license"), package.get("license-file")
    found = " OR ".join(told.split("/")) if isinstance(told, str) else ""
    if not found and isinstance(file, str) and file:
        found = f"in {file}"
    _check_storable(found)
    return found[:MAX_LICENCE_CHARACTERS]


def _numbered(manifest: dict[str, Any]) -> Iterator[Dependency]:
    position = 0
    for marker, tables in [("", manifest), *_table(manifest.get("target")).items()]:
        for key, kind in _KINDS:
            for name, wanted in _table(_table(tables).get(key, {})).items():
                if position == MAX_DEPENDENCIES:
                    raise BadManifest(f"more than {MAX_DEPENDENCIES} dependencies")
                yield _dependency(position, name, wanted, marker, kind)
                position += 1


def _dependency(position: int, name: str, wanted: Any, marker: str, kind: str) -> Dependency:
    """As `cargo add` would be asked for it. Without a version it lies elsewhere (a path, a repository)."""
    told = {"version": wanted} if isinstance(wanted, str) else _table(wanted)
    package, version = told.get("package", name), told.get("version", "")
    features: Any = told.get("features", [])
    if not isinstance(features, list):
        raise BadManifest(f"the features of {name[:80]} are no list")
    _check_storable(package, version, marker, *features)
    default = told.get("default-features", told.get("default_features", True)) is not False
    return Dependency(
        position=position,
        requirement=f"{package}@{version}"
        + ("" if default else " --no-default-features")
        + (f" --features {','.join(features)}" if features else ""),
        name=names.canonical(package),
        specifier=version,
        marker=marker,
        extras=tuple(features),
        optional=told.get("optional") is True,
        kind=kind,
    )


def _table(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _check_storable(*values: object) -> None:
    for value in values:
        if not isinstance(value, str):
            raise BadManifest(f"{MANIFEST} has a value that is no text where one must be")
        if len(value) > MAX_VALUE_CHARACTERS:
            raise BadManifest(f"{MANIFEST} has a value that is longer than {MAX_VALUE_CHARACTERS} characters")
        if _UNSTORABLE.search(value):
            raise BadManifest(f"{MANIFEST} holds NUL or undecodable characters")


class CargoArchive(Archive):
    """Crates."""

    is_extractable = staticmethod(is_extractable)
    extract = staticmethod(extract)

    def checks_file(self, entry: FileEntry) -> bool:
        return True

    def check_file(self, entry: FileEntry, file: BinaryIO, size_bytes: int) -> None:
        check_file(entry, file)
