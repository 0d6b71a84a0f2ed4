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
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import msgspec

from shared.errors import InvalidParameter
from shared.policy import conditions, licences
from shared.policy.named import KINDS, Licences, NamedRule
from shared.setting_values import age, date

MAX_BYTES = 1024 * 1024
ALL_POPULAR = "*"
MOST_RULES = 200
MOST_NAMES = 10_000  # of one rule
MOST_KEYS = 100  # of one rule
LONGEST_REASON = 500  # characters


class PolicyFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All of it; the first rule that fits decides."""

    rule: tuple[NamedRule, ...] = ()


def read_policy(
    text: str,
    protocols: Sequence[str],
    meant: Callable[[str], Iterable[str]],
    popular: Mapping[str, Iterable[str]],
    signing: Sequence[str],
) -> list[NamedRule]:
    """The rules of a file, with the patterns that their names stand for. `protocols`: those there are;
    `meant`: of a pattern, what it stands for in any of them; `popular`: by protocol, what `typo_of = ["*"]`
    stands for; `signing`: protocols whose files have signatures beside them. Raises `InvalidParameter` with
    the rule's name and the reason."""
    if len(text.encode()) > MAX_BYTES:
        raise InvalidParameter(f"policy: larger than {MAX_BYTES} bytes")
    try:
        raw = tomllib.loads(text)
        file = msgspec.convert(raw, PolicyFile)
        _check_fields(raw.get("rule", []))
    except tomllib.TOMLDecodeError as error:
        raise InvalidParameter(f"policy: {error}") from None
    except (msgspec.ValidationError, RecursionError) as error:
        raise InvalidParameter(f"policy: {error}") from None
    if len(file.rule) > MOST_RULES:
        raise InvalidParameter(f"policy: more than {MOST_RULES} rules")
    names = [each.name for each in file.rule]
    for rule in file.rule:
        if names.count(rule.name) > 1:
            raise InvalidParameter(f"policy: two rules are called {rule.name[:80]!r}")
        try:
            _check(rule, protocols, signing)
        except ValueError as error:  # msgspec.ValidationError is one
            raise InvalidParameter(f"policy: rule {rule.name[:80]!r}: {error}") from None
    return [
        msgspec.structs.replace(
            rule,
            names=tuple(dict.fromkeys(each for name in rule.names for each in meant(name.strip()))),
            typo_of=tuple(
                dict.fromkeys(each.lower() for name in rule.typo_of for each in meant(name.strip()))
            ),
            popular={
                each: tuple(sorted(name.lower() for name in names))
                for each, names in popular.items()
                if ALL_POPULAR in rule.typo_of and each in (rule.protocols or protocols)
            },
            signed_by=tuple(map(_fingerprint, rule.signed_by)),
            since=date(rule.began),
        )
        for rule in file.rule
    ]


def _check_fields(rules: list[dict[str, Any]]) -> None:
    """Rows are read loosely, for an older process may read a newer one's; a file is not."""
    for rule in rules:
        for fields, known in ((rule, NamedRule), (rule.get("licences", {}), Licences)):
            unknown = sorted(fields.keys() - set(known.__struct_fields__))
            if unknown:
                raise msgspec.ValidationError(f"rule {str(rule.get('name'))[:80]!r} has no {unknown[0]!r}")


def _fingerprint(text: str) -> str:
    """As people write it ("0x…", in groups) in lower-case hex. Raises `ValueError` for a key id: those can be
    made to order."""
    found = "".join(text.split()).lower().removeprefix("0x")
    if re.fullmatch(r"[0-9a-f]{40}|[0-9a-f]{64}", found) is None:
        raise ValueError(f"signed_by: {text[:80]!r} is no fingerprint of 40 or 64 hex digits")
    return found


def _check(rule: NamedRule, protocols: Sequence[str], signing: Sequence[str]) -> None:
    if not (0 < len(rule.name) <= 80 and rule.name.isprintable()):
        raise ValueError("name: 1 to 80 characters of one line")
    if len(rule.kinds) != 1:
        raise ValueError(f"expected one of {', '.join(KINDS)}, not {' and '.join(rule.kinds) or 'none'}")
    for each in rule.protocols:
        if each not in protocols:
            raise ValueError(f"protocols: {each[:40]!r} is none of {', '.join(protocols)}")
    if max(map(len, (rule.names, rule.sources, rule.typo_of))) > MOST_NAMES:
        raise ValueError(f"more than {MOST_NAMES} names")
    if rule.only and not rule.names:
        raise ValueError("names: an allow list names something")
    if rule.trust and (rule.sources or rule.action == "warn"):
        raise ValueError("trust: it holds, of whatever source: neither `sources` nor `action`")
    if rule.signed_by:
        if rule.sources or rule.action == "warn":
            raise ValueError("signed_by: it holds, of whatever source: neither `sources` nor `action`")
        if not rule.protocols or not set(rule.protocols) <= set(signing):
            raise ValueError(f"protocols: files of {', '.join(signing)} alone have signatures beside them")
        if len(rule.signed_by) > MOST_KEYS:
            raise ValueError(f"signed_by: more than {MOST_KEYS} keys")
        for each in rule.signed_by:
            _fingerprint(each)
    if len(rule.reason) > LONGEST_REASON or not rule.reason.isprintable():
        raise ValueError(f"reason: one line of at most {LONGEST_REASON} characters")
    if rule.since:
        raise ValueError("since: say `began`")
    if rule.popular:
        raise ValueError('popular: say `typo_of = ["*"]`')
    age(rule.minimum_age)
    date(rule.nothing_after)
    date(rule.began)
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


def put_in_force(wanted: Iterable[NamedRule], standing: Iterable[NamedRule], now: float) -> list[NamedRule]:
    """`wanted`, each since when it stands: one that is new or another begins now (unix seconds)."""
    known = {each.name: each for each in standing}
    return [
        rule
        if rule.since
        else msgspec.structs.replace(
            rule, since=known[rule.name].since if rule.name in known and rule.is_as(known[rule.name]) else now
        )
        for rule in wanted
    ]


def refuses_all(rule: NamedRule) -> bool:
    """Whether it can be told without looking that it refuses whatever it is about, and is about all there
    is."""
    if rule.action == "warn" or rule.sources or rule.protocols:
        return False
    widest = not rule.names or "*" in rule.names
    if rule.when and widest:
        return all(
            conditions.holds(rule.when, {**conditions.FACTS, "name": name, "protocol": name})
            for name in ("a", "zz-zz", "org.a:b")
        )
    return widest and rule.refuse
