"""Tarballs of folders and of Verdaccio's storage, as a packument."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, BinaryIO
from urllib.parse import quote

import msgspec

from shared.protocols.npm import names
from shared.protocols.npm.dist import hashes_of, integrity_of
from shared.protocols.npm.semver import parse_version
from shared.protocols.reading.json_text import fields_of
from shared.protocols.reading.tarballs import BadArchive, NoSuchMember, read_top_file
from shared.protocols.roles.importing import (
    Beside,
    Damaged,
    Imported,
    Importing,
    Listed,
    NotMine,
    Page,
    Told,
)

PACKUMENT = "package.json"  # of a package's folder in Verdaccio's storage
# Of a package.json: what clients resolve and install by (npm documentation, "package.json").
_KEPT = (
    "name", "version", "description", "license", "dependencies", "optionalDependencies", "peerDependencies",
    "peerDependenciesMeta", "bundleDependencies", "bundledDependencies", "bin", "engines", "os", "cpu",
    "libc",
)  # fmt: skip
_SCRIPTS = ("preinstall", "install", "postinstall")


class NpmImporting(Importing):
    """A package is what its tarball says that it is."""

    def may_be(self, parts: Sequence[str]) -> bool:
        return parts[-1].endswith(".tgz")

    def told(self, parts: Sequence[str], beside: Beside) -> tuple[Told, ...]:
        dist = msgspec.Raw(msgspec.json.encode(_version_beside(parts, beside).get("dist")))
        found = hashes_of(fields_of(dist))
        return tuple(Told((each,), found[each]) for each in ("sha512", "sha1") if each in found)

    def read(self, parts: Sequence[str], file: BinaryIO, size_bytes: int, beside: Beside) -> Listed:
        try:
            _, content = read_top_file(file, "package.json")
        except NoSuchMember as error:
            raise NotMine(str(error)) from None
        except BadArchive as error:
            raise Damaged(str(error)) from None
        manifest = _object(content)
        name, version = manifest.get("name"), manifest.get("version")
        if not isinstance(name, str) or not names.is_name(name):
            raise Damaged("its package.json has no name that a package can have")
        if not isinstance(version, str) or parse_version(version) is None or not names.is_spec(version):
            raise Damaged("its package.json has no version")
        stored = _version_beside(parts, beside)
        if stored and (stored.get("name"), stored.get("version")) != (name, version):
            raise Damaged(f"its store lists it as another package than its package.json: {name} {version}")
        about = {key: manifest[key] for key in _KEPT if key in manifest}
        scripts = _fields(manifest.get("scripts"))
        about |= {"hasInstallScript": True} if any(each in scripts for each in _SCRIPTS) else {}
        about |= {"deprecated": stored["deprecated"]} if stored.get("deprecated") else {}
        tags = [tag for tag, tagged in _tags_beside(parts, beside).items() if tagged == version]
        filename = names.tarball_name(name, version)
        kept = msgspec.json.encode({"manifest": about, "tags": tags})
        return Listed(name, version, filename, f"{name}/-/{filename}", kept)

    def project_at(self, path: str) -> str | None:
        name, _, spec = path.partition("/") if not path.startswith("@") else _scoped(path)
        return name if names.is_name(name) and (not spec or names.is_version_or_tag(spec)) else None

    def page(self, path: str, address: str, files: Sequence[Imported]) -> Page | None:
        if not files:
            return None
        versions, tags = {}, dict[str, str]()
        for each in sorted(files, key=lambda each: _order(each.listed.version)):
            kept = msgspec.json.decode(each.listed.about)
            dist = {
                "tarball": address + quote(each.listed.path, safe="/@!'()*~"),
                "integrity": integrity_of("sha512", each.digests["sha512"]),
                "shasum": each.digests["sha1"],
            }
            versions[each.listed.version] = {**kept["manifest"], "dist": dist}
            tags |= dict.fromkeys(kept["tags"], each.listed.version)  # of several the highest
        plain = [each for each in versions if "-" not in each.partition("+")[0]]
        tags.setdefault("latest", (plain or list(versions))[-1])
        name = files[0].listed.project
        spec = path.removeprefix(name).removeprefix("/")
        if spec:
            found = versions.get(tags.get(spec, spec))
            return None if found is None else Page("application/json", msgspec.json.encode(found))
        packument = {"_id": name, "name": name, "dist-tags": tags, "versions": versions}
        return Page("application/json", msgspec.json.encode(packument))


def _order(version: str) -> Any:
    found = parse_version(version)
    assert found is not None  # looked at when it was read
    return found.key


def _scoped(path: str) -> tuple[str, str, str]:
    scope, _, rest = path.partition("/")
    name, slash, spec = rest.partition("/")
    return f"{scope}/{name}", slash, spec


def _version_beside(parts: Sequence[str], beside: Beside) -> dict[str, Any]:
    """What Verdaccio's packument in the same folder says of a tarball; {} where there is none. Raises
    `Damaged` where it is one, and does not list the tarball."""
    packument = _packument(beside(PACKUMENT) or b"")
    versions = _fields(packument.get("versions"))
    name = packument.get("name")
    if not versions or not isinstance(name, str) or not "/".join(parts[:-1]).endswith(name):
        return {}
    base = name.rpartition("/")[2]
    version = parts[-1].removeprefix(f"{base}-").removesuffix(".tgz")
    found = _fields(versions.get(version))
    if not found:
        raise Damaged(f"its store lists no version {version[:80]} of {name}")
    return found


def _tags_beside(parts: Sequence[str], beside: Beside) -> dict[str, Any]:
    return _fields(_packument(beside(PACKUMENT) or b"").get("dist-tags"))


@lru_cache(2)  # asked for each tarball of a folder
def _packument(content: bytes) -> dict[str, Any]:
    try:
        return _object(content)
    except Damaged:
        return {}


def _object(content: bytes) -> dict[str, Any]:
    try:
        found = msgspec.json.decode(content.removeprefix(b"\xef\xbb\xbf"))
    except (msgspec.DecodeError, RecursionError, ValueError):
        raise Damaged("its package.json is not valid JSON") from None
    return _fields(found)


def _fields(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
