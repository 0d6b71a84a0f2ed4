"""A build's own policy: rules that it is held to beside the server's, never in their place
(docs/decisions/0056).

Ages and dates are a moment that the build sees everything as of; names are asked before anything is answered;
what a project's list, or a file, tells of a version is judged once all of it is there: before the seal.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence

import msgspec

from shared.builds.entries import File
from shared.errors import Blocked, Conflict, InvalidParameter
from shared.errors.passing import DeadlineExceeded
from shared.judging.listings import Listing, load_listing
from shared.policy.content import Listed, judge
from shared.policy.named import NamedRule
from shared.policy.policy import Policy
from shared.policy.rules import Rules
from shared.policy.traits import Traits
from shared.protocols import named_alike, protocol_named
from shared.protocols.base import PackageProxyBase
from shared.protocols.dating import licences_of, project_of
from shared.protocols.reading.views import View, view_named
from shared.redis import clock
from shared.setting_values import age, date
from shared.stores import Stores

MOST_BYTES = 48 * 1024  # of the rules of one session, which each of its requests reads
MOST_TOLD = 20
AT_ONCE = 4  # lists that are read beside one another; one may have 40 MB
TURN_SECONDS = 0.25

# $1: SHA256s. Whether some of these files have yet to be read, as their licences are told in them.
PENDING = "SELECT EXISTS (SELECT FROM artifacts WHERE sha256 = ANY ($1) AND extraction_state = 'pending')"

_BY_TIME = ("minimum_age", "nothing_after")


def check_rules(rules: Sequence[NamedRule]) -> None:
    """Raises `InvalidParameter` for what no build of its own can be held to."""
    for rule in rules:
        told = f"policy: rule {rule.name!r}: "
        if rule.action != "hold":
            raise InvalidParameter(f"{told}a build's own rules hold; none only warns")
        if rule.kind == "trust":
            raise InvalidParameter(
                f"{told}provenance is asked where files are fetched: by the server's policy"
            )
        if rule.kind in _BY_TIME and (rule.protocols or rule.names or rule.sources):
            raise InvalidParameter(f"{told}an age or a date is one of all that the build sees")
    if len(msgspec.msgpack.encode(rules)) > MOST_BYTES:
        raise InvalidParameter(f"policy: more than {MOST_BYTES} bytes of rules, popular names included")


def moment_of(rules: Iterable[NamedRule], view: View | None, now: float) -> View | None:
    """The earliest moment that the rules, or the view that was asked for, let a build see; None: there is
    none."""
    moments = [] if view is None else [view.moment]
    moments += [now - age(each.minimum_age) for each in rules if age(each.minimum_age)]
    moments += [date(each.nothing_after) for each in rules if each.nothing_after]
    return view_named(f"at-{int(min(moments))}") if moments else None


def check_name(rules: Sequence[NamedRule], protocol: str, project: str) -> None:
    """Raises `RefusedByPolicy` for a project that may be no part of the build."""
    for rule in rules:
        if (rule.refuse or rule.only) and rule.is_about(protocol, project):
            _judging(rules).check_named(protocol, project, "")


def _judging(rules: Sequence[NamedRule]) -> Policy:
    """What is left to be judged once the build sees its moment; nothing stored is spared."""
    left = [each for each in rules if each.kind not in _BY_TIME]
    return Policy((), Rules(stored_stay=False), named_rules=left, named=named_alike)


async def check_got(
    rules: Sequence[NamedRule], files: Sequence[File], stores: Stores, seconds: float
) -> None:
    """Raises `Conflict` with what of these the rules are against, `DeadlineExceeded` while that takes longer,
    and what the stores raise."""
    if not any(each.kind not in _BY_TIME for each in rules):
        return
    try:
        async with asyncio.timeout(seconds):
            if any(each.licences is not None for each in rules):
                await _read(files, stores)
            against = await _against(_judging(rules), files, stores)
    except TimeoutError:
        raise DeadlineExceeded(f"what its policy says was not known within {seconds:.3g} s") from None
    if against:
        more = f"; and {len(against) - MOST_TOLD} more" if len(against) > MOST_TOLD else ""
        raise Conflict(
            f"its own policy is against what the build got: {'; '.join(against[:MOST_TOLD])}{more}",
            hint="`orchard build show ID` lists all that it got. Start another, without these.",
        )


async def _read(files: Sequence[File], stores: Stores) -> None:
    """Wait until extractors have read those that tell anything."""
    digests = [
        bytes.fromhex(each.stored.sha256)
        for each in files
        if each.stored is not None
        and protocol_named(each.protocol).archive.is_extractable(each.file.filename)
    ]
    while True:
        row = await stores.database.fetchrow(PENDING, digests)
        if row is None or not row[0]:
            return
        await asyncio.sleep(TURN_SECONDS)


async def _against(policy: Policy, files: Sequence[File], stores: Stores) -> list[str]:
    versions: dict[tuple[str, str], set[str]] = {}
    for each in files:
        grammar = protocol_named(each.protocol).grammar
        version = grammar.version_asked(grammar.artifact_resource(each.file))
        versions.setdefault((each.protocol, each.file.project), set()).add(version)
    turns = asyncio.Semaphore(AT_ONCE)

    async def one(name: str, project: str, wanted: set[str]) -> list[str]:
        protocol = protocol_named(name)
        async with turns:
            listing = await load_listing(stores, protocol, project)
            return await stores.threads.run(_of_project, protocol, listing, wanted, policy)

    found = await asyncio.gather(*(one(*key, wanted) for key, wanted in sorted(versions.items())))
    return [each for some in found for each in some]


def _of_project(protocol: PackageProxyBase, listing: Listing, wanted: set[str], policy: Policy) -> list[str]:
    project = listing.project
    try:
        policy.check_named(protocol.name, project, "")
    except Blocked as error:
        return [f"{project}: {error.message}"]
    verdicts = policy.of(protocol.name, project)
    if not verdicts.asks_list:
        return []
    now = clock.now()
    _, contents = listing.judged(protocol, verdicts, now)
    licences = licences_of(protocol, project, listing.sealed)
    unlisted = [Listed(Traits(each, licence=licences.get(each))) for each in wanted - contents.keys()]
    about = project_of(protocol, project, listing.seen, listing.sealed)
    alone = judge(verdicts.rules, about, unlisted, lambda _: None, stored_stay=False, now=now)
    found = {version: held.verdict for version, held in {**contents, **alone}.items() if version in wanted}
    return [
        f"{project} {version}: {verdict.why}"
        for version, verdict in sorted(found.items())
        if verdict is not None and not verdict.allowed
    ]
