"""Rendering a simple page: the canonical document and what Orchard holds, as JSON and as HTML."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

import msgspec

from shared.models import SealedFile
from shared.protocols.base import Rendering
from shared.protocols.pypi import names, negotiation
from shared.protocols.pypi.document import Document, File
from shared.protocols.pypi.sealing import SealedFiles

# Strongest first: the one put into an HTML link's fragment (PEP 503 names these as understood).
_FRAGMENT_ALGORITHMS = ("sha256", "sha512", "sha384", "sha224", "sha1", "md5")

_encoder = msgspec.json.Encoder()


def render_project(
    document: Document, sealed: Mapping[tuple[str, str], SealedFile], base_url: str
) -> dict[str, Rendering]:
    """Both representations of a project's page. File links are relative unless a base is given."""
    prefix = f"{base_url or '../..'}/files/{document.project}/"
    held = SealedFiles(document, sealed)
    files = [_served(file, document, held, prefix) for file in document.page["files"]]
    page = {**document.page, "files": files}
    return _renderings(page, _project_html(document, page, files))


def render_root(document: Document) -> dict[str, Rendering]:
    """Both representations of the list of projects."""
    page = document.page
    links = []
    for entry in page["projects"]:
        name = entry["name"]  # no character of a project's name needs escaping
        links.append(f'<a href="{names.normalise(name)}/">{name}</a><br>\n')
    html = _html(_version(document), [], "Simple index", links)
    return _renderings(page, html)


def _renderings(page: dict[str, Any], html: str) -> dict[str, Rendering]:
    return {
        "json": Rendering(_encoder.encode(page), negotiation.JSON),
        "html": Rendering(html.encode(), negotiation.DEFAULT[1]),
    }


def _served(file: File, document: Document, held: SealedFiles, prefix: str) -> File:
    """The entry as Orchard serves it. What is sealed only adds, and it wins over what changed."""
    filename = file["filename"]
    served = dict(file)
    sealed = held.find(file) if held.any else None
    if sealed is None:
        file_id = document.file_id(file)
    else:
        file_id = sealed.file_id
        _merge(served, sealed)
    served["url"] = f"{prefix}{file_id}/{filename}"
    return served


def _merge(served: File, sealed: SealedFile) -> None:
    hashes = served["hashes"]
    if hashes.get("sha256", sealed.sha256) != sealed.sha256:
        # Other bytes now lie under this name upstream: the first stay (ARCHITECTURE.md "Back-fill"),
        # and what describes the new bytes must not be shown with them.
        served["hashes"] = {"sha256": sealed.sha256}
        for key in ("core-metadata", "data-dist-info-metadata", "provenance", "gpg-sig"):
            served.pop(key, None)
    else:
        served["hashes"] = {**hashes, "sha256": sealed.sha256}
    served["size"] = sealed.size_bytes  # a download of another size than was shown is never sealed
    if sealed.metadata_sha256:
        pinned = {"sha256": sealed.metadata_sha256}
        served["core-metadata"] = pinned
        if "data-dist-info-metadata" in served:
            served["data-dist-info-metadata"] = pinned


def _version(document: Document) -> str:
    version: str = document.envelope.repository_version or document.page["meta"]["api-version"]
    return version


def _project_html(document: Document, page: dict[str, Any], files: list[File]) -> str:
    metas: list[tuple[str, str]] = []
    status = page.get("project-status")
    if isinstance(status, dict):
        for key, name in (("status", "project-status"), ("reason", "project-status-reason")):
            if isinstance(status.get(key), str):
                metas.append((name, status[key]))
    tracks = page["meta"].get("tracks")
    for name, values in (("tracks", tracks), ("alternate-locations", page.get("alternate-locations"))):
        if isinstance(values, list):
            metas.extend((name, value) for value in values if isinstance(value, str))
    escaped: dict[str, str] = {}  # a page has few distinct requires-python values
    links = [_anchor(file, escaped) for file in files]
    return _html(_version(document), metas, f"Links for {document.project}", links)


def _html(version: str, metas: list[tuple[str, str]], title: str, links: list[str]) -> str:
    lines = [
        '<!DOCTYPE html>\n<html>\n<head>\n<meta charset="utf-8">\n',
        f'<meta name="pypi:repository-version" content="{version}">\n',
        *(f'<meta name="pypi:{name}" content="{escape(content)}">\n' for name, content in metas),
        f"<title>{title}</title>\n</head>\n<body>\n<h1>{title}</h1>\n",
        *links,
        "</body>\n</html>\n",
    ]
    return "".join(lines)


def _anchor(file: File, escaped: dict[str, str]) -> str:
    filename = file["filename"]  # no character of a file's name needs escaping
    parts = [f'<a href="{file["url"]}{_fragment(file["hashes"])}"']
    requires_python = file.get("requires-python")
    if requires_python:
        text = escaped.get(requires_python)
        if text is None:
            text = escaped[requires_python] = escape(requires_python)
        parts.append(f' data-requires-python="{text}"')
    yanked = file.get("yanked")
    if yanked:
        parts.append(f' data-yanked="{escape(yanked) if isinstance(yanked, str) else ""}"')
    metadata = file.get("core-metadata", file.get("data-dist-info-metadata"))
    if metadata:
        value = "true" if metadata is True else _strongest(metadata)
        # PEP 714: old clients know only the first name that PEP 658 gave the attribute.
        parts.append(f' data-core-metadata="{value}" data-dist-info-metadata="{value}"')
    if "gpg-sig" in file and file["gpg-sig"] is not None:
        parts.append(f' data-gpg-sig="{"true" if file["gpg-sig"] else "false"}"')
    provenance = file.get("provenance")
    if provenance:
        parts.append(f' data-provenance="{escape(provenance)}"')
    parts.append(f">{filename}</a><br>\n")
    return "".join(parts)


def _fragment(hashes: dict[str, str]) -> str:
    for algorithm in _FRAGMENT_ALGORITHMS:
        if algorithm in hashes:
            return f"#{algorithm}={hashes[algorithm]}"
    return ""


def _strongest(hashes: dict[str, str]) -> str:
    for algorithm in _FRAGMENT_ALGORITHMS:
        if algorithm in hashes:
            return f"{algorithm}={hashes[algorithm]}"
    return "true"  # only algorithms that HTML clients do not know
