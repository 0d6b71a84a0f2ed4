"""The admin API: the policy file, applied whole; and what is held back by it, approved or denied."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Annotated

import msgspec
from litestar import get, post
from litestar.params import Parameter

from services.gateway.api.admin.access_types import BlockEntry, MadeExemption, NewBlock
from services.gateway.api.admin.checks import expiry_of, reason_of
from services.gateway.api.admin.decided import let_in
from services.gateway.api.admin.dry_run import DAYS, DryRun, dry_run
from services.gateway.api.admin.held_rows import HeldRows, HeldVersion, held_version
from services.gateway.api.admin.policy_reading import SourceNames, read, source_names
from services.gateway.api.admin.policy_rows import PolicyRows, Standing
from services.gateway.api.admin.policy_trial import Outcome, outcomes
from services.gateway.api.admin.popular import Popular
from services.gateway.api.admin.repository import Actor, AdminRepository
from services.gateway.api.admin.subjects import read_subject
from services.gateway.api.parameters import DEFAULT_LIMIT, Cursor, Limit, check_limit, page_of, read_cursor
from services.gateway.api.types import Input, Page
from shared.access.watcher import AccessWatcher
from shared.errors import Conflict, InvalidParameter, OrchardError
from shared.judging.listings import load_listing
from shared.policy.held import HeldBack, held_back
from shared.policy.named import NamedRule
from shared.policy.policy import Policy
from shared.policy.reading import put_in_force, refuses_all
from shared.postgres.database import Database
from shared.process.threads import BoundedThreads
from shared.protocols import PROTOCOLS, protocol_named
from shared.protocols.base import PackageProxyBase
from shared.redis import clock
from shared.stores import Stores


class PolicyText(Input, frozen=True):
    """A policy file. `dry_run`: change nothing, and tell what it would have refused. `yes`: also rules that
    would have refused everything, and a file without any, which takes all away."""

    policy: str
    dry_run: bool = False
    yes: bool = False


class Applied(msgspec.Struct, frozen=True):
    """The rules in force, or with `dry_run` those that would be, as they are written; and what each would
    have refused. `counted`: false where they are in force, and that could not be counted. `ended`: names of
    rules that were in force and are not in the file. `notes`: what a rule does not do, and who wrote it may
    not expect."""

    rules: list[NamedRule]
    would_refuse: list[DryRun]
    applied: bool
    counted: bool = True
    ended: list[str] = []
    notes: list[str] = []


class Tried(Input, frozen=True):
    """A package to judge. `policy`: by this file; "": by the rules in force."""

    of: str
    policy: str = ""


class Decision(Input, frozen=True):
    """Of a held version, or of all of a package: why, and until when an approval counts."""

    of: str
    reason: str
    expires: str = ""
    yes: bool = False  # approve malware too


@get("/api/v1/admin/policy", summary="The rules of the policy file")
async def show(access_watcher: AccessWatcher) -> Page[NamedRule]:
    """In their order, as they are written; `since` in unix seconds, `popular` what `typo_of` stands for."""
    state = access_watcher.state
    return Page([] if state is None else [each.as_written() for each in state.policy_rules])


@post("/api/v1/admin/policy", summary="Apply a policy file", status_code=200)
async def apply(
    database: Database,
    stores: Stores,
    parsers: BoundedThreads,
    actor: Actor,
    access_watcher: AccessWatcher,
    popular: Popular,
    data: PolicyText,
) -> Applied:
    """In force everywhere within a second, in place of all rules that were applied before. What each rule
    would have refused of the last 30 days is told with it: with `yes` once they are in force, else before.
    One that would have refused everything is not applied without `yes`, nor a file without rules where some
    are in force. 409 where somebody else applied one meanwhile."""
    sources = await source_names(database)
    wanted = await parsers.run(read, data.policy, popular, sources)
    rows = PolicyRows(database)
    standing = await rows.standing(wanted)
    rules = put_in_force(wanted, standing.before, clock.now())
    written = [each.as_written() for each in rules]
    notes = [*_notes(rules)]
    ended = sorted({each.name for each in standing.rules} - {each.name for each in rules})
    count = partial(dry_run, database, stores, parsers, rules, sources)
    if data.yes and not data.dry_run:  # nobody waits for a count to be protected
        await rows.replace(actor, rules, standing)
        await access_watcher.refresh()
        try:
            return Applied(written, await count(), applied=True, ended=ended, notes=notes)
        except OrchardError:
            return Applied(written, [], applied=True, counted=False, ended=ended, notes=notes)
    told = await count()
    if data.dry_run:
        return Applied(written, told, applied=False, ended=ended, notes=notes)
    _check_asked_for(rules, told, standing, sources)
    await rows.replace(actor, rules, standing)
    await access_watcher.refresh()
    return Applied(written, told, applied=True, ended=ended, notes=notes)


def _notes(rules: Sequence[NamedRule]) -> Iterator[str]:
    for rule in rules:
        if rule.licences is not None and rule.licences.unknown == "allow":
            asked = [each for each in PROTOCOLS if each.name in (rule.protocols or (each.name,))]
            silent = [each.name for each in asked if not each.documents.tells_licences]
            if silent:
                yield (
                    f"{rule.name}: lists of {', '.join(silent)} tell no licence: who asks first for a "
                    'version gets it, then its licence counts; unknown = "hold" holds back what is not read'
                )


def _check_asked_for(
    rules: Sequence[NamedRule], told: Sequence[DryRun], standing: Standing, sources: SourceNames
) -> None:
    """Raises `Conflict` for what may be a mistake: no rules, or one that refuses everything."""
    if standing.rules and not rules:
        raise Conflict(
            f"this file has no rules: it takes away all that are in force ({len(standing.rules)})",
            hint="`orchard policy apply --yes` takes them away all the same.",
        )
    widest = [each.name for each in told if each.refuses_all]
    widest += [each.name for each in rules if refuses_all(each, sources, clock.now())]
    if widest:
        counts = {each.name: each.versions for each in told}
        raise Conflict(
            f"rule {widest[0]!r} would refuse everything of a protocol:"
            f" {counts.get(widest[0], 0)} versions of the last {DAYS} days",
            hint="`orchard policy apply --yes` puts it in force all the same.",
        )


@post("/api/v1/admin/policy/test", summary="What a policy file says of a package", status_code=200)
async def test(
    stores: Stores, parsers: BoundedThreads, access_watcher: AccessWatcher, popular: Popular, data: Tried
) -> Page[Outcome]:
    """Of a version, or of all, by the last good list and these rules alone; they spare nothing stored.
    Without a list by the name, where the rules about it ask for no more. Changes nothing."""
    named = read_subject(data.of)
    if named.sha256:
        raise InvalidParameter("of: expected a package URL")
    state = access_watcher.state
    rules = () if state is None else state.policy_rules
    if data.policy:
        wanted = await parsers.run(read, data.policy, popular, await source_names(stores.database))
        standing = await PolicyRows(stores.database).standing(wanted)
        rules = tuple(put_in_force(wanted, standing.before, clock.now()))
    protocol = protocol_named(named.protocol)
    listing = await load_listing(stores, protocol, named.project)
    return Page(await parsers.run(outcomes, protocol, listing, named.version, rules))


@get("/api/v1/admin/held", summary="Versions that are held back")
async def held(
    database: Database, access_watcher: AccessWatcher, limit: Limit = DEFAULT_LIMIT, cursor: Cursor = ""
) -> Page[HeldVersion]:
    """The last that was held first, as pages were made; of each project the newest. What a rule refuses by
    its name has no page, and is not here."""
    rows = await HeldRows(database).page(read_cursor(cursor, int), check_limit(limit) + 1)
    page = page_of(rows, limit)
    policy, now = access_watcher.policy, clock.now()
    return Page([each for each in page.items if each.still(policy, now)], page.next)


@get("/api/v1/admin/held/versions", summary="What is held back of a package")
async def held_of(
    stores: Stores,
    parsers: BoundedThreads,
    access_watcher: AccessWatcher,
    of: Annotated[str, Parameter(description="A package URL, with a version or without")],
) -> Page[HeldVersion]:
    """All of its versions, or the one that is named, by the last good list and the rules of now."""
    named = read_subject(of)
    if named.sha256:
        raise InvalidParameter("of: expected a package URL")
    protocol, project = protocol_named(named.protocol), named.project
    found = await _held_back(stores, parsers, access_watcher.policy, protocol, project, named.version)
    return Page([held_version(named.protocol, named.project, each) for each in found])


async def _held_back(
    stores: Stores,
    parsers: BoundedThreads,
    policy: Policy,
    protocol: PackageProxyBase,
    project: str,
    version: str,
) -> list[HeldBack]:
    """Of a package, or of one version of it."""
    listing = await load_listing(stores, protocol, project)
    verdicts = policy.of(protocol.name, project)
    judged = await parsers.run(partial(listing.judged, changes=True), protocol, verdicts, clock.now())
    return [each for each in held_back(*judged) if version in ("", each.version)]


@post("/api/v1/admin/held/approve", summary="Let a held version in")
async def approve(
    repository: AdminRepository,
    actor: Actor,
    access_watcher: AccessWatcher,
    stores: Stores,
    parsers: BoundedThreads,
    data: Decision,
) -> MadeExemption:
    """Makes an exemption: served everywhere within a second, but for what is blocked by hand; the answer says
    so, and whether anything held it back. Malware asks for `yes`."""
    what = _decided(data)
    ends = expiry_of(data.expires.strip(), clock.now())
    was_held = await _was_held(stores, parsers, access_watcher.policy, what)
    made = await let_in(repository, actor, access_watcher, stores, what, ends, yes=data.yes)
    return msgspec.structs.replace(made, was_held=was_held)


async def _was_held(stores: Stores, parsers: BoundedThreads, policy: Policy, what: NewBlock) -> bool | None:
    """Whether a rule holds it back, by its name or by what is stored of it; None: that cannot be told now."""
    verdicts = policy.of(what.protocol, what.name)
    listed = verdicts.listed
    if verdicts.by_name(what.version, "") is None and listed is not None and not listed.allowed:
        return True
    try:
        protocol = protocol_named(what.protocol)
        return bool(await _held_back(stores, parsers, policy, protocol, what.name, what.version))
    except OrchardError:
        return None


@post("/api/v1/admin/held/deny", summary="Keep a held version out")
async def deny(
    repository: AdminRepository, actor: Actor, access_watcher: AccessWatcher, data: Decision
) -> BlockEntry:
    """Makes a block: it stays out when the rule would let it in."""
    if data.expires:
        raise InvalidParameter("expires: a block has no end; lift it by `orchard blocks remove`")
    made = await repository.add_block(actor, _decided(data))
    await access_watcher.refresh()
    return made


def _decided(data: Decision) -> NewBlock:
    named = read_subject(data.of)
    if named.sha256:
        raise InvalidParameter("of: expected a package URL")
    return NewBlock(reason_of(data.reason), named.protocol, named.project, named.version)


HANDLERS = [show, apply, test, held, held_of, approve, deny]
