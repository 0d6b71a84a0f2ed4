"""Why something is served or not: the verdicts of a package's versions, as a page would be made now."""

from __future__ import annotations

from typing import Annotated

import msgspec
from litestar import get
from litestar.params import Parameter

from services.gateway.api.admin.subjects import read_subject
from services.gateway.api.provenance import Provenance, provenance_of
from shared.access.watcher import AccessWatcher
from shared.errors import InvalidParameter, PackageNotFound
from shared.judging.listings import Listing, load_listing
from shared.policy.age import Dated
from shared.policy.project import ProjectVerdicts
from shared.policy.verdict import ALLOWED, Verdict
from shared.process.threads import BoundedThreads
from shared.protocols import protocol_named
from shared.protocols.base import PackageProxyBase
from shared.protocols.package_urls import purl
from shared.redis import clock
from shared.stores import Stores


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
    if not listing.body:
        raise PackageNotFound(f"no list of the versions of {named.project} is stored here")
    verdicts = access_watcher.policy.of(protocol.name, named.project)
    return await parsers.run(_answer, protocol, named.version, listing, verdicts)


def _answer(protocol: PackageProxyBase, version: str, listing: Listing, verdicts: ProjectVerdicts) -> Answer:
    project, items = listing.project, []
    entries, contents = listing.judged(protocol, verdicts, clock.now())
    for each, of, verdict in entries:
        found, held = verdict or ALLOWED, contents.get(each.version)
        warnings = [] if held is None else list(held.warnings.values())
        if each.version == version or not (version or (found.allowed and not warnings)):
            published = of.published if verdicts.judges else None
            said = _why(protocol, project, each, found, published, warnings)
            if verdicts.trust is not None:
                said = msgspec.structs.replace(said, provenance=provenance_of(each, listing.seen))
            items.append(said)
    if version and not items:
        named = verdicts.by_name(version, "") or verdicts.listed
        if named is None:
            raise PackageNotFound(f"{project} has no version {version} in its list here")
        items.append(_why(protocol, project, Dated(version, version), named, None, []))
    return Answer(purl(protocol.name, project, version), len(entries), items)


def _why(
    protocol: PackageProxyBase,
    project: str,
    listed: Dated,
    found: Verdict,
    published: float | None,
    warnings: list[str],
) -> Why:
    what = purl(protocol.name, project, listed.version)
    if listed.is_file:
        what = f"{what} {listed.name}"
    return Why(what, found.allowed, found.rule, found.why, published, warnings, found.until or None)


HANDLERS = [why]
