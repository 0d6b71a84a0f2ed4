"""What clients get for an index of PyPI: simple pages, the list of all projects, legacy documents.

A simple page is made of the canonical document and what Orchard holds, as JSON and as HTML; a legacy one
(JSON API) is the upstream's document with its file URLs turned into Orchard's.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from html import escape
from io import BytesIO
from typing import Any

import msgspec

from shared.errors import UpstreamInvalid
from shared.models import SealedFile
from shared.policy.project import ProjectVerdicts
from shared.protocols.pypi import blocking, html_pages, names, negotiation, sealing
from shared.protocols.pypi.document import Document, File
from shared.protocols.pypi.projects import listed
from shared.protocols.pypi.relaying import relayed
from shared.protocols.pypi.sealing import SealedFiles
from shared.protocols.roles.pages import Pages, Relayed, Rendering

# Strongest first: the one put into an HTML link's fragment (PEP 503 names these as understood).
_FRAGMENT_ALGORITHMS = ("sha256", "sha512", "sha384", "sha224", "sha1", "md5")

_encoder = msgspec.json.Encoder()


def render_project(
    document: Document, sealed: Mapping[tuple[str, str], SealedFile], base_url: str
) -> dict[str, Rendering]:
    """Both representations of a project's page. File links are relative unless a base is given."""
    prefix = f"{base_url or '../..'}/files/{document.project}/"
    held, bare = SealedFiles(document, sealed), SealedFiles(document, {})

    @cache
    def page() -> dict[str, Any]:
        files = [_served(file, document, held, prefix) for file in document.page["files"]]
        return {**document.page, "files": files}

    changed = held.any and any(
        _served(file, document, held, prefix) != _served(file, document, bare, prefix)
        for file in document.page["files"]
        if held.find(file) is not None
    )
    return _renderings(page, lambda: _project_html(document, page()), is_changed=changed)


def render_root(document: Document) -> dict[str, Rendering]:
    """Both representations of the list of projects."""
    return _renderings(lambda: document.page, lambda: _root_html(document))


def _renderings(
    page: Callable[[], dict[str, Any]], html: Callable[[], bytes], *, is_changed: bool = False
) -> dict[str, Rendering]:
    return {
        "json": Rendering(lambda: _encoder.encode(page()), negotiation.JSON, is_changed=is_changed),
        "html": Rendering(html, negotiation.DEFAULT[1], is_changed=is_changed),
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


def _root_html(document: Document) -> bytes:
    projects = listed(document.page["projects"])
    return _html(
        document.repository_version, [], html_pages.LIST_TITLE, map(html_pages.project_link, projects)
    )


def _project_html(document: Document, page: dict[str, Any]) -> bytes:
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
    links = [_anchor(file, escaped) for file in page["files"]]
    return _html(document.repository_version, metas, f"Links for {document.project}", links)


def _html(version: str, metas: list[tuple[str, str]], title: str, links: Iterable[str]) -> bytes:
    page = BytesIO()  # lines of a list of all projects, held apart, would take twice the page
    for line in itertools.chain((html_pages.head(version, metas, title),), links, (html_pages.END,)):
        page.write(line.encode())
    return page.getvalue()


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


def render_legacy(
    document: Document, sealed: Mapping[tuple[str, str], SealedFile], base_url: str
) -> dict[str, Rendering]:
    """The one representation of a legacy document; only the `url` of each file is changed.

    These links are absolute in every registry, so the body differs per public base URL.
    """
    prefix = f"{base_url}/files/{document.project}/"
    page = _legacy_page(document, SealedFiles(document, sealed), prefix)
    changed = bool(sealed) and page != _legacy_page(document, SealedFiles(document, {}), prefix)
    return {"json": Rendering(lambda: _encoder.encode(page), "application/json", is_changed=changed)}


def _legacy_page(document: Document, held: SealedFiles, prefix: str) -> dict[str, Any]:
    page = dict(document.page)
    if "urls" in page:
        page["urls"] = [_legacy_file(file, document, held, prefix) for file in page["urls"]]
    if isinstance(page.get("releases"), dict):
        page["releases"] = {
            version: [_legacy_file(file, document, held, prefix) for file in files]
            for version, files in page["releases"].items()
        }
    return page


def _legacy_file(file: dict[str, Any], document: Document, held: SealedFiles, prefix: str) -> dict[str, Any]:
    filename = file["filename"]
    served = dict(file)
    sha256 = file["digests"].get("sha256")
    sealed = held.find({"filename": filename, "hashes": file["digests"]}) if held.any else None
    if sealed is None:
        file_id = sha256 or document.stable_id(filename)
    else:
        file_id = sealed.file_id
        if sha256 is not None and sha256 != sealed.sha256:  # the first bytes stay, so do their facts
            served["digests"] = {"sha256": sealed.sha256}
            served["size"] = sealed.size_bytes
    served["url"] = f"{prefix}{file_id}/{filename}"
    return served


Sealed = Mapping[tuple[str, str], SealedFile]


class PyPIPages(Pages):
    """Relative links on simple pages; absolute ones in legacy documents."""

    mutated_files = staticmethod(sealing.mutated_files)

    def per_base_url(self, identity: str) -> bool:
        return names.split_identity(identity)[0] == "json"

    def rewrite_index(
        self, identity: str, document: Document, *, sealed: Sealed, base_url: str
    ) -> dict[str, Rendering]:
        if identity != document.envelope.identity:
            raise UpstreamInvalid("the stored index document is of another index")
        if document.kind == "root":
            return render_root(document)
        if document.kind == "json":
            return render_legacy(document, sealed, base_url)
        return render_project(document, sealed, base_url)

    def without_blocked(self, identity: str, body: bytes, verdicts: ProjectVerdicts, sealed: Sealed) -> bytes:
        return blocking.without_blocked(body, verdicts, sealed)

    def relayed(self, identity: str, representation: str, content_type: str) -> Relayed | None:
        return relayed(representation, content_type) if identity == names.ROOT else None

    def wants_previous(self, document: Document, sealed: Sealed) -> bool:
        return document.kind == "simple"

    def carry_over(self, document: Any, previous: Any, sealed: Sealed, now: float) -> bytes | None:
        return sealing.carry_over(document, previous, sealed)
