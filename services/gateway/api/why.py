"""Why something is served or not: the verdicts of a package's versions, as a page would be made now, or of
stored bytes, as each file of them would be answered."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Annotated

import msgspec
from litestar import get
from litestar.params import Parameter

from services.gateway.api.admin.subjects import Subject, read_subject, told_subject
from services.gateway.api.provenance import Provenance, provenance_of
from services.gateway.api.versions import UNLISTED
from shared.access.watcher import AccessWatcher
from shared.errors import PackageNotFound
from shared.judging.listings import load_listing
from shared.judging.verdicts import Entry, Judged, judge
from shared.policy.policy import Policy
from shared.policy.verdict import Verdict
from shared.process.threads import BoundedThreads
from shared.protocols import protocol_named
from shared.protocols.base import PackageProxyBase
from shared.protocols.package_urls import told_purl
from shared.redis import clock
from shared.stores import Stores

MOST_NAMES = 20  # of the same bytes that are looked at
SOURCE_NAME = "SELECT name FROM upstream_sources WHERE id = $1"


class Why(msgspec.Struct, frozen=True):
    """The verdict of one version, or of one file where the files of a version differ in age."""

    what: str  # a package URL; of a file with its name
    allowed: bool
    rule: str  # "": none is against it
    why: str
    published: float | None  # unix seconds: when it counts as published; null: no age is asked for
    warnings: list[str]  # of rules of the policy file that only warn
    until: float | None  # when time alone makes it allowed; of an exemption, when that is over; null: never
    provenance: Provenance | None = None  # null: no rule asks for any
    first_sight: bool = False  # `published` is when it was first seen here: the upstream tells no date


class Answer(msgspec.Struct, frozen=True):
    """Of a version that is asked for, each of its files, and of bytes each file that they are; else all that
    is not allowed, or warned of, or served for no reason but that it was stored before (`rule` "stored")."""

    purl: str  # or a SHA-256
    versions: int  # that the newest list has, or files; without a list: that are known by stored files
    items: list[Why]
    source: str = ""  # that gave the list (`import`: docs/decisions/0058); "": none is stored, or it is gone


@get("/api/v1/why", summary="Why a version is served or not", tags=["policy"])
async def why(
    stores: Stores,
    parsers: BoundedThreads,
    access_watcher: AccessWatcher,
    of: Annotated[str, Parameter(description="A package URL, with a version or without, or a SHA-256")],
) -> Answer:
    """By the last good list of its versions, and the rules of now. Asks no upstream."""
    named = read_subject(of)
    if named.sha256:
        return await _of_bytes(stores, parsers, access_watcher.policy, named.sha256)
    protocol = protocol_named(named.protocol)
    listing = await load_listing(stores, protocol, named.project)
    told = partial(judge, why=True)
    judged = await parsers.run(told, protocol, listing, access_watcher.policy, clock.now())
    row = await stores.database.fetchrow(SOURCE_NAME, listing.source_id)
    answer = _answer(protocol, named, told_subject(of, named), judged)
    return answer if row is None else msgspec.structs.replace(answer, source=row["name"])


async def _of_bytes(stores: Stores, parsers: BoundedThreads, policy: Policy, sha256: str) -> Answer:
    """Of each project that has them. Raises `PackageNotFound`."""
    files = await stores.artifacts.names_of("sha256", sha256, MOST_NAMES)
    items: list[Why] = []
    for name, project in dict.fromkeys((each.protocol, each.project) for each in files):
        protocol = protocol_named(name)
        listing = await load_listing(stores, protocol, project)
        told = partial(judge, why=True)
        judged = await parsers.run(told, protocol, listing, policy, clock.now())
        for each in judged.entries:
            what = _what(protocol, project, each)
            published = each.published if judged.verdicts.judges else None
            items += [
                _why(f"{what} {file.filename}", verdict, published)
                for file, verdict in each.files
                if file.sha256 == sha256
            ]
    if not items:
        raise PackageNotFound(f"no file with the SHA-256 {sha256} is stored here; ask by its package URL")
    return Answer(sha256, len(items), items)


def _answer(protocol: PackageProxyBase, named: Subject, asked: str, judged: Judged) -> Answer:
    project, version = named.project, named.version
    newest = judged.entries
    if not version:
        newest = sorted(newest, key=lambda each: each.published)[::-1]
    items = [
        said
        for each in newest
        if version in ("", each.listed.version)
        for said in _of_entry(protocol, judged, each)
        if version or not said.allowed or said.warnings or said.rule == "stored"
    ]
    of_name = None if items else judged.by_name(version)
    if of_name is not None and not (of_name.allowed and not version):
        items = [_why(asked, of_name)]
    if not items and version:
        raise PackageNotFound(f"the list of {project} that is stored here lacks {asked}", hint=UNLISTED)
    if not items and not judged.listing.body and not judged.entries:
        raise PackageNotFound(f"no list of the versions of {project} is stored here")
    listed = sum(not each.listed.unlisted or not judged.listing.body for each in judged.entries)
    return Answer(asked, listed, items)


def _what(protocol: PackageProxyBase, project: str, each: Entry) -> str:
    names = (*(file.filename for file, _ in each.files), each.listed.name)
    return told_purl(protocol.name, project, each.listed.version, *names)


def _of_entry(protocol: PackageProxyBase, judged: Judged, each: Entry) -> Iterator[Why]:
    """Of the entry, and of each stored file of it that is answered otherwise."""
    listed, verdicts = each.listed, judged.verdicts
    what = _what(protocol, judged.listing.project, each)
    published = each.published if verdicts.judges else None
    said = _why(f"{what} {listed.name}" if listed.is_file else what, each.verdict, published, each.warnings)
    if verdicts.age is not None and not judged.listing.seen.ageless:
        first_sight = listed.here_since or judged.listing.seen.is_first_sight(listed, judged.now)
        said = msgspec.structs.replace(said, first_sight=first_sight)
    if verdicts.trust is not None:
        proven = provenance_of(listed, judged.listing.seen)
        said = msgspec.structs.replace(said, provenance=proven)
    yield said
    for file, verdict in each.files:
        if (verdict.allowed, verdict.rule) != (said.allowed, said.rule):
            yield _why(f"{what} {file.filename}", verdict, published)


def _why(what: str, found: Verdict, published: float | None = None, warnings: Sequence[str] = ()) -> Why:
    return Why(what, found.allowed, found.rule, found.why, published, list(warnings), found.until or None)


HANDLERS = [why]
