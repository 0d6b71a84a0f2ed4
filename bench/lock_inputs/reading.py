"""Which files a lock names, read plainly: with `tomllib`, `json`, PyYAML and ElementTree, and with nothing of
the readers that are tried here."""

from __future__ import annotations

import base64
import json
import re
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote
from xml.etree import ElementTree

import msgspec
import yaml

MVN_FILES = "files.txt"
"""What `mvn` took for a pom.xml, beside it: a line of name, version, file name and digest each."""


class Named(msgspec.Struct, frozen=True, order=True):
    """One file as a lock names it; "" for what the lock does not tell."""

    name: str  # lower case, "_" and "." of Python's and cargo's names as "-"
    version: str
    filename: str = ""
    digest: str = ""  # "sha512:{hex}"
    optional: bool = False  # there need not be such a file


def read(form: str, path: Path) -> set[Named]:
    """The files that a lock of this format names."""
    return set(READERS[form]((path.with_name(MVN_FILES) if form == "pom.xml" else path).read_text()))


def plain(name: str) -> str:
    """A name as PEP 503 and cargo compare names."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _base(address: str) -> str:
    return unquote(address.partition("#")[0].partition("?")[0].rpartition("/")[2])


# --- Python -----------------------------------------------------------------------------------------


def _uv(text: str) -> Iterator[Named]:
    for package in tomllib.loads(text)["package"]:
        if "registry" in package["source"]:
            for file in [*package.get("wheels", ()), *filter(None, [package.get("sdist")])]:
                yield Named(plain(package["name"]), package["version"], _base(file["url"]), file["hash"])


def _pylock(text: str) -> Iterator[Named]:
    for package in tomllib.loads(text)["packages"]:
        for file in [*package.get("wheels", ()), *filter(None, [package.get("sdist")])]:
            name = file.get("name") or _base(file["url"])
            yield Named(
                plain(package["name"]), package["version"], name, f"sha256:{file['hashes']['sha256']}"
            )


def _listed(text: str) -> Iterator[Named]:
    for package in tomllib.loads(text)["package"]:
        for file in package["files"]:
            name = file.get("file") or _base(file["url"])
            yield Named(plain(package["name"]), package["version"], name, file["hash"])


def _requirements(text: str) -> Iterator[Named]:
    for line in re.sub(r"\\\n", " ", text).splitlines():
        pin = re.match(r"\s*([\w.-]+)(?:\[[^]]*\])?==([^\s;]+)", line)
        if pin:
            for digest in re.findall(r"--hash=(\S+)", line):
                yield Named(plain(pin[1]), pin[2], "", digest)


# --- Node.js ----------------------------------------------------------------------------------------


def _hex(integrity: str) -> str:
    """Of the strongest digest of Subresource Integrity."""
    told = dict(each.split("-", 1) for each in integrity.split())
    algorithm = max(told, default="")
    return f"{algorithm}:{base64.b64decode(told[algorithm]).hex()}" if algorithm else ""


def _package_lock(text: str) -> Iterator[Named]:
    lock = json.loads(text)
    if "packages" not in lock:
        yield from _nested(lock)
        return
    for place, entry in lock["packages"].items():
        if "node_modules/" in place and not entry.get("link") and not entry.get("inBundle"):
            name = entry.get("name") or place.rpartition("node_modules/")[2]
            yield Named(name, entry["version"], "", _hex(entry["integrity"]))


def _nested(entry: Mapping[str, Any]) -> Iterator[Named]:
    for name, each in entry.get("dependencies", {}).items():
        alias = re.fullmatch(r"npm:(.+)@(.+)", each["version"])
        if not each.get("bundled") and not each["version"].startswith("file:"):
            yield Named(*(alias.groups() if alias else (name, each["version"])), "", _hex(each["integrity"]))
        yield from _nested(each)


def _pnpm(text: str) -> Iterator[Named]:
    for document in yaml.safe_load_all(text):
        for key, entry in document.get("packages", {}).items():
            name, _, version = key.removeprefix("/").partition("(")[0].rpartition("@")
            yield Named(name, version, "", _hex(entry["resolution"]["integrity"]))


def _yarn_1(text: str) -> Iterator[Named]:
    for block in re.split(r"\n\n+", text):
        found = re.search(r'^"?((?:@[^/]+/)?[^@"\s]+)@(?:npm:((?:@[^/]+/)?[^@"\s]+)@)?', block, re.MULTILINE)
        told = dict(re.findall(r'^  (version|integrity) "?([^"\n]+)', block, re.MULTILINE))
        if found and told:
            yield Named(found[2] or found[1], told["version"], "", _hex(told["integrity"]))


def _yarn_4(text: str) -> Iterator[Named]:
    for key, entry in yaml.safe_load(text).items():
        source = re.fullmatch(r"(.+)@npm:([^:]+)(?:::.*)?", str(entry.get("resolution", "")))
        if key != "__metadata" and source:
            yield Named(source[1], source[2])


# --- Rust and Java ----------------------------------------------------------------------------------


def _cargo(text: str) -> Iterator[Named]:
    for package in tomllib.loads(text)["package"]:
        if "source" in package:
            yield Named(plain(package["name"]), package["version"], "", f"sha256:{package['checksum']}")


def _gradle(text: str) -> Iterator[Named]:
    for line in text.splitlines():
        parts = line.partition("=")[0].split(":")
        if len(parts) == 3 and not line.startswith("#"):
            group, artifact, version = parts
            name = f"{group}:{artifact}"
            yield Named(name, version, f"{artifact}-{version}.pom")
            yield Named(name, version, f"{artifact}-{version}.jar", optional=True)


def _verification(text: str) -> Iterator[Named]:
    for component in ElementTree.fromstring(text).iterfind(".//{*}component"):  # made here
        for artifact in component.iterfind("{*}artifact"):
            name = f"{component.attrib['group']}:{component.attrib['name']}"
            for checksum in artifact.iterfind("{*}sha256"):
                digest = f"sha256:{checksum.attrib['value']}"
                yield Named(name, component.attrib["version"], artifact.attrib["name"], digest)


def _mvn(text: str) -> Iterator[Named]:
    for line in text.splitlines():
        yield Named(*line.split(" "))


# --- bills of materials -----------------------------------------------------------------------------


def _of_purl(purl: str, hashes: Iterable[tuple[str, str]]) -> Named:
    path, _, qualifiers = purl.removeprefix("pkg:").partition("?")
    kind, _, rest = path.partition("/")
    name, _, version = rest.rpartition("@")
    name = unquote(name).replace("/", ":") if kind == "maven" else unquote(name)
    told = {algorithm.lower().replace("-", ""): digest for algorithm, digest in hashes}
    algorithm = max(told, default="")
    values = dict(each.split("=", 1) for each in qualifiers.split("&") if "=" in each)
    return Named(
        plain(name) if kind in ("pypi", "cargo") else name,
        unquote(version),
        unquote(values.get("file_name", "")),
        f"{algorithm}:{told[algorithm]}" if algorithm else "",
    )


def _cyclonedx(text: str) -> Iterator[Named]:
    for component in json.loads(text)["components"]:
        files = [
            (_base(each["url"]), [(one["alg"], one["content"]) for one in each["hashes"]])
            for each in component.get("externalReferences", ())
            if each["type"] == "distribution" and each.get("hashes")
        ]
        own = [(each["alg"], each["content"]) for each in component.get("hashes", ())]
        for filename, hashes in files or [("", own)]:
            named = _of_purl(component["purl"], hashes)
            told = filename if component["purl"].startswith("pkg:pypi") else ""
            yield msgspec.structs.replace(named, filename=named.filename or told)


def _spdx(text: str) -> Iterator[Named]:
    bom = json.loads(text)
    described = {
        *bom.get("documentDescribes", ()),
        *(
            each["relatedSpdxElement"]
            for each in bom.get("relationships", ())
            if each["relationshipType"] == "DESCRIBES"
        ),
    }
    for package in bom["packages"]:
        if package["SPDXID"] in described:
            continue
        hashes = [(each["algorithm"], each["checksumValue"]) for each in package.get("checksums", ())]
        for reference in package.get("externalRefs", ()):
            if reference["referenceType"] == "purl":
                yield _of_purl(reference["referenceLocator"], hashes)


READERS: Mapping[str, Callable[[str], Iterator[Named]]] = {
    "uv.lock": _uv,
    "pylock.toml": _pylock,
    "poetry.lock": _listed,
    "pdm.lock": _listed,
    "requirements.txt": _requirements,
    "package-lock.json 1": _package_lock,
    "package-lock.json 2": _package_lock,
    "package-lock.json 3": _package_lock,
    "pnpm-lock.yaml 6": _pnpm,
    "pnpm-lock.yaml 9": _pnpm,
    "yarn.lock 1": _yarn_1,
    "yarn.lock 4": _yarn_4,
    "Cargo.lock": _cargo,
    "gradle.lockfile": _gradle,
    "verification-metadata.xml": _verification,
    "pom.xml": _mvn,
    "CycloneDX": _cyclonedx,
    "SPDX": _spdx,
}
"""By format, as the table calls it."""
