"""What resolving keeps of a package's document: versions in order, and of each only what npm decides by.

A packument may have 40 MB. It is decoded once, in parts; of each version a few hundred bytes stay, equal
ones once. The tree builder unpacks those of the versions that it looks at.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

import msgspec

from shared.errors import UpstreamInvalid
from shared.models import SealedFile
from shared.protocols.npm import names
from shared.protocols.npm.document import DOCUMENT_FORMAT, Notes
from shared.protocols.npm.semver import parse_version
from shared.protocols.npm.tags import shown_tags
from shared.protocols.reading.json_text import Raw, fields_of, value_of

MAX_DEPENDENCIES = 10_000  # of one version

Strings = dict[str, str]
_NONE: list[str] = []  # never changed


class Declared(msgspec.Struct, array_like=True, gc=False):
    """What one version says of itself, as far as a tree depends on it; shared by those that say the same."""

    dependencies: Strings
    optional: Strings
    peers: Strings
    optional_peers: list[str]
    accepted: Strings  # acceptDependencies: ranges that will do as well
    bundled: list[str]
    system: list[str]
    processor: list[str]
    libc: list[str]
    shrinkwrap: bool


class Release(msgspec.Struct, frozen=True, gc=False):
    """One version that can be served. `integrity` may be made of `shasum`."""

    version: str
    declared: bytes  # a `Declared`, packed
    integrity: str
    engines: tuple[str, str]  # node, npm; "" for nothing said
    deprecated: bool
    published: str | None  # as the document tells it; None where it does not
    shasum: str = ""  # beside an integrity of another algorithm


class Packument(msgspec.Struct, frozen=True):
    """A package. `releases` by descending precedence, equal ones in the document's order."""

    name: str
    tags: Strings
    releases: dict[str, Release]
    filenames: Strings  # version → the tarball's name, where it is not the usual one
    timed: bool  # the document has publication times
    sealed: Mapping[str, tuple[str, int]] = {}  # tarball → SHA256 and size of what is stored

    def filename(self, version: str) -> str:
        """The name under which a version's tarball is served."""
        return self.filenames.get(version) or names.tarball_name(self.name, version)

    def version_of(self, filename: str) -> str:
        """The version whose tarball has this name, "" if none has."""
        found = names.version_of(self.name, filename)
        if found and self.filename(found) == filename:
            return found
        return next((version for version, name in self.filenames.items() if name == filename), "")


class _Dist(msgspec.Struct, gc=False):
    integrity: str | None = None
    shasum: str | None = None


class _Meta(msgspec.Struct, gc=False):
    optional: bool = False


class _Version(msgspec.Struct, rename="camel", gc=False):
    """A version whose fields have the documented types; all others go the slow way."""

    dependencies: Strings | None = None
    optional_dependencies: Strings | None = None
    peer_dependencies: Strings | None = None
    peer_dependencies_meta: dict[str, _Meta] | None = None
    accept_dependencies: Strings | None = None
    bundle_dependencies: list[str] | dict[str, Any] | bool | None = None
    bundled_dependencies: list[str] | dict[str, Any] | bool | None = None
    os: list[str] | str | None = None
    cpu: list[str] | str | None = None
    libc: list[str] | str | None = None
    engines: Any = None
    deprecated: Any = None
    has_shrinkwrap: Any = msgspec.field(default=None, name="_hasShrinkwrap")
    dist: _Dist | None = None


class _Top(msgspec.Struct, rename="kebab"):
    versions: Raw = Raw(b"{}")  # whatever it is: see `fields_of`
    time: Any = None
    dist_tags: Any = None


class _Envelope(msgspec.Struct):
    format: int
    identity: str
    notes: Notes
    text: _Top


_decode_envelope = msgspec.json.Decoder(_Envelope).decode
_decode_version = msgspec.json.Decoder(_Version).decode
_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder(Declared).decode


def read_packument(body: bytes) -> Packument:
    """A canonical document as resolving needs it. Raises `UpstreamInvalid` for another format or kind."""
    try:
        envelope = _decode_envelope(body)
    except (msgspec.DecodeError, RecursionError, ValueError) as error:
        raise UpstreamInvalid("the stored document cannot be read") from error
    kind, name, _ = names.split_identity(envelope.identity)
    if envelope.format != DOCUMENT_FORMAT or kind != "packument":
        raise UpstreamInvalid("the stored document is of another format or kind")
    notes, top = envelope.notes, envelope.text
    declared: Mapping[str, Any] = top.time if isinstance(top.time, dict) else {}
    times = {**declared, **notes.times}
    equal: dict[bytes, bytes] = {}
    engines: dict[tuple[str, str], tuple[str, str]] = {}
    found = []
    for version, raw in fields_of(top.versions).items():
        parsed = parse_version(version)
        if version in notes.hidden or parsed is None:
            continue
        manifest = _read_version(raw)
        frozen = notes.dists.get(version)
        if frozen is not None:
            manifest.dist = msgspec.convert(_texts(fields_of(frozen), ("integrity", "shasum")), _Dist)
        packed = _pack(_declared(manifest))
        asked = _engines(manifest.engines)
        release = Release(
            version=version,
            declared=equal.setdefault(packed, packed),
            integrity=_integrity(manifest.dist),
            engines=engines.setdefault(asked, asked),
            deprecated=bool(manifest.deprecated),
            published=str(times[version]) if version in times else None,
            shasum=_shasum(manifest.dist),
        )
        found.append((parsed.key, release))
    found.sort(key=lambda pair: pair[0], reverse=True)  # stable, reversed too
    releases = {release.version: release for _, release in found}
    return Packument(
        name=name,
        tags=shown_tags(top.dist_tags, notes.hidden, releases, lambda version: releases[version].deprecated),
        releases=releases,
        filenames=notes.filenames,
        timed=bool(times),
    )


def with_sealed(packument: Packument, sealed: Mapping[tuple[str, str], SealedFile]) -> Packument:
    """The same with digests and sizes of the tarballs that are stored."""
    if not sealed:
        return packument
    stored = {filename: (file.sha256, file.size_bytes) for (_, filename), file in sealed.items()}
    return msgspec.structs.replace(packument, sealed=stored)


def unpack(release: Release) -> Declared:
    """What a version declares."""
    return _unpack(release.declared)


def _read_version(raw: Raw) -> _Version:
    try:
        return _decode_version(raw)
    except (msgspec.DecodeError, RecursionError, ValueError):
        return _lenient(raw)


def _lenient(raw: Raw) -> _Version:
    """A version of which some field has a type that it should not have: the rest of it counts."""
    fields = {key: value_of(each) for key, each in fields_of(raw).items() if key in _FIELDS}
    version = _Version()
    version.dependencies = _strings(fields.get("dependencies"))
    version.optional_dependencies = _strings(fields.get("optionalDependencies"))
    version.peer_dependencies = _strings(fields.get("peerDependencies"))
    meta = fields.get("peerDependenciesMeta")
    if isinstance(meta, dict):
        version.peer_dependencies_meta = {
            key: _Meta(bool(each.get("optional"))) for key, each in meta.items() if isinstance(each, dict)
        }
    version.accept_dependencies = _strings(fields.get("acceptDependencies"))
    version.bundle_dependencies = fields.get("bundleDependencies")
    version.bundled_dependencies = fields.get("bundledDependencies")
    version.os, version.cpu, version.libc = fields.get("os"), fields.get("cpu"), fields.get("libc")
    version.engines, version.deprecated = fields.get("engines"), fields.get("deprecated")
    version.has_shrinkwrap = fields.get("_hasShrinkwrap")
    dist = fields.get("dist")
    if isinstance(dist, dict):
        version.dist = _Dist(
            **{key: dist[key] for key in ("integrity", "shasum") if isinstance(dist.get(key), str)}
        )
    return version


_FIELDS = frozenset(field.encode_name for field in msgspec.structs.fields(_Version))


def _declared(version: _Version) -> Declared:
    dependencies = version.dependencies or {}
    peers = version.peer_dependencies or {}
    meta = version.peer_dependencies_meta or {}
    bundled: Any = version.bundle_dependencies
    if bundled is None:
        bundled = version.bundled_dependencies
    if bundled is True:
        bundled = list(dependencies)
    elif not isinstance(bundled, list | dict):
        bundled = _NONE
    declared = Declared(
        dependencies=dependencies,
        optional=version.optional_dependencies or {},
        peers=peers,
        optional_peers=[name for name in peers if name in meta and meta[name].optional] if meta else _NONE,
        accepted=version.accept_dependencies or {},
        bundled=[name for name in bundled if isinstance(name, str)] if bundled else _NONE,
        system=_list(version.os) if version.os else _NONE,
        processor=_list(version.cpu) if version.cpu else _NONE,
        libc=_list(version.libc) if version.libc else _NONE,
        shrinkwrap=bool(version.has_shrinkwrap),
    )
    if len(declared.dependencies) + len(declared.optional) + len(declared.peers) > MAX_DEPENDENCIES:
        raise UpstreamInvalid(f"a version declares more than {MAX_DEPENDENCIES} dependencies")
    return declared


def _integrity(dist: _Dist | None) -> str:
    if dist is None:
        return ""
    if dist.integrity:
        return " ".join(dist.integrity.split()) if " " in dist.integrity else dist.integrity
    try:
        digest = bytes.fromhex(dist.shasum or "")
    except ValueError:
        return ""
    return f"sha1-{base64.b64encode(digest).decode()}" if len(digest) == 20 else ""


def _shasum(dist: _Dist | None) -> str:
    return dist.shasum if dist is not None and dist.integrity and dist.shasum else ""


def release_of(version: str, fields: Mapping[str, Any]) -> Release:
    """A version out of a lock file's entry for it."""
    told = {**fields, "_hasShrinkwrap": fields.get("hasShrinkwrap")}
    manifest = _read_version(Raw(msgspec.json.encode(told)))
    return Release(
        version=version,
        declared=_pack(_declared(manifest)),
        integrity=fields.get("integrity", ""),
        engines=_engines(manifest.engines),
        deprecated=bool(manifest.deprecated),
        published=None,
    )


def _engines(value: Any) -> tuple[str, str]:
    """A range that is no text is one that nothing satisfies, as in npm."""
    if not isinstance(value, dict):
        return "", ""
    node, npm = value.get("node") or "", value.get("npm") or ""
    return node if isinstance(node, str) else "-", npm if isinstance(npm, str) else "-"


def _strings(value: Any) -> Strings:
    if not isinstance(value, dict):
        return {}
    return {key: each for key, each in value.items() if isinstance(each, str)}


def _texts(fields: Mapping[str, Raw], keys: tuple[str, ...]) -> Strings:
    return _strings({key: value_of(fields[key]) for key in keys if key in fields})


def _list(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    return [each for each in value if isinstance(each, str)] if isinstance(value, list) else _NONE
