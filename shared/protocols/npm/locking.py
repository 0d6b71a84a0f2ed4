"""What a package-lock.json tells of a package beside its name, version and tarball.

The keys that npm writes there (npm documentation, "package-lock.json"), in the forms that npm
normalises a package.json to ("package.json", "bin", "funding", "license").
"""

from __future__ import annotations

from typing import Any

from shared.protocols.npm.document import Document, fields_of, value_of

_TABLES = (
    "dependencies",
    "peerDependencies",
    "peerDependenciesMeta",
    "optionalDependencies",
    "acceptDependencies",
    "engines",
)
_LISTS = ("os", "cpu", "libc")
_SCRIPTS = ("preinstall", "install", "postinstall")


def lock_fields(document: Document, version: str) -> dict[str, Any] | None:
    """The fields of one version, None for one that the document lacks."""
    raw = document.versions.get(version)
    if raw is None:
        return None
    fields = fields_of(raw)
    about = {name: value_of(fields[name]) for name in fields.keys() - {"dist", "readme"}}
    found: dict[str, Any] = {}
    for name in _TABLES:
        table = about.get(name)
        if isinstance(table, dict) and table:
            found[name] = table
    optional = found.get("optionalDependencies", {})
    plain = {name: text for name, text in found.get("dependencies", {}).items() if name not in optional}
    found.pop("dependencies", None)
    if plain:
        found["dependencies"] = plain
    bundled = about.get("bundleDependencies", about.get("bundledDependencies"))
    if bundled is True:
        bundled = sorted(plain)
    if isinstance(bundled, list) and bundled:
        found["bundleDependencies"] = bundled
    for name in _LISTS:
        value = about.get(name)
        value = [value] if isinstance(value, str) and value else value
        if isinstance(value, list) and value:
            found[name] = value
    found |= _texts(about)
    bin_ = _bin(document.name, about.get("bin"))
    if bin_:
        found["bin"] = bin_
    scripts = about.get("scripts")
    runs = isinstance(scripts, dict) and any(scripts.get(name) for name in _SCRIPTS)
    if runs or about.get("hasInstallScript") is True:
        found["hasInstallScript"] = True
    if about.get("_hasShrinkwrap") is True:
        found["hasShrinkwrap"] = True
    return dict(sorted(found.items()))


def _texts(about: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    license_ = about.get("license")
    if isinstance(license_, dict):
        license_ = license_.get("type")
    if isinstance(license_, str) and license_:
        found["license"] = license_
    if isinstance(about.get("deprecated"), str) and about["deprecated"]:
        found["deprecated"] = about["deprecated"]
    funding = about.get("funding")
    if isinstance(funding, str) and funding:
        funding = {"url": funding}
    if isinstance(funding, (dict, list)) and funding:
        found["funding"] = funding
    return found


def _bin(name: str, declared: Any) -> dict[str, str]:
    """Commands → paths inside the package; one path alone is named as the package is."""
    if isinstance(declared, str):
        declared = {name.rpartition("/")[2]: declared}
    if not isinstance(declared, dict):
        return {}
    paths = {each: path for each, path in declared.items() if isinstance(path, str) and path}
    return {each.rpartition("/")[2]: path.removeprefix("./").lstrip("/") for each, path in paths.items()}
