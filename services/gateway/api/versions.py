"""The versions of a package as its last good list tells them, with what is stored and what is held back. Of a
package of which no list was ever asked for, the versions that its stored files are of."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Annotated

import msgspec
from litestar import get
from litestar.params import Parameter

from services.gateway.api.parameters import (
    DEFAULT_LIMIT,
    Cursor,
    Limit,
    check_limit,
    cursor_of,
    package_name,
    read_cursor,
)
from services.gateway.api.provenance import Provenance, of_signature, provenance_of, worst
from shared.access.watcher import AccessWatcher
from shared.errors import PackageNotFound
from shared.judging.listings import load_listing
from shared.judging.verdicts import Entry, Judged, judge
from shared.policy.age import LONG_AGO
from shared.policy.verdict import UNKNOWN, Verdict
from shared.process.threads import BoundedThreads
from shared.protocols.base import PackageProxyBase
from shared.protocols.dating import licences_of
from shared.protocols.roles.documents import About, Remark
from shared.redis import clock
from shared.stores import Stores

_NO_REMARK = Remark()
UNLISTED = "Its list is as its upstream last told it; the protocol's own pages ask the upstream."


class ListedFile(msgspec.Struct, frozen=True):
    """One file of a version, or the version itself where its list names no files."""

    name: str
    size_bytes: int  # 0: unknown
    sha256: str  # "": not stored here
    published: float | None  # unix seconds, as the upstream says
    withdrawn: str  # "", "yanked", "deprecated"
    reason: str  # of that
    allowed: bool
    rule: str  # what decided; "": none is against it
    why: str
    until: float | None  # unix seconds at which time alone makes it allowed
    provenance: Provenance | None = None  # null: no rule asks for any


class ListedVersion(msgspec.Struct, frozen=True):
    """One version. What is said of it holds for all of its files that are listed."""

    version: str  # as its registry spells it
    published: float | None  # unix seconds: of its first file; null: the upstream does not say
    size_bytes: int  # of its listed and stored files; 0: unknown
    listed: bool  # false: its list lacks it, and what is stored is served
    files: int  # that are listed, or stored
    stored: int  # of them
    withdrawn: str
    reason: str
    allowed: bool  # some of it is served
    rule: str  # what decided; "": none is against it
    why: str
    until: float | None
    provenance: Provenance | None = None  # of the file of which the least is proven
    tags: list[str] = []  # what its registry calls it beside: "latest"


class Versions(msgspec.Struct, frozen=True):
    """A page of versions, the newest first. `files`: of the version that was asked for."""

    protocol: str
    name: str
    fetched_at: float  # unix seconds: when the list was last fetched; 0: none is stored
    versions: int  # all of them
    items: list[ListedVersion]
    files: list[ListedFile] = []
    next: str = ""
    about: About = About()  # of the version that was asked for; else of the latest, on the first page
    stored_only: bool = False  # no list is stored: these are the versions that stored files are of


@get("/api/v1/versions/{protocol:str}/{name:path}", summary="Versions of a package", tags=["packages"])
async def versions(
    stores: Stores,
    parsers: BoundedThreads,
    access_watcher: AccessWatcher,
    protocol: str,
    name: str,
    version: Annotated[str, Parameter(description="Only this one, with its files")] = "",
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = "",
) -> Versions:
    """All that the upstream listed when it was last asked, and what is stored of what it lists no more; the
    newest first, in the ecosystem's own order. Where no client has asked for the list (Maven's need none for
    fixed versions), what stored files tell. Asks no upstream."""
    known, project = package_name(protocol, name)
    after = read_cursor(cursor, int)
    start = max(0, after[0]) if after is not None else 0
    listing = await load_listing(stores, known, project)
    if not listing.body and not listing.sealed:
        raise PackageNotFound(f"no list of the versions of {project} is stored here")
    told = partial(judge, why=True)
    judged = await parsers.run(told, known, listing, access_watcher.policy, clock.now())
    found = await parsers.run(_by_version, known, judged)
    told_of = Versions(protocol, project, listing.fetched_at, len(found), [], stored_only=not listing.body)
    if version:
        wanted = known.names.canonical_version(version)
        files = found.get(wanted)
        if files is None:
            raise PackageNotFound(f"{project} has no version {version} in its list here", hint=UNLISTED)
        shown = [_version(wanted, files, judged)]
        said = await parsers.run(_about, known, judged, wanted)
        return msgspec.structs.replace(told_of, items=shown, files=[each for each, _ in files], about=said)
    newest = _newest_first(known, found)
    page = newest[start : start + check_limit(limit)]
    goes_on = cursor_of([start + len(page)]) if start + len(page) < len(newest) else ""
    items = [_version(each, found[each], judged) for each in page]
    latest = next((each for each in newest if "latest" in found[each].tags), newest[0] if newest else "")
    about = About() if start else await parsers.run(_about, known, judged, latest)
    return msgspec.structs.replace(told_of, items=items, next=goes_on, about=about)


def _about(protocol: PackageProxyBase, judged: Judged, version: str) -> About:
    """As its list tells; the licence as its stored files tell it where the list does not."""
    document = judged.listing.document(protocol)
    said = About() if document is None else protocol.documents.about(document, version)
    if said.licence:
        return said
    licences = licences_of(protocol, judged.listing.project, judged.listing.sealed)
    return msgspec.structs.replace(said, licence=licences.get(version, ""))


class Files(list[tuple[ListedFile, bool]]):
    """Of one version, each with whether the upstream lists it. `told`: the version as its registry spells it;
    `tags`: what else it is called there."""

    told: str = ""
    tags: tuple[str, ...] = ()


def _by_version(protocol: PackageProxyBase, judged: Judged) -> dict[str, Files]:
    """In the list's order."""
    document = judged.listing.document(protocol)
    remarks = {} if document is None else protocol.documents.remarks(document)
    tags = {} if document is None else protocol.documents.tags(document)
    own = {(each.entry, each.filename): of_signature(each) for each in judged.listing.seen.signatures}
    found: dict[str, Files] = {}
    for each in judged.entries:
        remark = remarks.get(each.listed.name, _NO_REMARK)
        files = found.setdefault(each.listed.version, Files())
        proven = None
        if judged.verdicts.trust is not None and not each.listed.unlisted:
            proven = provenance_of(each.listed, judged.listing.seen)
        files.extend((file, not each.listed.unlisted) for file in _listed(each, remark, proven, own))
        if not files.told:
            spelt = (*(file.filename for file, _ in each.files), each.listed.name)
            files.told = protocol.names.told_version(judged.listing.project, each.listed.version, *spelt)
    for tag, version in tags.items():
        if version in found:
            found[version].tags += (tag,)
    return found


def _listed(
    each: Entry, remark: Remark, proven: Provenance | None, own: Mapping[tuple[str, str], Provenance]
) -> Iterator[ListedFile]:
    """An entry with what is stored of it: its file, or of a version without named files each. `own`: by
    entry and name, what is known of files themselves."""
    listed = each.listed
    published = listed.published if listed.published > LONG_AGO and not listed.unlisted else None

    def told(name: str, size_bytes: int, sha256: str, verdict: Verdict) -> ListedFile:
        until = verdict.until or None
        return ListedFile(
            name, size_bytes, sha256, published, remark.withdrawn, remark.reason,
            verdict.allowed, verdict.rule, verdict.why, until,
            own.get((listed.name, name), proven) if proven is not None else None,
        )  # fmt: skip

    if not each.files:
        yield told(listed.name, remark.size_bytes, "", each.verdict)
    for file, verdict in each.files:
        yield told(file.filename, file.size_bytes, file.sha256, verdict)


def _version(version: str, files: Files, judged: Judged) -> ListedVersion:
    listed = [each for each, is_listed in files if is_listed]
    of = listed or [each for each, _ in files]
    verdict = judged.verdict(version) or UNKNOWN
    withdrawn = next((each for each in of if each.withdrawn), None)
    is_withdrawn = withdrawn is not None and all(each.withdrawn for each in of)
    return ListedVersion(
        version=files.told or version,
        published=min((each.published for each in of if each.published is not None), default=None),
        size_bytes=sum(each.size_bytes for each, _ in files),
        listed=bool(listed),
        files=len(files),
        stored=sum(1 for each, _ in files if each.sha256),
        withdrawn=withdrawn.withdrawn if withdrawn is not None and is_withdrawn else "",
        reason=withdrawn.reason if withdrawn is not None and is_withdrawn else "",
        allowed=verdict.allowed,
        rule=verdict.rule,
        why=verdict.why,
        until=None if verdict.allowed else verdict.until or None,
        provenance=worst([each.provenance for each in of if each.provenance is not None]),
        tags=list(files.tags),
    )


def _newest_first(protocol: PackageProxyBase, found: dict[str, Files]) -> list[str]:
    """In the ecosystem's own order. What has no place in it comes last, the last of the list first."""
    keys = {version: protocol.names.version_key(version) for version in found}
    placed = [version for version in reversed(found) if keys[version] is not None]
    placed.sort(key=keys.__getitem__, reverse=True)
    return placed + [version for version in reversed(found) if keys[version] is None]


HANDLERS = [versions]
