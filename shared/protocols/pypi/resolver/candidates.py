"""A project's files as candidates of an installer: read from its page once, chosen by environment.

The rules are pip's (its package finder): wheels that the environment supports, then sdists; no file
whose Requires-Python excludes the interpreter; by version, then by rank of the wheel's tag, then by
build number; yanked files last.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import lru_cache

import msgspec
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.version import InvalidVersion, Version

from shared.errors import UpstreamInvalid
from shared.models import SealedFile
from shared.protocols.pypi import names
from shared.protocols.pypi.document import DOCUMENT_FORMAT, Document, Envelope
from shared.protocols.pypi.names import split_identity, stable_id
from shared.protocols.pypi.resolver.environments import Environment
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
    upload_time: str  # as the page says; "" where it does not
    metadata: bool  # the upstream offers it apart, or it is stored


class Page(msgspec.Struct, frozen=True):
    """The installable files of a project, in the page's order; `source` names the upstream."""

    project: str
    source: str
    files: tuple[PageFile, ...]
    hashes: dict[str, list[dict[str, str]]]  # file name → hashes of each entry of that name


class Chosen(msgspec.Struct, frozen=True):
    """What an environment may install, the most preferred first. `undated`: left out for want of an
    upload time, where one was needed."""

    files: tuple[PageFile, ...]
    undated: int = 0


class _Entry(msgspec.Struct, rename="kebab", gc=False):
    """What is read of a page's entry. index.py has seen to the types."""

    filename: str
    hashes: dict[str, str]
    size: int | None = None
    requires_python: str | None = None
    yanked: bool | str | None = None
    upload_time: str | None = None
    core_metadata: bool | dict[str, str] | None = None
    data_dist_info_metadata: bool | dict[str, str] | None = None


class _Files(msgspec.Struct):
    files: list[_Entry]


class _Document(msgspec.Struct):
    """The envelope of document.py, with the page read in part: three times as fast as the whole."""

    format: int
    identity: str
    source: str
    page: _Files


_decode = msgspec.json.Decoder(_Document).decode


def read_page(body: bytes) -> Page:
    """The files of a canonical document; those with names that no installer reads are left out.

    Raises `UpstreamInvalid` for another format or kind of document.
    """
    try:
        document = _decode(body)
    except msgspec.DecodeError as error:
        raise UpstreamInvalid("the stored index document cannot be read") from error
    kind, project, _ = split_identity(document.identity)
    if document.format != DOCUMENT_FORMAT or kind != "simple":
        raise UpstreamInvalid("the stored index document is of another format or kind")
    parts = _Parts(project)
    files = []
    hashes: dict[str, list[dict[str, str]]] = {}
    for entry in document.page.files:
        parsed = _parse(entry.filename, parts)
        if parsed is None:
            continue
        version, tags, build = parsed
        hashes.setdefault(entry.filename, []).append(entry.hashes)
        sha256 = entry.hashes.get("sha256", "")
        files.append(
            PageFile(
                filename=entry.filename,
                file_id=sha256 or stable_id(document.source, project, entry.filename),
                sha256=sha256,
                size_bytes=entry.size,
                version=version,
                tags=tags,
                build=build,
                requires_python=entry.requires_python or "",
                yanked=bool(entry.yanked),
                upload_time=entry.upload_time or "",
                metadata=bool(entry.core_metadata or entry.data_dist_info_metadata),
            )
        )
    return Page(project, document.source, tuple(files), hashes)


def with_sealed(page: Page, sealed: Mapping[tuple[str, str], SealedFile]) -> Page:
    """The page as it is served: what is stored stands for what the upstream lists now (sealing.py)."""
    named = {filename for _, filename in sealed if filename in page.hashes}
    if not named:
        return page
    entries = [
        {"filename": filename, "hashes": hashes} for filename in named for hashes in page.hashes[filename]
    ]
    envelope = Envelope(DOCUMENT_FORMAT, f"simple/{page.project}", page.source, {"files": entries})
    held = SealedFiles(Document(envelope), sealed)
    files = list(page.files)
    for at, file in enumerate(files):
        if file.filename not in named:
            continue
        hashes = {"sha256": file.sha256} if file.sha256 else {}
        stored = held.find({"filename": file.filename, "hashes": hashes})
        if stored is not None:
            files[at] = msgspec.structs.replace(
                file,
                file_id=stored.file_id,
                sha256=stored.sha256,
                size_bytes=stored.size_bytes,
                metadata=file.metadata or bool(stored.metadata_sha256),
            )
    return msgspec.structs.replace(page, files=tuple(files))


def _timestamp(text: str) -> float | None:
    """Unix seconds of an upload time; None for one that is missing or cannot be read."""
    try:
        when = datetime.fromisoformat(text)
    except ValueError:
        return None
    return (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp()


def parse_filename(filename: str, project: str) -> tuple[Version, Tags | None] | None:
    """Version and tags (None: an sdist) of a file of a project, or None if it is neither."""
    return filenames_of(project)(filename)


def filenames_of(project: str) -> Callable[[str], tuple[Version, Tags | None] | None]:
    """`parse_filename` for many files of a project."""
    parts = _Parts(project)

    def parse(filename: str) -> tuple[Version, Tags | None] | None:
        parsed = _parse(filename, parts)
        return None if parsed is None else parsed[:2]

    return parse


class _Parts:
    """Pieces of file names that come again and again on one page, each read once."""

    __slots__ = ("_ours", "_tags", "_versions", "project")

    def __init__(self, project: str) -> None:
        self.project = project
        self._versions: dict[str, Version | None] = {}
        self._ours: dict[str, bool] = {}
        self._tags: dict[str, Tags] = {}

    def is_ours(self, text: str) -> bool:
        """Whether this spells the project's name."""
        found = self._ours.get(text)
        if found is None:
            found = self._ours[text] = names.normalise(text) == self.project
        return found

    def version(self, text: str) -> Version | None:
        """The version that this spells."""
        if text not in self._versions:
            try:
                self._versions[text] = Version(text)
            except InvalidVersion:
                self._versions[text] = None
        return self._versions[text]

    def tags(self, text: str) -> Tags:
        """Of the last three parts of a wheel's name, joined as they stand."""
        found = self._tags.get(text)
        if found is None:
            python, abi, platform = text.split("-")
            found = (tuple(python.split(".")), tuple(abi.split(".")), tuple(platform.split(".")))
            self._tags[text] = found
        return found


def _parse(filename: str, parts: _Parts) -> tuple[Version, Tags | None, tuple[int, str] | tuple[()]] | None:
    if filename.endswith(".whl"):
        split = filename[:-4].split("-", 5)
        if len(split) not in (5, 6) or not parts.is_ours(split[0]) or split[-1].count("-"):
            return None
        build: tuple[int, str] | tuple[()] = ()
        if len(split) == 6:
            found = _BUILD.fullmatch(split[2])
            if found is None:
                return None
            build = (int(found[1][:18]), found[2])
        version = parts.version(split[1].replace("_", "-"))
        return None if version is None else (version, parts.tags("-".join(split[-3:])), build)
    for suffix in _SDISTS:
        if filename.endswith(suffix):
            return _parse_sdist(filename[: -len(suffix)], parts)
    return None


def _parse_sdist(stem: str, parts: _Parts) -> tuple[Version, None, tuple[()]] | None:
    """The first hyphen that leaves the project's name before it ends the name: old sdists may have
    more of them on either side."""
    at = stem.find("-")
    while at > 0:
        if parts.is_ours(stem[:at]):
            version = parts.version(stem[at + 1 :])
            return None if version is None else (version, None, ())
        at = stem.find("-", at + 1)
    return None


# --- choosing -------------------------------------------------------------------------------------


def choose(page: Page, environment: Environment, before: float | None) -> Chosen:
    """The files that an environment may install, uploaded before a moment (unix seconds) if given."""
    kept = []
    undated = 0
    ranks: dict[int, int | None] = {}  # by tags, which files of a page share
    for file in page.files:
        if file.tags is None:
            rank: int | None = len(environment.tags)
        elif id(file.tags) in ranks:
            rank = ranks[id(file.tags)]
        else:
            rank = ranks[id(file.tags)] = rank_of(file.tags, environment.tags)
        if rank is None or not allows_python(file.requires_python, environment.python):
            continue
        if before is not None:
            uploaded_at = _timestamp(file.upload_time)
            undated += uploaded_at is None
            if uploaded_at is None or uploaded_at >= before:
                continue
        kept.append((not file.yanked, file.version, -rank, file.build, file))
    # Equal ones keep the reverse of the page's order, as pip's reversed sort does.
    kept.sort(key=lambda entry: entry[:4])
    return Chosen(tuple(entry[4] for entry in reversed(kept)), undated)


def rank_of(tags: Tags, ranks: dict[str, int]) -> int | None:
    """The best of the ranks (`Environment.tags`) among the tags that a wheel's name spans; None if none is
    supported."""
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
