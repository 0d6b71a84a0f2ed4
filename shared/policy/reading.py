"""The policy file: TOML, one table `[[rule]]` for each rule, read and checked whole (docs/firewall.md).

```
[[rule]]
name = "no copyleft"
protocols = ["npm"]
licences = {deny = ["AGPL-3.0-only"]}
```
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Collection, Iterable, Mapping

import msgspec

from shared.errors import InvalidParameter
from shared.policy import conditions, licences, typos
from shared.policy.complaints import meant, wrong_fields
from shared.policy.named import KINDS, Licences, NamedRule
from shared.policy.spelling import Naming, check_names, in_force
from shared.setting_values import age, date

MAX_BYTES = 1024 * 1024
MOST_RULES = 200
MOST_NAMES = 10_000  # of one rule
MOST_KEYS = 100  # of one rule
LONGEST_REASON = 500  # characters
YEAR_SECONDS = 365 * 86_400.0
HINT = (
    "docs/firewall.md, A policy file, has all that a rule may say; `orchard policy apply --dry-run` tries it."
)


class PolicyFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All of it; the first rule that fits decides."""

    rule: tuple[NamedRule, ...] = ()


def read_policy(
    text: str,
    naming: Mapping[str, Naming],
    popular: Mapping[str, Iterable[str]],
    sources: Mapping[str, Collection[str]],
) -> list[NamedRule]:
    """The rules of a file, with what their names stand for in each protocol. `naming`: by protocol, of all
    there are; `popular`: by protocol, what `typo_of = ["*"]` stands for; `sources`: by protocol, the names of
    the upstreams there are. Raises `InvalidParameter` with the rule's name and the reason."""
    if len(text.encode()) > MAX_BYTES:
        raise _bad(f"larger than {MAX_BYTES} bytes")
    try:
        raw = tomllib.loads(text)
        wrong = wrong_fields(raw)
        if wrong:
            raise _bad(wrong)
        file = msgspec.convert(raw, PolicyFile)
    except tomllib.TOMLDecodeError as error:
        raise _bad(f"it is no TOML: {error}") from None
    except (msgspec.ValidationError, RecursionError) as error:
        raise _bad(str(error)) from None
    if len(file.rule) > MOST_RULES:
        raise _bad(f"more than {MOST_RULES} rules")
    names = [each.name for each in file.rule]
    for rule in file.rule:
        if names.count(rule.name) > 1:
            raise _bad(f"two rules are called {rule.name[:80]!r}")
        try:
            _check(rule, naming, sources)
        except ValueError as error:  # msgspec.ValidationError is one
            raise _bad(f"rule {rule.name[:80]!r}: {error}") from None
    try:
        conditions.check_together([rule.when for rule in file.rule])
    except conditions.BadCondition as error:
        raise _bad(f"when: {error}") from None
    return [
        msgspec.structs.replace(
            in_force(rule, naming, popular),
            signed_by=tuple(map(_fingerprint, rule.signed_by)),
            since=date(rule.began),
        )
        for rule in file.rule
    ]


def _bad(why: str) -> InvalidParameter:
    return InvalidParameter(f"policy: {why}", hint=HINT)


def _read(key: str, parse: Callable[[str], float], text: str) -> float:
    """Of a field that is a time. Raises `ValueError` with its name."""
    try:
        return parse(text)
    except msgspec.ValidationError as error:
        raise ValueError(f"{key}: {error}, not {text[:80]!r}") from None


def _fingerprint(text: str) -> str:
    """As people write it ("0x…", in groups) in lower-case hex. Raises `ValueError` for a key id: those can be
    made to order."""
    found = "".join(text.split()).lower().removeprefix("0x")
    if re.fullmatch(r"[0-9a-f]{40}|[0-9a-f]{64}", found) is None:
        raise ValueError(f"signed_by: {text[:80]!r} is no fingerprint of 40 or 64 hex digits")
    return found


def _check(rule: NamedRule, naming: Mapping[str, Naming], sources: Mapping[str, Collection[str]]) -> None:
    if not (0 < len(rule.name) <= 80 and rule.name.isprintable()):
        raise ValueError("name: 1 to 80 characters of one line")
    if len(rule.kinds) != 1:
        if rule.kinds:
            told = " and ".join(rule.kinds)
            raise ValueError(f"it asks {told}, and a rule asks one thing: make a rule of each")
        raise ValueError(f"it asks nothing: expected one of {', '.join(KINDS)}")
    for each in rule.protocols:
        if each not in naming:
            near = meant(each, naming)
            raise ValueError(f"protocols: {each[:40]!r} is none of {', '.join(naming)}{near}")
    if max(map(len, (rule.names, rule.sources, rule.typo_of))) > MOST_NAMES:
        raise ValueError(f"more than {MOST_NAMES} names")
    own = {each: naming[each] for each in rule.protocols or naming}
    check_names(rule, own)
    known = sorted({name for each in own for name in sources.get(each, ())})
    for name in rule.sources:
        if name not in known:
            told = f"none of the upstreams of {', '.join(own)}: {', '.join(known) or 'there are none'}"
            raise ValueError(f"sources: {name[:80]!r} is {told}")
    if rule.licences is not None and rule.licences == Licences():
        raise ValueError('licences: it asks nothing: name some in `allow` or `deny`, or set unknown = "hold"')
    if rule.typo_of and all(len(each) < typos.SHORTEST and each != "*" for each in rule.typo_of):
        raise ValueError(f"typo_of: nothing is nearly a name of fewer than {typos.SHORTEST} letters")
    if rule.only and not rule.names:
        raise ValueError("names: an allow list names something")
    if rule.trust and (rule.sources or rule.action == "warn"):
        raise ValueError("trust: it holds, of whatever source: neither `sources` nor `action`")
    if rule.signed_by:
        if rule.sources or rule.action == "warn":
            raise ValueError("signed_by: it holds, of whatever source: neither `sources` nor `action`")
        signing = [each for each, names in naming.items() if names.signs_files]
        if not rule.protocols or not set(rule.protocols) <= set(signing):
            raise ValueError(f"protocols: files of {', '.join(signing)} alone have signatures beside them")
        if len(rule.signed_by) > MOST_KEYS:
            raise ValueError(f"signed_by: more than {MOST_KEYS} keys")
        for each in rule.signed_by:
            _fingerprint(each)
    if len(rule.reason) > LONGEST_REASON or not rule.reason.isprintable():
        raise ValueError(f"reason: one line of at most {LONGEST_REASON} characters")
    _read("minimum_age", age, rule.minimum_age)
    _read("nothing_after", date, rule.nothing_after)
    _read("began", date, rule.began)
    for text in (*rule.licences.allow, *rule.licences.deny) if rule.licences is not None else ():
        try:
            licences.name_of(text)
        except licences.Unreadable:
            raise ValueError(f"licences: SPDX knows no {text[:80]!r}") from None
    if rule.when:
        try:
            conditions.check(rule.when)
        except conditions.BadCondition as error:
            raise ValueError(f"when: {error}") from None


def put_in_force(wanted: Iterable[NamedRule], before: Iterable[NamedRule], now: float) -> list[NamedRule]:
    """`wanted`, each since when it counts: since one of `before` that is as it did (they stand, or went);
    else it begins now (unix seconds). What a rule has refused must not be what was here before it."""
    before = list(before)

    def began(rule: NamedRule) -> float:
        return min(
            (each.since for each in before if each.name == rule.name and rule.is_as(each)), default=now
        )

    return [rule if rule.since else msgspec.structs.replace(rule, since=began(rule)) for rule in wanted]


def refuses_all(rule: NamedRule, sources: Mapping[str, Collection[str]], now: float) -> bool:
    """Whether it can be told without looking that it refuses whatever it is about, or all of the last year,
    and is about all names of a protocol. `sources`: as `read_policy` takes them, of all protocols. `now` in
    unix seconds."""
    own = [names for name, names in sources.items() if name in (rule.protocols or sources)]
    if rule.action == "warn" or (
        rule.sources and any(name not in rule.sources for names in own for name in names)
    ):
        return False
    widest = not rule.names or not all(each.strip("*?") for each in rule.names)
    if rule.when and widest:
        return all(_holds(rule, name) for name in ("a", "zz-zz", "org.a:b"))
    newest = date(rule.nothing_after) or now
    return widest and (rule.refuse or min(newest, now - age(rule.minimum_age)) <= now - YEAR_SECONDS)


def _holds(rule: NamedRule, name: str) -> bool:
    """Whether its condition is against a name; of one that gives no answer, what the rule says of that."""
    try:
        return conditions.holds(rule.when, {**conditions.FACTS, "name": name})
    except conditions.BadCondition:
        return rule.unknown == "hold"
