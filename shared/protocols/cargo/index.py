"""A crate's file of a sparse index: one JSON object per line, one line per version.

Lines are kept as bytes, in their order: a newer Cargo may read in them what this does not know. Only what
serving needs is read of every line; `entries.py` reads one line whole.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping

import msgspec

from shared.errors import UpstreamInvalid
from shared.models import FileEntry, FileName, UpstreamSource
from shared.policy.age import Dated
from shared.policy.project import ProjectVerdicts
from shared.policy.traits import MOST_TOLD, Traits
from shared.protocols.cargo import names
from shared.protocols.cargo.semver import parse_version
from shared.protocols.cargo.upstream import Config, download_url
from shared.protocols.reading.links import Dropped
from shared.protocols.reading.times import unix_seconds
from shared.protocols.roles.documents import Documents, IndexDocument, Remark

MAX_LINES = 100_000
NEWEST_FORMAT = 2
"""Lines of a higher `v` are served and never resolved (Registry Index, "JSON schema")."""

_SHA256 = re.compile("[0-9a-f]{64}")
_NOTHING: Mapping[str, str] = {}


class Line(msgspec.Struct, frozen=True):
    """One version. `raw` is its line without the line end."""

    name: str
    version: str
    cksum: str  # SHA256 of the .crate file, 64 hex digits in lower case
    yanked: bool
    format: int  # `v`
    raw: bytes
    published: float = 0.0  # unix seconds: `pubtime`; 0: it has none


class IndexFile(msgspec.Struct, frozen=True):
    """`lines` in the upstream's order. `body` is what they are made of: the upstream's own bytes where
    nothing was dropped."""

    body: bytes
    lines: tuple[Line, ...]
    dropped: tuple[str, ...] = ()  # a reason for each line that was

    def find(self, version: str) -> Line | None:
        """The line of exactly this version, yanked or not; the last, as Cargo takes it, of several."""
        return next((line for line in reversed(self.lines) if line.version == version), None)


class _Head(msgspec.Struct):
    name: str
    vers: str
    cksum: str
    yanked: bool | None = None
    v: int | None = None
    pubtime: object = None


class _Dep(msgspec.Struct):
    name: str = ""
    package: str | None = None  # its name, where the crate calls it otherwise


class _Deps(msgspec.Struct):
    deps: list[_Dep] = []


def _decode_deps(raw: bytes) -> _Deps:
    try:
        return _deps_decoder.decode(raw)
    except (msgspec.DecodeError, RecursionError):
        return _Deps()


_deps_decoder = msgspec.json.Decoder(_Deps)
_decode_head = msgspec.json.Decoder(_Head).decode


def read_index_file(crate: str, body: bytes) -> IndexFile:
    """The file of a crate without the lines that cannot be served; each is counted, the crate stays.

    Raises `UpstreamInvalid` if none is left: a page of another kind (a login form, a listing).
    """
    dropped = Dropped()
    raws = [raw for raw in body.split(b"\n") if raw.strip()]
    if len(raws) > MAX_LINES:
        raise UpstreamInvalid(f"the upstream's index lists more than {MAX_LINES} versions")
    lines = [line for raw in raws if (line := _read_line(crate, raw, dropped)) is not None]
    if not lines:
        why = dropped.reasons[0] if dropped.reasons else "it is empty"
        raise UpstreamInvalid(f"the upstream's index has no readable line: {why}")
    kept = body if len(lines) == len(raws) else join_lines(lines)
    return IndexFile(kept, tuple(lines), tuple(dropped.reasons))


def load_index_file(body: bytes) -> IndexFile:
    """The same of bytes that `read_index_file` or `without_blocked` made; these may have no line left."""
    dropped = Dropped()
    lines = [_read_line("", raw, dropped) for raw in body.split(b"\n") if raw.strip()]
    return IndexFile(body, tuple(line for line in lines if line is not None), tuple(dropped.reasons))


def without_blocked(body: bytes, verdicts: ProjectVerdicts, stored: Mapping[str, str] = _NOTHING) -> bytes:
    """The file without the lines of blocked versions and bytes; the same bytes where there are none.
    `stored`: the SHA256 of each stored file by its version, which count beside what the lines tell."""
    if not verdicts.versions and not verdicts.digests:
        return body
    file = load_index_file(body)
    kept = [line for line in file.lines if not _is_blocked(line, verdicts, stored)]
    return body if len(kept) == len(file.lines) else join_lines(kept)


def _is_blocked(line: Line, verdicts: ProjectVerdicts, stored: Mapping[str, str]) -> bool:
    if not verdicts.of_file(names.canonical_version(line.version), "", line.cksum).allowed:
        return True
    return stored.get(line.version) in verdicts.digests


def _read_line(crate: str, raw: bytes, dropped: Dropped) -> Line | None:
    try:
        head = _decode_head(raw)
    except (msgspec.DecodeError, RecursionError, ValueError):
        dropped.add("not a line of an index", raw[:200])
        return None
    cksum = head.cksum.lower()
    if not names.is_name(head.name) or (crate and names.canonical(head.name) != names.canonical(crate)):
        dropped.add("of another crate", head.name)
    elif parse_version(head.vers) is None:
        dropped.add("not a version", head.vers)
    elif _SHA256.fullmatch(cksum) is None:
        dropped.add("cksum is no SHA256", head.cksum)
    else:
        version_format = 1 if head.v is None else head.v
        published = unix_seconds(head.pubtime)
        return Line(head.name, head.vers, cksum, bool(head.yanked), version_format, raw, published)
    return None


def join_lines(lines: Iterable[Line]) -> bytes:
    """A file of these lines."""
    return b"".join(line.raw + b"\n" for line in lines)


class CargoDocuments(Documents):
    """Index files."""

    decode_document = staticmethod(load_index_file)

    def read_index(
        self, identity: str, source: UpstreamSource, *, url: str, content_type: str, body: bytes
    ) -> IndexDocument:
        file = read_index_file(names.project_of(identity), body)
        return IndexDocument(file.body, file.dropped)

    def find_file(
        self, document: IndexFile, file: FileName, source: UpstreamSource | None = None
    ) -> FileEntry | None:
        line = document.find(file.file_id)
        if line is None or names.filename(line.name, line.version) != file.filename:
            return None
        config = source.document if source is not None else None
        url = download_url(config, line.name, line.version, line.cksum) if isinstance(config, Config) else ""
        return FileEntry(
            file.filename, url, file.file_id, {"sha256": line.cksum}, content_type="application/gzip"
        )

    def entry_identities(self, file: FileName) -> tuple[str, ...]:
        return (names.index_identity(file.project),)

    def dated(self, identity: str, document: IndexFile, *, marks: bool = False) -> Iterator[Dated]:
        for line in document.lines:
            yield Dated(line.version, names.canonical_version(line.version), line.published, line.cksum)

    def remarks(self, document: IndexFile) -> Mapping[str, Remark]:
        return {line.version: Remark(withdrawn="yanked") for line in document.lines if line.yanked}

    def traits(self, identity: str, document: IndexFile) -> Iterator[Traits]:
        for line in document.lines:
            names_ = tuple(dict.fromkeys(each.package or each.name for each in _decode_deps(line.raw).deps))
            version = names.canonical_version(line.version)
            yield Traits(version, dependencies=names_[:MOST_TOLD], yanked=line.yanked)

    def dated_name(self, document: IndexFile, file: FileName) -> str:
        return file.file_id if document.find(file.file_id) is not None else ""

    def lists_files(self, identity: str, document: IndexFile) -> bool:
        return bool(document.lines)
