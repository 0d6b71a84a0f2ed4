"""Removing blocked versions and files from an index document, and reading versions from file names."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from shared.access.blocks import ProjectBlocks
from shared.errors import Blocked
from shared.models import SealedFile
from shared.protocols.pypi import names
from shared.protocols.pypi.document import Document, decode_document, encode_document
from shared.protocols.pypi.sealing import SealedFiles

_TARS = (".tar.gz", ".tar.bz2", ".tar.xz", ".tar.Z", ".zip", ".tgz", ".tbz", ".tar")
_SUFFIXES = (*_TARS, ".egg", ".exe", ".msi", ".rpm", ".deb", ".dmg")
# A version at the start of what else stands in the names of installers and eggs (PEP 440, loosely).
_START = re.compile(
    r"v?(?:[0-9]+!)?[0-9]+(?:\.[0-9]+)*(?:[._-]?(?:alpha|beta|pre|post|dev|rc|a|b|c)[._-]?[0-9]*)*", re.I
)

Sealed = Mapping[tuple[str, str], SealedFile]


def file_version(project: str, filename: str) -> str:
    """The canonical version in a file's name (its metadata's and signature's too), "" if it has none."""
    filename, _ = names.parent_file(filename)
    if filename.endswith(".whl"):
        parts = filename[:-4].split("-")  # binary distribution format: name-version(-build)-tags
        return names.canonical_version(parts[1].replace("_", "-")) if len(parts) >= 5 else ""
    stem = next((filename[: -len(suffix)] for suffix in _SUFFIXES if filename.endswith(suffix)), "")
    for at in (found.start() for found in re.finditer("-", stem)):
        if names.normalise(stem[:at]) == project:
            rest = stem[at + 1 :]
            if not filename.endswith((".tar.gz", ".zip")):  # others name platforms behind the version
                found = _START.match(rest)
                rest = found[0] if found is not None else rest
            return names.canonical_version(rest)
    return ""


def without_blocked(body: bytes, blocks: ProjectBlocks, sealed: Sealed) -> bytes:
    """The canonical bytes without what is blocked; the same bytes where nothing of it is there.

    Raises `Blocked` for a legacy document of one version that is blocked: there is nothing else in it.
    """
    document = decode_document(body)
    page = document.page
    if document.kind == "simple":
        held = SealedFiles(document, sealed)
        files = [file for file in page["files"] if not _is_blocked(document, file, blocks, held)]
        if len(files) == len(page["files"]):
            return body
        page = {**page, "files": files}
        if isinstance(page.get("versions"), list):
            declared = page["versions"]
            page["versions"] = [v for v in declared if names.canonical_version(v) not in blocks.versions]
    elif document.kind == "json":
        page = _legacy(document, blocks)
        if page is document.page:
            return body
    else:
        return body
    return encode_document(msgspec.structs.replace(document.envelope, page=page))


def _is_blocked(document: Document, file: dict[str, Any], blocks: ProjectBlocks, held: SealedFiles) -> bool:
    if file["hashes"].get("sha256") in blocks.digests:
        return True
    if blocks.versions and file_version(document.project, file["filename"]) in blocks.versions:
        return True
    if not blocks.digests or not held.any:
        return False
    sealed = held.find(file)
    return sealed is not None and sealed.sha256 in blocks.digests


def _legacy(document: Document, blocks: ProjectBlocks) -> dict[str, Any]:
    page = document.page
    version = str(page["info"].get("version", ""))
    reason = blocks.versions.get(names.canonical_version(version))
    if reason:
        raise Blocked(f"{document.project} {version} is blocked: {reason}")

    def kept(files: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [file for file in files if file["digests"].get("sha256") not in blocks.digests]

    found = dict(page)
    if "urls" in found:
        found["urls"] = kept(found["urls"])
    if isinstance(found.get("releases"), dict):
        found["releases"] = {
            each: kept(files)
            for each, files in found["releases"].items()
            if names.canonical_version(each) not in blocks.versions
        }
    return page if found == page else found
