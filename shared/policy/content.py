"""What the rules of the policy file say of the versions in a project's own list. Pure.

Verdicts are by version, in the order in which versions were published: what is new is new since the last
version that is allowed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import msgspec

from shared.policy import conditions, licences, typos
from shared.policy.age import AgeLimit
from shared.policy.named import Licences, NamedRule
from shared.policy.traits import Change, Traits, change_of
from shared.policy.verdict import UNKNOWN, Rule, Verdict
from shared.setting_values import age, date


class Listed(msgspec.Struct, frozen=True):
    """A version, as its list tells it."""

    traits: Traits
    published: float = 0.0  # unix seconds: when it counts as published
    stored_at: float = 0.0  # unix seconds: when its first file was stored here; 0: none is


class Project(msgspec.Struct, frozen=True):
    """Whose versions they are."""

    protocol: str
    name: str
    source: str = ""  # name of the upstream; "": not known, which is any
    used_since: float = 0.0  # unix seconds: when the first file of it was stored here; 0: none is


class Held(msgspec.Struct, frozen=True):
    """What was found of a version."""

    verdict: Verdict | None  # of the rules here; None: none is against it
    change: Change
    warnings: Mapping[str, str] = {}  # by the name of a rule that only warns, why


def told(stamp: str, verdict: Verdict | None) -> str:
    """What is kept of a verdict beside a file: the rules that it was made under, what is against the file, or
    lets it through for a time."""
    if verdict is None:
        return stamp
    rule = "" if verdict.rule == "policy" else f"@{verdict.rule}"
    return f"{stamp} {verdict.until}{rule} {verdict.why}"


def as_told(stamp: str, judged: str, now: float) -> Verdict | None:
    """The verdict out of `told`; None: nothing is against it; `UNKNOWN`: it was made under other rules, or is
    over (`now` in unix seconds)."""
    if judged == stamp:
        return None
    made_under, _, rest = judged.partition(" ")
    ends, _, why = rest.partition(" ")
    ends, _, rule = ends.partition("@")
    if made_under != stamp or ((until := float(ends or 0.0)) and now >= until):
        return UNKNOWN
    return Verdict(rule == "unverified", _RULES.get(rule, "policy"), why, until)


def are_alike(stamp: str, judged: str, anew: str) -> bool:
    """Whether two that were made under the same rules say the same, whenever they end. What was made under
    others is judged again as it is."""
    found = [as_told(stamp, each, 0.0) for each in (judged, anew)]
    one, other = (None if each is None else (each.rule, each.why) for each in found)
    return UNKNOWN in found or one == other


def end_of(judged: str) -> float:
    """Until when what is kept beside a file holds, in unix seconds; 0: for good, or nothing is kept."""
    ends, _, _ = judged.partition(" ")[2].partition(" ")
    return float(ends.partition("@")[0] or 0.0)


_RULES: Mapping[str, Rule] = {"trust": "trust", "unverified": "unverified"}


def judge(
    rules: Sequence[NamedRule],
    project: Project,
    listed: Sequence[Listed],
    others: Callable[[Listed], Verdict | None],
    *,
    stored_stay: bool,
    now: float,
) -> dict[str, Held]:
    """By version. `others`: the verdict of the rules that come before these, None where none says anything
    against or for it. All times in unix seconds."""
    found: dict[str, Held] = {}
    last: Traits | None = None
    for each in sorted(listed, key=lambda each: each.published):
        change = change_of(each.traits, last)
        before = others(each)
        verdict = None
        warnings: dict[str, str] = {}
        for rule in rules if before is None else ():
            against = asked(rule, project, each, change, now)
            if against is None or (stored_stay and rule.spares(each.stored_at)):
                continue
            if rule.action == "warn":
                warnings[rule.name] = against.why
            else:
                verdict = against
                break
        found[each.traits.version] = Held(verdict, change, warnings)
        if (before or verdict) is None or (before is not None and before.allowed):
            last = each.traits
    return found


def asked(rule: NamedRule, project: Project, each: Listed, change: Change, now: float) -> Verdict | None:
    """What one rule says of one version; None: nothing against it."""
    if rule.sources and project.source and project.source not in rule.sources:
        return None
    if rule.minimum_age or rule.nothing_after:
        limit = AgeLimit(age(rule.minimum_age), rule.since, date(rule.nothing_after), False)
        found = limit.verdict(each.published, 0.0, now)
        if found is None or found.allowed:
            return None
        return msgspec.structs.replace(found, rule="policy", why=f"{rule.name}: {rule.reason or found.why}")
    if rule.refuse or rule.only:
        return Verdict(False, "policy", rule.told)
    why = ""
    if rule.licences is not None:
        why = _licence(rule.licences, each.traits.licence)
    elif rule.install_scripts == "any":
        why = "its install runs code" if each.traits.runs else ""
    elif rule.install_scripts:
        if change.scripts and each.published >= rule.since:
            why = f"its install runs code, unlike that of {change.since}"
    elif rule.typo_of:
        meant = typos.mistyped(project.name, _set(rule.likened(project.protocol)))
        # Who was refused has asked too: only what was had before is known here.
        if meant and not (project.used_since and project.used_since < rule.since):
            why = f"spelt nearly as {meant}, and nothing of it was used here before"
    elif rule.when:
        why = _condition(rule, facts_of(project, each, change))
    told = f"{rule.name}: {rule.reason or why}"
    return Verdict(False, "policy", told, of_name=bool(rule.typo_of)) if why else None


@lru_cache(64)
def _set(names: tuple[str, ...]) -> frozenset[str]:
    return frozenset(names)


@lru_cache(4096)
def _licence(wanted: Licences, told: str | None) -> str:
    """Why a licence may not be taken; "" if it may."""
    if told == "":
        return "it tells no licence" if (wanted.none or wanted.unknown) == "hold" else ""
    if told is None:
        return "its licence is not known" if wanted.unknown == "hold" else ""
    try:
        return "" if licences.allows(told, wanted.allow, wanted.deny) else f"its licence is {told[:100]}"
    except licences.Unreadable:
        return f"its licence {told[:100]!r} is none that can be read" if wanted.unknown == "hold" else ""


def _condition(rule: NamedRule, facts: Mapping[str, Any]) -> str:
    try:
        return "its condition holds" if conditions.holds(rule.when, facts) else ""
    except conditions.BadCondition as error:
        return f"its condition does not say: {error}" if rule.unknown == "hold" else ""


def facts_of(project: Project, each: Listed, change: Change) -> dict[str, Any]:
    """What a condition may ask (`conditions.FACTS`)."""
    traits = each.traits
    return {
        "protocol": project.protocol,
        "name": project.name,
        "version": traits.version,
        "source": project.source,
        "published": float(each.published),
        "licence": traits.licence or "",
        "scripts": bool(traits.scripts),
        "sdist_only": bool(traits.sdist_only),
        "dependencies": list(traits.dependencies),
        "maintainers": list(traits.maintainers),
        "new_dependencies": list(change.dependencies),
        "new_maintainers": list(change.maintainers),
        "new_scripts": change.scripts,
        "size_bytes": traits.size_bytes,
        "size_times": change.size_times,
        "yanked": traits.yanked,
        "deprecated": traits.deprecated,
    }
