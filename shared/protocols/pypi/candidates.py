"""A project's files as candidates of an installer: read from its page once, chosen by environment.

The rules are pip's (its package finder): wheels that the environment supports, then sdists; no file
whose Requires-Python excludes the interpreter; by version, then by rank of the wheel's tag, then by
build number; yanked files last.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache

import msgspec
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.version import InvalidVersion, Version

from shared.models import SealedFile
from shared.protocols.pypi import names
from shared.protocols.pypi.document import Document, File
from shared.protocols.pypi.environments import Environment
from shared.protocols.pypi.sealing import SealedFiles

_SDISTS = (".tar.gz", ".zip", ".tgz", ".tar.bz2", ".tar.xz", ".tar")
_BUILD = re.compile(r"([0-9]+)(.*)")
_MAX_TAGS = 1000  # a file name may claim any product of tags

Tags = tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]


class PageFile(msgspec.Struct, frozen=True):
    """One file of a page. `tags` is None for an sdist."""

    filename: str
    file_id: str
    sha256: str
    size_bytes: int | None
    version: Version
    tags: Tags | None
    build: tuple[int, str] | tuple[()]
    requires_python: str
    yanked: bool
    uploaded_at: float | None  # unix seconds
    metadata: bool  # the upstream offers it apart, or it is stored


class Page(msgspec.Struct, frozen=True):
    """The installable files of a project, in the page's order."""

    project: str
    files: tuple[PageFile, ...]


class Chosen(msgspec.Struct, frozen=True):
    """What an environment may install, the most preferred first. `undated`: left out for want of an
    upload time, where one was needed."""

    files: tuple[PageFile, ...]
    undated: int = 0


def read_page(document: Document, sealed: Mapping[tuple[str, str], SealedFile]) -> Page:
    """The files of a document; those with names that no installer reads are left out."""
    held = SealedFiles(document, sealed)
    versions: dict[str, Version | None] = {}
    files = []
    for file in document.page["files"]:
        parsed = _parse(file["filename"], document.project, versions)
        if parsed is not None:
            files.append(_page_file(file, document, held.find(file) if held.any else None, *parsed))
    return Page(document.project, tuple(files))


def _page_file(
    file: File,
    document: Document,
    stored: SealedFile | None,
    version: Version,
    tags: Tags | None,
    build: tuple[int, str] | tuple[()],
) -> PageFile:
    offered = file.get("core-metadata", file.get("data-dist-info-metadata"))
    return PageFile(
        filename=file["filename"],
        file_id=stored.file_id if stored else document.file_id(file),
        sha256=stored.sha256 if stored else file["hashes"].get("sha256", ""),
        size_bytes=stored.size_bytes if stored else file.get("size"),
        version=version,
        tags=tags,
        build=build,
        requires_python=file.get("requires-python") or "",
        yanked=file.get("yanked", False) not in (False, None),
        uploaded_at=_timestamp(file.get("upload-time")),
        metadata=bool(offered) or bool(stored and stored.metadata_sha256),
    )


def _timestamp(text: str | None) -> float | None:
    if not text:
        return None
    try:
        when = datetime.fromisoformat(text)
    except ValueError:
        return None
    return (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp()


def parse_filename(filename: str, project: str) -> tuple[Version, Tags | None] | None:
    """Version and tags (None: an sdist) of a file of a project, or None if it is neither."""
    parsed = _parse(filename, project, {})
    return None if parsed is None else parsed[:2]


def _parse(
    filename: str, project: str, versions: dict[str, Version | None]
) -> tuple[Version, Tags | None, tuple[int, str] | tuple[()]] | None:
    if filename.endswith(".whl"):
        parts = filename[:-4].split("-")
        if len(parts) not in (5, 6) or names.normalise(parts[0]) != project:
            return None
        build: tuple[int, str] | tuple[()] = ()
        if len(parts) == 6:
            found = _BUILD.fullmatch(parts[2])
            if found is None:
                return None
            build = (int(found[1][:18]), found[2])
        version = _version(parts[1].replace("_", "-"), versions)
        tags = (tuple(parts[-3].split(".")), tuple(parts[-2].split(".")), tuple(parts[-1].split(".")))
        return None if version is None else (version, tags, build)
    for suffix in _SDISTS:
        if filename.endswith(suffix):
            return _parse_sdist(filename[: -len(suffix)], project, versions)
    return None


def _parse_sdist(
    stem: str, project: str, versions: dict[str, Version | None]
) -> tuple[Version, None, tuple[()]] | None:
    """The first hyphen that leaves the project's name before it ends the name: old sdists may have
    more of them on either side."""
    at = stem.find("-")
    while at > 0:
        if names.normalise(stem[:at]) == project:
            version = _version(stem[at + 1 :], versions)
            return None if version is None else (version, None, ())
        at = stem.find("-", at + 1)
    return None


def _version(text: str, versions: dict[str, Version | None]) -> Version | None:
    if text not in versions:
        try:
            versions[text] = Version(text)
        except InvalidVersion:
            versions[text] = None
    return versions[text]


# --- choosing -------------------------------------------------------------------------------------


def choose(page: Page, environment: Environment, before: float | None) -> Chosen:
    """The files that an environment may install, uploaded before a moment (unix seconds) if given."""
    kept = []
    undated = 0
    for file in page.files:
        rank = len(environment.tags) if file.tags is None else _rank(file.tags, environment.tags)
        if rank is None or not allows_python(file.requires_python, environment.python):
            continue
        if before is not None:
            if file.uploaded_at is None:
                undated += 1
                continue
            if file.uploaded_at >= before:
                continue
        kept.append((not file.yanked, file.version, -rank, file.build, file))
    # Equal ones keep the reverse of the page's order, as pip's reversed sort does.
    kept.sort(key=lambda entry: entry[:4])
    return Chosen(tuple(entry[4] for entry in reversed(kept)), undated)


def _rank(tags: Tags, ranks: dict[str, int]) -> int | None:
    """The best rank among the tags that a wheel's name spans; None if none is supported."""
    pythons, abis, platforms = tags
    if len(pythons) * len(abis) * len(platforms) > _MAX_TAGS:
        return None
    best: int | None = None
    for python in pythons:
        for abi in abis:
            for platform in platforms:
                rank = ranks.get(f"{python}-{abi}-{platform}".lower())
                if rank is not None and (best is None or rank < best):
                    best = rank
    return best


@lru_cache(maxsize=4096)
def allows_python(requires: str, python: Version) -> bool:
    """Whether Requires-Python admits an interpreter; one that cannot be read admits all, as in pip."""
    if not requires:
        return True
    try:
        return SpecifierSet(requires).contains(python, prereleases=True)
    except InvalidSpecifier:
        return True
