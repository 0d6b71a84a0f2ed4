"""Reading what an upstream sent as an index: JSON or HTML, into one canonical document."""

from __future__ import annotations

from typing import Any

from shared.errors import UpstreamInvalid
from shared.models import UpstreamSource
from shared.protocols.base import IndexDocument
from shared.protocols.json_text import load_tree
from shared.protocols.links import Dropped, Links
from shared.protocols.pypi import html, names
from shared.protocols.pypi.api_version import api_version
from shared.protocols.pypi.document import DOCUMENT_FORMAT, Envelope, encode_document
from shared.protocols.pypi.entries import as_hashes, check_address, check_file, read_hashes
from shared.protocols.pypi.identities import split_identity

MAX_ENTRIES = 1_000_000


def read_index(
    identity: str, source: UpstreamSource, *, url: str, content_type: str, body: bytes
) -> IndexDocument:
    """The canonical document of an upstream's answer; see `PackageProxyBase.read_index`."""
    kind, project, _ = split_identity(identity)
    if not body.strip():
        raise UpstreamInvalid("the upstream sent an empty index")
    dropped = Dropped()
    links = Links(url)
    repository_version = ""
    if kind == "json":
        page = _legacy_page(_load(body), project, links, dropped)
    else:
        if _is_json(content_type, body):
            page = _load(body)
        elif project:
            page, repository_version = html.read_project(body, content_type, project, url, dropped)
        else:
            page, repository_version = html.read_root(body, content_type, dropped)
        page = _project_page(page, project, links, dropped) if project else _root_page(page, dropped)
    envelope = Envelope(
        format=DOCUMENT_FORMAT,
        identity=identity,
        source=source.name,
        page=page,
        repository_version=repository_version,
    )
    return IndexDocument(encode_document(envelope), tuple(dropped.reasons))


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
    _check_meta(page, dropped)
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
    page["files"] = [file for file in files if check_file(file, links, dropped)]
    return page


def _mend_status(page: dict[str, Any], dropped: Dropped) -> None:
    """PEP 792's object of two texts; uv refuses the page for another shape."""
    if "project-status" not in page:
        return
    told = page["project-status"]
    status = {"status": told} if isinstance(told, str) else told
    if isinstance(status, dict):
        page["project-status"] = {
            key: value
            for key, value in status.items()
            if isinstance(value, str) or key not in ("status", "reason")
        }
    else:
        del page["project-status"]
    if page.get("project-status") != told:
        dropped.add("project-status of a wrong kind", told)


def _root_page(page: dict[str, Any], dropped: Dropped) -> dict[str, Any]:
    _check_meta(page, dropped)
    projects = page.get("projects")
    if not isinstance(projects, list):
        raise UpstreamInvalid("the upstream's index has no list of projects")
    if len(projects) > MAX_ENTRIES:
        raise UpstreamInvalid(f"the upstream's index lists more than {MAX_ENTRIES} projects")
    kept = []
    for entry in projects:
        name = entry.get("name") if isinstance(entry, dict) else None
        if isinstance(name, str) and names.is_project(name):
            kept.append(entry)
        else:
            dropped.add("not a project's name", name)
    page["projects"] = kept
    return page


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


def _check_meta(page: dict[str, Any], dropped: Dropped) -> None:
    """PEP 629: a major version above 1 must be refused. A missing one is 1.0 (older servers), and so is
    one that is no version: no client minds."""
    meta = page.get("meta")
    if not isinstance(meta, dict):
        meta = page["meta"] = {}
    told = meta.get("api-version")
    meta["api-version"] = version = api_version(told) or "1.0"
    if told != version and told is not None:
        dropped.add("api-version is not a version", told)


def _is_list_of_text(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)
