"""The metadata of a stored tarball: the dependencies in its package.json.

Declared, not resolved: ranges are kept as written; aliases, git, file and URL dependencies are kept
opaque and are never fetched (npm documentation, package.json, "dependencies").
"""

from __future__ import annotations

import re
from typing import Any, BinaryIO

import msgspec

from shared.models import Dependency, Extraction
from shared.protocols.npm import names
from shared.protocols.npm.shrinkwrap import inner_lock
from shared.protocols.reading.tarballs import BadArchive, NoSuchMember, read_top_file
from shared.protocols.roles.archive import Archive

MAX_DEPENDENCIES = 10_000
MAX_VALUE_CHARACTERS = 10_000

_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
_ALIAS = re.compile(r"npm:(?P<name>(?:@[^/@]+/)?[^/@]+)(?:@(?P<range>.*))?", re.DOTALL)
_OPAQUE = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:|[^@/ ]+/[^/ ]+(?:#.*)?$|\.{0,2}/|~/|git@")
# In npm's order of precedence: an optional dependency overrides a plain one of the same name.
_KINDS = (
    ("dependencies", "runtime"),
    ("optionalDependencies", "optional"),
    ("peerDependencies", "peer"),
)


class BadManifest(Exception):
    """The package.json is invalid or of another package; the text says why."""


def is_extractable(filename: str) -> bool:
    """Tarballs; nothing else is served."""
    return filename.endswith(".tgz")


def extract(filename: str, file: BinaryIO, size_bytes: int) -> tuple[Extraction, bytes | None]:
    """Dependencies of a tarball; `sha256` is left empty for the caller. Never raises for bad input."""
    if not is_extractable(filename):
        return Extraction(
            sha256="", state="unknown", reason="files of this kind declare no dependencies"
        ), None
    try:
        _, content = read_top_file(file, "package.json")
        return _extraction(filename, content), None
    except NoSuchMember as error:
        return Extraction(sha256="", state="unknown", reason=str(error)), None
    except (BadArchive, BadManifest) as error:
        return Extraction(sha256="", state="unextractable", reason=str(error)), None


def _extraction(filename: str, content: bytes) -> Extraction:
    try:
        manifest = msgspec.json.decode(content.removeprefix(b"\xef\xbb\xbf"))
    except (msgspec.DecodeError, RecursionError, ValueError):
        raise BadManifest("package.json is not valid JSON") from None
    if not isinstance(manifest, dict):
        raise BadManifest("package.json is no object")
    name, version = manifest.get("name"), manifest.get("version")
    if not isinstance(name, str) or not isinstance(version, str) or not names.is_name(name):
        raise BadManifest("package.json has no name or no version")
    version = version.strip().removeprefix("v")
    if not _same_file(filename, name, version):
        raise BadManifest("package.json names another package than the file's name")
    engines = manifest.get("engines")
    node = engines.get("node", "") if isinstance(engines, dict) else ""
    _check_storable(version, node)
    return Extraction(
        sha256="",
        state="extracted",
        name=name,
        version=version,
        requires_python="",
        dependencies=_dependencies(manifest),
    )


def _same_file(filename: str, name: str, version: str) -> bool:
    """The file's name is what clients chose by. Build metadata is no part of a published version."""
    spellings = {names.tarball_name(name, each) for each in (version, version.partition("+")[0])}
    return filename in spellings or filename.endswith(f"-{version.partition('+')[0]}.tgz")


def _dependencies(manifest: dict[str, Any]) -> tuple[Dependency, ...]:
    """All declared dependencies; of one name in several kinds the later kind counts, as in npm."""
    bundled = _bundled(manifest)
    meta = manifest.get("peerDependenciesMeta")
    found: dict[tuple[str, bool], Dependency] = {}
    for key, kind in _KINDS:
        declared = manifest.get(key)
        for name, wanted in declared.items() if isinstance(declared, dict) else ():
            if not isinstance(wanted, str):
                raise BadManifest(f"{key} has a value that is no string")
            about = meta.get(name) if kind == "peer" and isinstance(meta, dict) else None
            optional = kind == "optional" or (isinstance(about, dict) and about.get("optional") is True)
            is_bundled = bundled is True or (isinstance(bundled, list) and name in bundled)
            found[(name, kind == "peer")] = _dependency(
                len(found), name, wanted, "bundled" if is_bundled and kind != "peer" else kind, optional
            )
            if len(found) > MAX_DEPENDENCIES:
                raise BadManifest(f"more than {MAX_DEPENDENCIES} dependencies")
    return tuple(
        msgspec.structs.replace(each, position=position) for position, each in enumerate(found.values())
    )


def _bundled(manifest: dict[str, Any]) -> Any:
    return manifest.get("bundleDependencies", manifest.get("bundledDependencies"))


def _dependency(position: int, name: str, wanted: str, kind: str, optional: bool) -> Dependency:
    """An alias leads to the package it names; what is no range has no `specifier` to compare with."""
    _check_storable(name, wanted)
    target, specifier = name, wanted.strip()
    alias = _ALIAS.fullmatch(specifier)
    if alias is not None:
        target, specifier = alias["name"], alias["range"] or "*"
    elif _OPAQUE.match(specifier):
        specifier = ""
    return Dependency(
        position=position,
        requirement=f"{name}@{wanted}",
        name=target,
        specifier=specifier,
        optional=optional,
        kind=kind,
    )


def _check_storable(*values: object) -> None:
    for value in values:
        if not isinstance(value, str):
            continue
        if len(value) > MAX_VALUE_CHARACTERS:
            raise BadManifest(f"a value is longer than {MAX_VALUE_CHARACTERS} characters")
        if _UNSTORABLE.search(value):
            raise BadManifest("package.json holds NUL or undecodable characters")


class NpmArchive(Archive):
    """Tarballs."""

    is_extractable = staticmethod(is_extractable)
    extract = staticmethod(extract)
    inner_lock = staticmethod(inner_lock)
