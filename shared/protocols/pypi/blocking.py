"""Removing blocked versions and files from an index document, and reading versions from file names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
from packaging.version import InvalidVersion, Version

from shared.models import SealedFile
from shared.policy.project import ProjectVerdicts
from shared.policy.verdict import Verdict
from shared.protocols.pypi import names
from shared.protocols.pypi.document import Document, decode_document, encode_document
from shared.protocols.pypi.sealing import SealedFiles

Sealed = Mapping[tuple[str, str], SealedFile]


def file_version(project: str, filename: str) -> str:
    """The canonical version in a file's name (its metadata's and signature's too), "" if it has none."""
    return names.canonical_version(names.spelt_version(project, filename))


def without_blocked(body: bytes, verdicts: ProjectVerdicts, sealed: Sealed) -> bytes:
    """The canonical bytes without what is blocked; the same bytes where nothing of it is there.

    Raises `Blocked` or `TooYoung` for a legacy document with nothing left to tell of.
    """
    document = decode_document(body)
    page = document.page
    if document.kind == "simple":
        held = SealedFiles(document, sealed)
        files = [file for file in page["files"] if not _is_blocked(document, file, verdicts, held)]
        if len(files) == len(page["files"]):
            return body
        page = {**page, "files": files}
        if isinstance(page.get("versions"), list):
            gone = _versions(document, document.page["files"]) - _versions(document, files)
            gone |= verdicts.versions.keys()
            page["versions"] = [v for v in page["versions"] if names.canonical_version(v) not in gone]
    elif document.kind == "json":
        page = _legacy(document, verdicts)
        if page is document.page:
            return body
    else:
        return body
    return encode_document(msgspec.structs.replace(document.envelope, page=page))


def _is_blocked(
    document: Document, file: dict[str, Any], verdicts: ProjectVerdicts, held: SealedFiles
) -> bool:
    version = file_version(document.project, file["filename"]) if verdicts.versions else ""
    if not verdicts.of_file(version, file["filename"], file["hashes"].get("sha256", "")).allowed:
        return True
    if not verdicts.digests or not held.any:
        return False
    sealed = held.find(file)
    return sealed is not None and sealed.sha256 in verdicts.digests


def _versions(document: Document, files: Iterable[dict[str, Any]]) -> set[str]:
    return {file_version(document.project, file["filename"]) for file in files}


def _legacy(document: Document, verdicts: ProjectVerdicts) -> dict[str, Any]:
    """What is said of the newest version is of the newest that is left. Of its description only what a client
    decides by is taken out, which another version's would be wrong for."""
    page = document.page
    version = names.canonical_version(str(page["info"].get("version", "")))

    def why(files: list[dict[str, Any]], version: str) -> list[Verdict]:
        told = (
            verdicts.of_file(version, file["filename"], file["digests"].get("sha256", "")) for file in files
        )
        return [verdict for verdict in told if not verdict.allowed]

    found = dict(page)
    held = (
        [verdicts.versions[version]] if version in verdicts.versions else why(page.get("urls", []), version)
    )
    if isinstance(page.get("releases"), dict):
        left = {
            each: [file for file in files if not why([file], names.canonical_version(each))]
            for each, files in page["releases"].items()
            if names.canonical_version(each) not in verdicts.versions
        }
        found["releases"] = {
            each: files for each, files in left.items() if files or not page["releases"][each]
        }
    if "urls" in page:
        found["urls"] = [file for file in page["urls"] if not why([file], version)]
    if held and not found.get("urls"):
        asked = names.split_identity(document.envelope.identity)[2]
        newest = "" if asked else _newest(found.get("releases") or {})
        if not newest:
            raise held[0].refusal(f"{document.project} {version}")
        found["urls"] = found["releases"][newest]
        found["info"] = {**page["info"], "version": newest, "requires_dist": None, "requires_python": None}
    return page if found == page else found


def _newest(releases: Mapping[str, list[dict[str, Any]]]) -> str:
    """The version that an install without a version would take; "" of none."""
    fit = [parsed for each, files in releases.items() if files and (parsed := _parsed(each)) is not None]
    fit = [each for each in fit if not each[0].is_prerelease] or fit
    return max(fit)[1] if fit else ""


def _parsed(version: str) -> tuple[Version, str] | None:
    try:
        return Version(version), version
    except InvalidVersion:
        return None
