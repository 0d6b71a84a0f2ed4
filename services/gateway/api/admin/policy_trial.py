"""What rules of a policy file come to for a package, by themselves: no block, exemption, advisory or setting
has a part in it."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from shared.errors import PackageNotFound
from shared.judging.listings import Listing
from shared.policy.content import Listed, Project, asked
from shared.policy.named import NamedRule
from shared.policy.policy import Policy
from shared.policy.rules import Rules
from shared.policy.traits import Change, Traits
from shared.protocols import named_alike
from shared.protocols.base import PackageProxyBase
from shared.protocols.package_urls import purl, told_purl
from shared.redis import clock

BY_NAME = ("refuse", "only", "typo_of")
"""Kinds of rules that ask no more than the name of what nobody has asked for yet."""


class Outcome(msgspec.Struct, frozen=True):
    """What the rules of a file come to for one version."""

    purl: str
    allowed: bool
    why: str
    warnings: list[str]  # of rules that only warn
    change: Change  # what it has that the last allowed version had not


def outcomes(
    protocol: PackageProxyBase, listing: Listing, version: str, rules: Sequence[NamedRule]
) -> list[Outcome]:
    """What these rules alone come to for a version, or for all of a list (`version` ""). Takes what parsing
    takes. Raises `PackageNotFound` where no list is stored and a rule asks for one."""
    if not listing.body:
        return [_by_name(protocol, listing.project, version, rules)]
    alone = Policy((), Rules(stored_stay=False), named_rules=rules, named=named_alike)
    verdicts = alone.of(protocol.name, listing.project)
    entries, contents = listing.judged(protocol, verdicts, clock.now(), changes=True)
    found: dict[str, Outcome] = {}
    for each, _, verdict in entries:
        if version in ("", each.version):
            told = told_purl(protocol.name, listing.project, each.version, each.name)
            held = contents.get(each.version)
            against = verdict if verdict is not None and not verdict.allowed else None
            found[each.version] = Outcome(
                told,
                against is None,
                "" if against is None else against.why,
                [] if held is None else list(held.warnings.values()),
                Change() if held is None else held.change,
            )
    return list(found.values())


def _by_name(protocol: PackageProxyBase, project: str, version: str, rules: Sequence[NamedRule]) -> Outcome:
    """Of a package whose list nobody has asked for."""
    about = [each for each in rules if each.is_about(protocol.name, named_alike(protocol.name, project))]
    listed = Listed(Traits(version))
    warnings: list[str] = []
    more = [each for each in about if each.kind not in BY_NAME or each.sources]
    for rule in about:
        if rule in more:
            continue
        against = asked(rule, Project(protocol.name, project), listed, Change(), clock.now())
        if against is not None and rule.action == "hold":
            return Outcome(purl(protocol.name, project, version), False, against.why, warnings, Change())
        warnings += [] if against is None else [against.why]
    if more:
        raise PackageNotFound(
            f"no list of the versions of {project} is stored here, and the rule {more[0].name!r} asks for it",
            hint="Ask for the package once, by its client.",
        )
    return Outcome(purl(protocol.name, project, version), True, "", warnings, Change())
