"""The metadata of a stored file: its dependencies, and its core metadata for back-fill."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import BinaryIO, ClassVar

import msgspec
from packaging.metadata import RawMetadata
from packaging.utils import (
    InvalidSdistFilename,
    InvalidWheelFilename,
    canonicalize_name,
    parse_sdist_filename,
    parse_wheel_filename,
)
from packaging.version import InvalidVersion, Version

from shared.digests import strongest
from shared.errors import UpstreamInvalid
from shared.models import BuildNeeds, Extraction, FileEntry
from shared.protocols.pypi import building
from shared.protocols.pypi.about import publisher
from shared.protocols.pypi.archive import read_zip_member, top_member
from shared.protocols.pypi.licences import licence_of
from shared.protocols.pypi.resolver.requirements import (
    BadMetadata,
    check_storable,
    parse_dependencies,
    parse_metadata,
)
from shared.protocols.reading.magics import COMMON, ZIP
from shared.protocols.reading.tarballs import BadArchive, NoSuchMember, read_top_file
from shared.protocols.roles.archive import Archive

_TARBALLS = (".tar.gz", ".tgz")
_FIELDS = re.compile(rb"^(?:metadata-version|name)[ \t]*:", re.IGNORECASE | re.MULTILINE)
_FIELDS_WITHIN_BYTES = 64 * 1024  # of the beginning


def is_extractable(filename: str) -> bool:
    """Wheels and sdists; other shapes (eggs, installers) hold no metadata that could be trusted."""
    return filename.endswith((".whl", ".zip", *_TARBALLS))


def extract(filename: str, file: BinaryIO, size_bytes: int) -> tuple[Extraction, bytes | None]:
    """Dependencies of a file, and a wheel's METADATA byte for byte.

    `sha256` of the extraction is left empty for the caller. `unknown`: the file does not say
    (an sdist before metadata 2.2, an egg). `unextractable`: it is broken or lies. The METADATA is
    given whenever the archive is sound and names this project and version, even if a dependency
    in it is invalid: clients then read the same as out of the wheel. Raises only what `file` does.
    """
    if not is_extractable(filename):
        return _failed("unknown", "files of this kind declare no dependencies"), None
    if filename.endswith(".whl"):
        return _extract_wheel(filename, file, size_bytes)
    return _extract_sdist(filename, file, size_bytes), None


def read_metadata(filename: str, file: BinaryIO, size_bytes: int) -> bytes:
    """A wheel's METADATA, as `extract` would give it; see `Archive.read_metadata`."""
    try:
        content, _, _, _ = _wheel_content(filename, file, size_bytes, ahead=False)
        return content
    except (BadArchive, BadMetadata) as error:
        raise UpstreamInvalid(f"{filename}: {error}") from error
    except (InvalidWheelFilename, InvalidVersion) as error:
        raise UpstreamInvalid(f"{filename} is not the name of a wheel") from error


def _wheel_content(
    filename: str, file: BinaryIO, size_bytes: int, *, ahead: bool
) -> tuple[bytes, RawMetadata, str, Version]:
    """METADATA with what it says of this very project and version. Raises `BadArchive`, `BadMetadata`,
    `InvalidWheelFilename`, `InvalidVersion`."""
    name, version, _, _ = parse_wheel_filename(filename)
    content = read_zip_member(file, size_bytes, lambda members: _wheel_metadata(members, name), ahead=ahead)
    raw = parse_metadata(content)
    _check_identity(raw, name, version)
    return content, raw, name, version


def _extract_wheel(filename: str, file: BinaryIO, size_bytes: int) -> tuple[Extraction, bytes | None]:
    content: bytes | None = None
    try:
        content, raw, name, version = _wheel_content(filename, file, size_bytes, ahead=True)
        return _extraction(raw, name, str(version)), content
    except (BadArchive, BadMetadata) as error:
        return _failed("unextractable", str(error)), content
    except (InvalidWheelFilename, InvalidVersion):
        return _failed("unextractable", "the file's name is not that of a wheel"), None


def _extract_sdist(filename: str, file: BinaryIO, size_bytes: int) -> Extraction:
    try:
        name, version = sdist_identity(filename)
        if filename.endswith(".zip"):
            content = read_zip_member(file, size_bytes, top_member("PKG-INFO"))
        else:
            _, content = read_top_file(file, "PKG-INFO")
        raw = parse_metadata(content)
        _check_identity(raw, name, version)
        why = _may_change(raw)
        if why:
            return msgspec.structs.replace(_failed("unknown", why), licence=_licence(raw))
        return _extraction(raw, name, str(version))
    except NoSuchMember as error:
        return _failed("unknown", str(error))
    except (BadArchive, BadMetadata) as error:
        return _failed("unextractable", str(error))
    except (InvalidSdistFilename, InvalidVersion):
        return _failed("unextractable", "the file's name is not that of an sdist")


def sdist_identity(filename: str) -> tuple[str, Version]:
    """Canonical name and version in a sdist's file name. Raises `InvalidSdistFilename`, `InvalidVersion`."""
    if filename.endswith(".tgz"):
        filename = filename.removesuffix(".tgz") + ".tar.gz"
    return parse_sdist_filename(filename)


def _wheel_metadata(members: list[str], name: str) -> str:
    """The one "{project}-{version}.dist-info/METADATA" at the top (wheel specification)."""
    found = {member for member in members if member.count("/") == 1 and _is_wheel_metadata(member)}
    if not found:
        raise BadArchive("the wheel has no METADATA")
    if len(found) > 1:
        raise BadArchive("the wheel has several METADATA files")
    member = found.pop()
    project = member.partition(".dist-info/")[0].rpartition("-")[0]
    if canonicalize_name(project) != name:
        raise BadArchive("the wheel's METADATA is another project's")
    return member


def _is_wheel_metadata(member: str) -> bool:
    return member.endswith(".dist-info/METADATA")


def _check_identity(raw: RawMetadata, name: str, version: Version) -> None:
    """The file's name is what clients chose by; metadata that says otherwise is not believed."""
    stated_name, stated_version = raw.get("name"), raw.get("version")
    if not stated_name or canonicalize_name(stated_name) != name:
        raise BadMetadata("the metadata names another project than the file's name")
    try:
        same = stated_version is not None and Version(stated_version) == version
    except InvalidVersion:
        same = False
    if not same:
        raise BadMetadata("the metadata names another version than the file's name")


def _may_change(raw: RawMetadata) -> str:
    """Why an sdist's dependencies cannot be known without building it, "" if they can (PEP 643)."""
    try:
        stated = Version(raw.get("metadata_version", "0"))
    except InvalidVersion:
        return "the metadata has no valid version"
    if stated < Version("2.2"):
        return "metadata before 2.2 does not bind the build"
    dynamic = {field.lower() for field in raw.get("dynamic", ())}
    if dynamic & {"requires-dist", "provides-extra", "requires-python"}:
        return "the dependencies are dynamic"
    return ""


def _extraction(raw: RawMetadata, name: str, version: str) -> Extraction:
    requires_python = raw.get("requires_python", "").strip()
    extras = raw.get("provides_extra", [])
    check_storable(requires_python, *extras)
    return Extraction(
        sha256="",
        state="extracted",
        name=name,
        version=version,
        requires_python=requires_python,
        dependencies=parse_dependencies(raw.get("requires_dist", [])),
        extras=tuple(dict.fromkeys(canonicalize_name(extra) for extra in extras)),
        licence=_licence(raw),
    )


def _licence(raw: RawMetadata) -> str:
    """Raises `BadMetadata` for one that cannot be stored."""
    told = licence_of(raw)
    check_storable(told)
    return told


def _failed(state: str, reason: str) -> Extraction:
    if state == "unknown":
        return Extraction(sha256="", state="unknown", reason=reason)
    return Extraction(sha256="", state="unextractable", reason=reason)


class PyPIArchive(Archive):
    """Wheels and source distributions."""

    is_extractable = staticmethod(is_extractable)
    extract = staticmethod(extract)
    read_metadata = staticmethod(read_metadata)
    publisher = staticmethod(publisher)

    magics: ClassVar[Mapping[str, tuple[bytes, ...]]] = {**COMMON, ".whl": ZIP, ".egg": ZIP}

    def metadata_filename(self, filename: str) -> str | None:
        return f"{filename}.metadata" if filename.endswith(".whl") else None

    def parent_of(self, filename: str) -> str | None:
        parent = filename.removesuffix(".metadata")
        return parent if self.metadata_filename(parent) == filename else None

    def is_built(self, filename: str) -> bool:
        return building.is_sdist(filename)

    def build_needs(self, filename: str, file: BinaryIO, size_bytes: int) -> BuildNeeds:
        return building.build_needs(filename, file, size_bytes)

    def checks_file(self, entry: FileEntry) -> bool:
        return self.parent_of(entry.filename) is not None and strongest(entry.hashes) is None

    def check_file(self, entry: FileEntry, file: BinaryIO, size_bytes: int) -> None:
        """Core metadata without any hash has one of its fields, as the wheel has: what came may be an error
        message with status 200."""
        if not _FIELDS.search(file.read(_FIELDS_WITHIN_BYTES)):
            raise UpstreamInvalid(f"{entry.filename}: the upstream sent something that is no core metadata")
