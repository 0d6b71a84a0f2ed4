"""Crates of folders, as a sparse index: each line is made of the crate's own manifest."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Sequence
from typing import Any, BinaryIO

import msgspec

from shared.protocols.cargo import names
from shared.protocols.cargo.entries import BadEntry, read_entry
from shared.protocols.cargo.metadata import MANIFEST
from shared.protocols.cargo.semver import parse_version
from shared.protocols.reading.tarballs import BadArchive, read_top_file
from shared.protocols.roles.importing import Beside, Damaged, Imported, Importing, Listed, Page

FILES = "crates"  # below the source's address: {crate}/{version}/download
_KINDS = (("dependencies", "normal"), ("build-dependencies", "build"), ("dev-dependencies", "dev"))


class CargoImporting(Importing):
    """A crate is what the manifest in it says that it is."""

    def may_be(self, parts: Sequence[str]) -> bool:
        return parts[-1].endswith(".crate")

    def read(self, parts: Sequence[str], file: BinaryIO, size_bytes: int, beside: Beside) -> Listed:
        try:
            folder, content = read_top_file(file, MANIFEST)
            manifest = tomllib.loads(content.decode())
        except BadArchive as error:
            raise Damaged(str(error)) from None
        except (ValueError, RecursionError):
            raise Damaged(f"its {MANIFEST} is not valid TOML") from None
        package = _table(manifest.get("package"))
        name, version = package.get("name"), package.get("version")
        if not isinstance(name, str) or not names.is_name(name):
            raise Damaged(f"its {MANIFEST} has no name that a crate can have")
        if not isinstance(version, str) or parse_version(version) is None:
            raise Damaged(f"its {MANIFEST} has no version")
        if folder != f"{name}-{version}":
            raise Damaged("its files lie in another folder than its manifest says")
        line = _line(name, version, package, manifest)
        try:
            read_entry(msgspec.json.encode({**line, "cksum": "0" * 64}))
        except BadEntry as error:
            raise Damaged(str(error)) from None
        path = f"{FILES}/{name}/{version}/download"
        return Listed(
            names.canonical(name), version, names.filename(name, version), path, msgspec.json.encode(line)
        )

    def project_at(self, path: str) -> str | None:
        if path == names.CONFIG:
            return ""
        name = path.rpartition("/")[2]
        return name if names.is_name(name) and names.index_path(name) == path else None

    def page(self, path: str, address: str, files: Sequence[Imported]) -> Page | None:
        if path == names.CONFIG:
            return Page("application/json", msgspec.json.encode({"dl": f"{address}{FILES}"}))
        ordered = sorted(files, key=lambda each: _order(each.listed.version))
        lines = [
            msgspec.json.encode({**msgspec.json.decode(each.listed.about), "cksum": each.sha256}) + b"\n"
            for each in ordered
        ]
        return Page("text/plain", b"".join(lines)) if lines else None


def _order(version: str) -> Any:
    found = parse_version(version)
    assert found is not None  # looked at when it was read
    return found.precedence


def _line(name: str, version: str, package: dict[str, Any], manifest: dict[str, Any]) -> dict[str, Any]:
    """All but `cksum` (The Cargo Book, "Registry Index", "JSON schema")."""
    features = _table(manifest.get("features"))
    newer = {
        each: values
        for each, values in features.items()
        if isinstance(values, list) and any("dep:" in str(value) or "?/" in str(value) for value in values)
    }
    return {
        "name": name,
        "vers": version,
        "deps": [*_dependencies(manifest)],
        "features": {each: values for each, values in features.items() if each not in newer},
        "yanked": False,
        "links": package.get("links"),
        **({"rust_version": package["rust-version"]} if "rust-version" in package else {}),
        **({"features2": newer, "v": 2} if newer else {}),
    }


def _dependencies(manifest: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for target, tables in [(None, manifest), *_table(manifest.get("target")).items()]:
        for key, kind in _KINDS:
            for name, wanted in _table(_table(tables).get(key)).items():
                told = {"version": wanted} if isinstance(wanted, str) else _table(wanted)
                yield {
                    "name": name,
                    "req": told.get("version", "*"),
                    "features": told.get("features", []),
                    "optional": told.get("optional", False),
                    "default_features": told.get("default-features", told.get("default_features", True)),
                    "target": target,
                    "kind": kind,
                    "registry": told.get("registry-index"),
                    "package": told.get("package"),
                }


def _table(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
