"""Reading an upstream's index, JSON or HTML, into one canonical document."""

from __future__ import annotations

from typing import Any

from shared.errors import UpstreamInvalid
from shared.models import FileName, UpstreamSource
from shared.protocols.pypi import dates, html, names, projects, provenance
from shared.protocols.pypi.document import (
    DOCUMENT_FORMAT,
    Document,
    Envelope,
    advertise,
    decode_document,
    encode_document,
    find_file,
)
from shared.protocols.pypi.entries import as_hashes, check_address, read_hashes
from shared.protocols.pypi.meta import check_meta
from shared.protocols.pypi.names import simple_identity, split_identity
from shared.protocols.pypi.usual import check_files
from shared.protocols.reading.json_text import load_tree
from shared.protocols.reading.links import Dropped, Links
from shared.protocols.roles.documents import Documents, IndexDocument

MAX_ENTRIES = 1_000_000


def read_index(
    identity: str, source: UpstreamSource, *, url: str, content_type: str, body: bytes
) -> IndexDocument:
    """The canonical document of an upstream's answer; see `Documents.read_index`."""
    kind, project, _ = split_identity(identity)
    page: dict[str, Any]
    if not body.strip():
        raise UpstreamInvalid("the upstream sent an empty index")
    dropped = Dropped()
    links = Links(url)
    repository_version = ""
    offered = None
    if kind == "json":
        page = _legacy_page(_load(body), project, links, dropped)
    elif project:
        if _is_json(content_type, body):
            page = _load(body)
        else:
            page, repository_version = html.read_project(body, content_type, project, url, dropped)
        page = _project_page(page, project, links, dropped)
        offered = advertise(page["files"])
    else:
        if _is_json(content_type, body):
            page = projects.read_json(body, dropped)
        else:
            page, repository_version = html.read_root(body, content_type, dropped)
        check_meta(page, dropped)
    envelope = Envelope(
        format=DOCUMENT_FORMAT,
        identity=identity,
        source=source.name,
        page=page,
        repository_version=repository_version,
        offered=offered,
    )
    document = Document(envelope) if project else None  # a list is smaller read from its text
    return IndexDocument(encode_document(envelope), tuple(dropped.reasons), document)


def _is_json(content_type: str, body: bytes) -> bool:
    media = content_type.partition(";")[0].strip().lower()
    if media.endswith("json"):
        return True
    if "html" in media:
        return False
    return (
        body.removeprefix(b"\xef\xbb\xbf").lstrip()[:1] == b"{"
    )  # indexes kept as plain files come with any type at all


def _load(body: bytes) -> dict[str, Any]:
    try:
        return load_tree(body)
    except ValueError as error:
        raise UpstreamInvalid("the upstream's index is not valid JSON") from error


def _project_page(page: dict[str, Any], project: str, links: Links, dropped: Dropped) -> dict[str, Any]:
    """A page of PEP 691's shape whose every file can be served; unknown keys as they were."""
    check_meta(page, dropped)
    name = page.get("name")
    if not isinstance(name, str) or not name.strip():
        page["name"] = project  # clients do not read it
    elif names.normalise(name.strip()) != project:
        raise UpstreamInvalid("the upstream's index is of another project")
    files = page.get("files")
    if not isinstance(files, list):
        raise UpstreamInvalid("the upstream's index has no list of files")
    if len(files) > MAX_ENTRIES:
        raise UpstreamInvalid(f"the upstream's index lists more than {MAX_ENTRIES} files")
    versions = page.get("versions")
    if versions is not None and not _is_list_of_text(versions):
        dropped.add("versions is not a list of strings", versions)
        del page["versions"]
    _mend_status(page, dropped)
    page["files"] = check_files(files, links, dropped)
    return page


def _mend_status(page: dict[str, Any], dropped: Dropped) -> None:
    """PEP 792's object of two texts; uv refuses the page for another shape."""
    if "project-status" not in page:
        return
    declared = page["project-status"]
    status = {"status": declared} if isinstance(declared, str) else declared
    if isinstance(status, dict):
        page["project-status"] = {
            key: value
            for key, value in status.items()
            if isinstance(value, str) or key not in ("status", "reason")
        }
    else:
        del page["project-status"]
    if page.get("project-status") != declared:
        dropped.add("project-status of a wrong kind", declared)


def _legacy_page(page: dict[str, Any], project: str, links: Links, dropped: Dropped) -> dict[str, Any]:
    """A legacy JSON document whose file URLs are absolute; all else is left as it is."""
    info = page.get("info")
    if not isinstance(info, dict) or names.normalise(str(info.get("name"))) != project:
        raise UpstreamInvalid("the upstream's document is not of this project")
    if "urls" in page:
        page["urls"] = _legacy_files(page["urls"], links, dropped)
    releases = page.get("releases")
    if releases is not None:
        if not isinstance(releases, dict):
            raise UpstreamInvalid("the upstream's document has releases of a wrong shape")
        for version, files in releases.items():
            releases[version] = _legacy_files(files, links, dropped)
    return page


def _legacy_files(files: Any, links: Links, dropped: Dropped) -> list[dict[str, Any]]:
    if not isinstance(files, list):
        raise UpstreamInvalid("the upstream's document has a list of files of a wrong shape")
    kept = []
    for file in files:
        if not isinstance(file, dict) or not check_address(file, links, dropped):
            continue
        digests = read_hashes(as_hashes(file.get("digests")), dropped)
        if digests is not None:
            file["digests"] = digests
            kept.append(file)
    return kept


def _is_list_of_text(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


class PyPIDocuments(Documents):
    """Simple pages in JSON or HTML, and documents of the legacy API."""

    read_index = staticmethod(read_index)
    decode_document = staticmethod(decode_document)
    find_file = staticmethod(find_file)
    dated = staticmethod(dates.dated)
    traits = staticmethod(dates.traits)
    dated_name = staticmethod(dates.dated_name)
    unlisted = staticmethod(dates.unlisted)
    stands_for_entry = staticmethod(dates.stands_for_entry)
    attested = staticmethod(provenance.attested)
    attestations = staticmethod(provenance.attestations)
    is_subject = staticmethod(provenance.is_subject)
    remarks = staticmethod(dates.remarks)
    edition = 1  # since every wheel's metadata is advertised

    def edition_of(self, document: Document) -> int:
        return 0 if document.kind == "simple" and document.offered is None else 1

    def entry_identities(self, file: FileName) -> tuple[str, ...]:
        return (simple_identity(file.project),)

    def lists_files(self, identity: str, document: Document) -> bool:
        return document.kind == "simple" and bool(document.by_name)
