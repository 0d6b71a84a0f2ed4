"""The rules as they are stored: one value of the settings, and rows that operators make."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import msgspec

from shared.policy.trust import Trust
from shared.settings import Settings


class Block(msgspec.Struct, frozen=True, omit_defaults=True):
    """One row of `blocks`, or what an upstream has blocked: a name with all its versions, one version of it,
    or bytes by their SHA256."""

    id: int
    reason: str
    protocol: str = ""
    name: str = ""
    version: str = ""  # canonical; "" = all
    sha256: str = ""  # hex


class ToldBlock(msgspec.Struct, frozen=True, omit_defaults=True):
    """A block as one Orchard tells it to another."""

    reason: str
    protocol: str = ""
    name: str = ""
    version: str = ""
    sha256: str = ""


OF_UPSTREAM = 0
"""The `id` of a block that an upstream made: it has no row of its own, and is lifted there."""


def told(blocks: Iterable[Block], protocol: str) -> list[ToldBlock]:
    """The blocks of a protocol, and those of bytes. One's own come first: who is told reads so many and no
    more, and an upstream may have any number."""
    return [
        ToldBlock(each.reason, each.protocol, each.name, each.version, each.sha256)
        for each in sorted(blocks, key=lambda each: each.id == OF_UPSTREAM)
        if each.sha256 or each.protocol == protocol
    ]


class Exemption(Block, frozen=True, omit_defaults=True):
    """One row of `exemptions`: what no rule holds back until `expires_at`."""

    expires_at: float = 0.0  # unix seconds; 0: never
    covers_malware: bool = False  # else the rule of malware counts for it

    def is_active(self, now: float) -> bool:
        """Whether it counts at this moment (unix seconds)."""
        return not self.expires_at or now < self.expires_at


class AgeRule(msgspec.Struct, frozen=True, omit_defaults=True):
    """A minimum age. What was stored before `since` stays, if `Rules.stored_stay` says so."""

    seconds: float
    since: float = 0.0  # unix seconds: since when it asks for as much as this


class Rules(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the settings say, of all protocols: the row `policy`."""

    ages: dict[str, AgeRule] = {}  # by protocol; "": of all that have none of their own
    nothing_after: float = 0.0  # unix seconds; 0: no such date
    stored_stay: bool = True
    feeds: bool = False  # whether advisories count; then nothing is served while none are known
    severity: float | None = None  # CVSS: a vulnerability of so much is refused; None: none is, 0: each is
    severity_since: float = 0.0  # unix seconds: since when it asks for as much as this
    trust: Trust = ""
    trust_unknown: Literal["allow", "hold"] = "allow"
    trust_since: float = 0.0  # unix seconds: since when provenance is asked for so

    def is_as(self, other: Rules) -> bool:
        """Whether both ask for the same, whenever they began to."""
        return _timeless(self) == _timeless(other)


def rules_of(settings: Settings) -> Rules:
    """The rules that an environment asks for, since no time that is known: nothing stored is older."""
    return Rules(
        ages={name: AgeRule(seconds) for name, seconds in settings.minimum_ages.items()},
        nothing_after=settings.nothing_after or 0.0,
        stored_stay=settings.stored_stay,
        feeds=bool(settings.osv_feeds),
        severity=settings.osv_severity,
        trust=settings.trust,
        trust_unknown=settings.trust_unknown,
    )


def put_in_force(wanted: Rules, standing: Rules | None, now: float) -> Rules:
    """`wanted` with the times since when each age is asked for: a rule that is new or stricter begins now
    (unix seconds), one that is as it was, or laxer, when it did."""
    known = {} if standing is None else standing.ages
    everywhere = known.get("", AgeRule(0.0))
    ages = {}
    for name, rule in wanted.ages.items():
        before = known.get(name, everywhere)
        ages[name] = AgeRule(rule.seconds, before.since if rule.seconds <= before.seconds else now)
    begun = None if standing is None else standing.severity
    since = now
    if wanted.severity is None or (begun is not None and begun <= wanted.severity):
        since = 0.0 if standing is None else standing.severity_since
    stands = standing is not None and standing.trust == wanted.trust == "no-downgrade"
    trusted = standing.trust_since if standing is not None and stands else now
    return msgspec.structs.replace(wanted, ages=ages, severity_since=since, trust_since=trusted)


def lost(wanted: Rules, standing: Rules) -> list[str]:
    """In words, what `wanted` asks less than `standing`: an environment that lacks a line must not go
    unnoticed."""
    found = []
    for name, rule in standing.ages.items():
        now = wanted.ages.get(name, wanted.ages.get("", AgeRule(0.0))).seconds
        if now < rule.seconds:
            of = f" of {name}" if name else ""
            found.append(f"the minimum age{of} was {rule.seconds / 3600:g} h, and is {now / 3600:g} h")
    if standing.nothing_after and not 0 < wanted.nothing_after <= standing.nothing_after:
        found.append("the date after which nothing is served is gone, or later")
    if standing.feeds and not wanted.feeds:
        found.append("no feed of advisories counts: no malware is refused")
    if standing.severity is not None and (wanted.severity is None or wanted.severity > standing.severity):
        found.append("fewer vulnerabilities are refused, or none")
    if standing.trust == "no-downgrade" != wanted.trust:
        found.append("no provenance is asked for")
    if wanted.stored_stay and not standing.stored_stay:
        found.append("what was stored before a rule stays served")
    return found


def _timeless(rules: Rules) -> tuple[object, ...]:
    ages = {name: rule.seconds for name, rule in rules.ages.items()}
    others = rules.stored_stay, rules.feeds, rules.severity, rules.trust, rules.trust_unknown
    return ages, rules.nothing_after, *others
