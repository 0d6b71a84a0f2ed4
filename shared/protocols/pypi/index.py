"""Reading what an upstream sent as an index: JSON or HTML, into one canonical document."""

from __future__ import annotations

import re
from typing import Any

from shared.errors import UpstreamInvalid
from shared.models import UpstreamSource
from shared.protocols.base import IndexDocument
from shared.protocols.json_text import load_tree
from shared.protocols.links import Dropped, Links
from shared.protocols.pypi import html, names
from shared.protocols.pypi.document import DOCUMENT_FORMAT, Envelope, encode_document
from shared.protocols.pypi.identities import split_identity

MAX_ENTRIES = 1_000_000

_HEX = re.compile(r"[0-9A-Fa-f]{1,512}")
_LOWER_SHA256 = re.compile(r"[0-9a-f]{64}")
_API_VERSION = re.compile(r"1\.[0-9]{1,4}")


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
    _check_meta(page)
    name = page.setdefault("name", project)
    if not isinstance(name, str) or names.normalise(name) != project:
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
    page["files"] = [file for file in files if _check_file(file, links, dropped)]
    return page


def _root_page(page: dict[str, Any], dropped: Dropped) -> dict[str, Any]:
    _check_meta(page)
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
        if not isinstance(file, dict) or not _check_address(file, links, dropped):
            continue
        digests = file.get("digests")
        file["digests"] = _clean_hashes(digests) if isinstance(digests, dict) else {}
        kept.append(file)
    return kept


def _check_meta(page: dict[str, Any]) -> None:
    """PEP 629: a major version above 1 must be refused. A missing one is 1.0 (older servers)."""
    meta = page.setdefault("meta", {})
    if not isinstance(meta, dict):
        raise UpstreamInvalid("the upstream's index has a meta of a wrong shape")
    version = meta.setdefault("api-version", "1.0")
    if not isinstance(version, str) or not _API_VERSION.fullmatch(version):
        raise UpstreamInvalid(f"the upstream's index has API version {ascii(version)[:20]}")


def _check_address(file: dict[str, Any], links: Links, dropped: Dropped) -> bool:
    """Whether an entry names a file and where it is; makes its URL absolute."""
    filename, href = file.get("filename"), file.get("url")
    if not isinstance(filename, str) or not names.is_distribution_file(filename):
        dropped.add("not a package file's name", filename)
        return False
    url = links.absolute(href) if isinstance(href, str) else None
    if url is None:
        dropped.add("not an http(s) link", href)
        return False
    file["url"] = url
    return True


def _check_file(file: Any, links: Links, dropped: Dropped) -> bool:
    """Whether an entry can be served. Values that would make clients refuse the page are removed."""
    if not isinstance(file, dict):
        dropped.add("not a file entry", file)
        return False
    if not _check_address(file, links, dropped):
        return False
    hashes = file.get("hashes")
    sha256 = hashes.get("sha256") if isinstance(hashes, dict) else None
    if not (
        isinstance(sha256, str) and _LOWER_SHA256.fullmatch(sha256) and len(hashes) == 1  # type: ignore[arg-type]
    ):
        file["hashes"] = _clean_hashes(hashes) if isinstance(hashes, dict) else {}
    if "dist-info-metadata" in file:
        # PEP 714: the old key makes pip 22.3 to 23.1 fail in JSON; its value goes under the new one.
        old = file.pop("dist-info-metadata")
        file.setdefault("core-metadata", old)
    for key, types in _KNOWN_KEYS:
        value = file.get(key)
        if value is not None and type(value) not in types:
            dropped.add(f"{key} of a wrong type", value)
            del file[key]
    size = file.get("size")
    if size is not None and not 0 <= size < 1 << 63:
        dropped.add("size out of range", size)
        del file["size"]
    for key in ("core-metadata", "data-dist-info-metadata"):
        metadata = file.get(key)
        if isinstance(metadata, dict):
            file[key] = _clean_hashes(metadata) or True
    return True


_KNOWN_KEYS: tuple[tuple[str, tuple[type, ...]], ...] = (
    ("requires-python", (str,)),
    ("size", (int,)),
    ("upload-time", (str,)),
    ("yanked", (bool, str)),
    ("core-metadata", (dict, bool)),
    ("data-dist-info-metadata", (dict, bool)),
    ("gpg-sig", (bool,)),
    ("provenance", (str,)),
)


def _clean_hashes(hashes: dict[Any, Any]) -> dict[str, str]:
    """Hashes in lower-case hex; what is no digest is left out, sha256 also by its length."""
    clean = {}
    for algorithm, value in hashes.items():
        if isinstance(algorithm, str) and isinstance(value, str) and _HEX.fullmatch(value):
            clean[algorithm] = value.lower()
    if "sha256" in clean and not _LOWER_SHA256.fullmatch(clean["sha256"]):
        del clean["sha256"]
    return clean


def _is_list_of_text(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)
