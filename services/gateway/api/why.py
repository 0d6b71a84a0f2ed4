"""Why something is served or not: the verdicts of a package's versions, as a page would be made now."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated

import msgspec
from litestar import get
from litestar.params import Parameter

from services.gateway.api.admin.subjects import read_subject
from services.gateway.api.provenance import Provenance, provenance_of
from shared.access.watcher import AccessWatcher
from shared.errors import InvalidParameter, PackageNotFound
from shared.judging.listings import load_listing
from shared.judging.verdicts import Entry, Judged, judge
from shared.policy.verdict import Verdict
from shared.process.threads import BoundedThreads
from shared.protocols import protocol_named
from shared.protocols.base import PackageProxyBase
from shared.protocols.package_urls import purl
from shared.redis import clock
from shared.stores import Stores

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


class Answer(msgspec.Struct, frozen=True):
    """Of a version that is asked for, each of its files; else all that is not allowed, or warned of."""

    purl: str
    versions: int  # that the newest list has, or files
    items: list[Why]
    source: str = ""  # that gave the list (`import`: docs/decisions/0058); "": none is stored, or it is gone


@get("/api/v1/why", summary="Why a version is served or not", tags=["policy"])
async def why(
    stores: Stores,
    parsers: BoundedThreads,
    access_watcher: AccessWatcher,
    of: Annotated[str, Parameter(description="A package URL, with a version or without")],
) -> Answer:
    """By the last good list of its versions, and the rules of now. Asks no upstream."""
    named = read_subject(of)
    if named.sha256:
        raise InvalidParameter("of: expected a package URL")
    protocol = protocol_named(named.protocol)
    listing = await load_listing(stores, protocol, named.project)
    judged = await parsers.run(judge, protocol, listing, access_watcher.policy, clock.now())
    row = await stores.database.fetchrow(SOURCE_NAME, listing.source_id)
    answer = _answer(protocol, named.version, judged)
    return answer if row is None else msgspec.structs.replace(answer, source=row["name"])


def _answer(protocol: PackageProxyBase, version: str, judged: Judged) -> Answer:
    project = judged.listing.project
    items = [
        said
        for each in judged.entries
        if version in ("", each.listed.version)
        for said in _of_entry(protocol, judged, each)
        if version or not said.allowed or said.warnings
    ]
    named = None if items else judged.by_name(version)
    if named is not None and not (named.allowed and not version):
        items = [_why(purl(protocol.name, project, version), named)]
    if not items and version:
        raise PackageNotFound(f"{project} has no version {version} in its list here")
    if not items and not judged.listing.body:
        raise PackageNotFound(f"no list of the versions of {project} is stored here")
    listed = sum(not each.listed.unlisted for each in judged.entries)
    return Answer(purl(protocol.name, project, version), listed, items)


def _of_entry(protocol: PackageProxyBase, judged: Judged, each: Entry) -> Iterator[Why]:
    """Of the entry, and of each stored file of it that is answered otherwise."""
    listed, verdicts = each.listed, judged.verdicts
    what = purl(protocol.name, judged.listing.project, listed.version)
    published = each.published if verdicts.judges else None
    said = _why(f"{what} {listed.name}" if listed.is_file else what, each.verdict, published, each.warnings)
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
