"""`Policy`: everything that decides what may be served, at one moment. What asks for a verdict asks this."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

import msgspec

from shared.errors import TooYoung
from shared.errors.passing import AdvisoriesUnknown
from shared.models import IndexHead
from shared.policy.advised import Advised
from shared.policy.advisories import Advisories, Advisory
from shared.policy.age import AgeLimit
from shared.policy.named import NamedRule
from shared.policy.project import NOTHING, ProjectVerdicts
from shared.policy.rules import AgeRule, Block, Exemption, Rules
from shared.policy.trust import TrustRule
from shared.policy.verdict import Subject, Verdict, by_hand
from shared.setting_values import age, date

NO_RULES = Rules()
NO_AGE = AgeRule(0.0)
REMEMBERED = 4096  # projects whose advisories are kept as they were read


def as_it_is(protocol: str, name: str) -> str:
    """The name itself: of a protocol whose canonical names are one each."""
    return name


def no_order(protocol: str, version: str) -> Any:
    """As `Names.version_key`: of protocols whose versions nobody can put in order."""
    return None


def any_protocol(protocol: str) -> bool:
    """Of all protocols, where nobody knows better."""
    return True


ByVersion = dict[tuple[str, str], dict[str, Verdict]]


class Policy:
    """Looked up by every request: dictionaries, made once per change. Whoever makes it leaves out exemptions
    that are over."""

    def __init__(
        self,
        blocks: Iterable[Block] = (),
        rules: Rules = NO_RULES,
        exemptions: Iterable[Exemption] = (),
        *,
        named: Callable[[str, str], str] = as_it_is,
        order: Callable[[str, str], Any] = no_order,
        attests: Callable[[str], bool] = any_protocol,
        advisories: Advisories | None = None,
        named_rules: Sequence[NamedRule] = (),
    ) -> None:
        """`named`: of a protocol and a canonical name, what all names have in common that clients take for
        the same one. `order`: of a protocol and a version, its key in that protocol's order, or None.
        `attests`: whether a protocol's lists tell who published: nothing is asked of that elsewhere.
        `advisories` None: none are known, so that nothing is served where the rules ask for them.
        `named_rules`: those of the policy file, in its order."""
        self._named = named
        self._order = order
        self._attests = attests
        self._advisories = advisories if rules.feeds else None
        self.is_blind = rules.feeds and advisories is None  # nobody can say what is malware
        self._named_rules = tuple(named_rules)
        self._exact: dict[tuple[str, str], ProjectVerdicts] = {}  # those looked at last stand last
        self._rules = rules
        self._limits: dict[str, AgeLimit | None] = {}
        blocked, self._digests = self._sorted(blocks)
        self.exemptions = tuple(exemptions)
        exempt, self._exempt_digests = self._sorted(self.exemptions)
        self._projects = {
            key: self._project(key[0], blocked.get(key, {}), exempt.get(key, {}))
            for key in blocked.keys() | exempt.keys()
        }
        self._others: dict[str, ProjectVerdicts] = {}  # by protocol: of projects that nobody has named
        has_rules = bool(rules.nothing_after) or any(each.seconds for each in rules.ages.values())
        others = rules.feeds or rules.trust or self._named_rules
        self.any = bool(self._projects or self._digests or has_rules or others)

    def _sorted(self, rows: Iterable[Block]) -> tuple[ByVersion, dict[str, Verdict]]:
        versions: ByVersion = {}
        digests: dict[str, Verdict] = {}
        for row in rows:
            made = by_hand(row.reason)
            if isinstance(row, Exemption):
                made = Verdict(True, "exemption", row.reason, row.expires_at, row.covers_malware)
            if row.sha256:
                digests[row.sha256] = made
            else:
                key = row.protocol, self._named(row.protocol, row.name)
                versions.setdefault(key, {})[row.version] = made
        return versions, digests

    def of(self, protocol: str, project: str) -> ProjectVerdicts:
        """What it says of a project (`project` canonical)."""
        if not self.any:
            return NOTHING
        key = (protocol, self._named(protocol, project))
        if self._advisories is None and not self._named_rules and not self._rules.trust:
            return self._ruled(key)
        found = self._exact.pop(key, None)
        if found is None:
            found = self._ruled(key)
            if self._advisories is not None:
                found = self._with_advisories(key, self._advisories, found)
            found = self._with_trust(key, self._with_named_rules(key, found))
            if len(self._exact) >= REMEMBERED:
                with suppress(KeyError, RuntimeError):  # another thread forgets, too
                    del self._exact[next(iter(self._exact))]
        self._exact[key] = found
        return found

    def _ruled(self, key: tuple[str, str]) -> ProjectVerdicts:
        found = self._projects.get(key)
        if found is None:
            protocol = key[0]
            found = self._others.get(protocol)
            if found is None:
                found = self._others[protocol] = self._project(protocol, {}, {})
        return found

    def _with_named_rules(self, key: tuple[str, str], found: ProjectVerdicts) -> ProjectVerdicts:
        """The first rule that tells an age, or a date, takes the place of the settings'; the first that
        refuses the name decides; the rest are asked of each version."""
        rules = [each for each in self._named_rules if each.is_about(*key)]
        if not rules:
            return found
        plain = [each for each in rules if each.action == "hold" and not each.sources]
        older = next((each for each in plain if each.minimum_age), None)
        dated = next((each for each in plain if each.nothing_after), None)
        refusing = next((each for each in plain if each.refuse or each.only), None)
        kinds = ("minimum_age", "nothing_after", "refuse", "only", "trust", "signed_by")
        settled = [each for each in plain if each.kind in kinds]
        content = tuple(each for each in rules if each not in settled)
        stay = self._rules.stored_stay
        told = msgspec.json.encode(([each.as_stamped() for each in rules], stay)).decode()
        stamp = _hashed([told, *self._before(found)])
        return msgspec.structs.replace(
            found,
            age=self._aged(found.age, older, dated),
            listed=None if refusing is None else Verdict(False, "policy", refusing.told),
            rules=content,
            content_stamp=stamp if content else "",
            rules_stamp=stamp,
            stored_stay=stay,
            exempt_digests=self._exempt_digests,
            digests=self._digests,
        )

    def _before(self, found: ProjectVerdicts) -> list[str]:
        """What tells apart all that a rule over the list of versions starts from: what the rules before it
        say of each."""
        return [found.stamp, found.rules_stamp, *_spelt(self._exempt_digests)]

    def _with_trust(self, key: tuple[str, str], found: ProjectVerdicts) -> ProjectVerdicts:
        """The first rule of the file about provenance takes the place of the settings', one about keys of
        that."""
        rules = self._rules
        keys = next((each for each in self._named_rules if each.signed_by and each.is_about(*key)), None)
        if keys is not None:
            unsigned = keys.unverified or "allow"
            rule = TrustRule(True, unsigned, keys.since, rules.stored_stay, keys.signed_by)
            return self._trusting(key, found, rule)
        if not self._attests(key[0]):
            return found
        rule = TrustRule(
            rules.trust == "no-downgrade", rules.trust_unknown, rules.trust_since, rules.stored_stay
        )
        own = next((each for each in self._named_rules if each.trust and each.is_about(*key)), None)
        if own is not None:
            unknown = own.unverified or rules.trust_unknown
            rule = TrustRule(own.trust == "no-downgrade", unknown, own.since, rules.stored_stay)
        if not (rules.trust if own is None else own.trust != "off"):
            return found
        return self._trusting(key, found, rule)

    def _trusting(self, key: tuple[str, str], found: ProjectVerdicts, rule: TrustRule) -> ProjectVerdicts:
        stamp = _hashed([msgspec.json.encode(rule).decode(), found.content_stamp, *self._before(found)])
        return msgspec.structs.replace(
            found,
            trust=rule,
            content_stamp=stamp if rule.refuses else found.content_stamp,
            rules_stamp=stamp,
            exempt_digests=self._exempt_digests,
            digests=self._digests,
        )

    def _aged(
        self, limit: AgeLimit | None, older: NamedRule | None, dated: NamedRule | None
    ) -> AgeLimit | None:
        limit = limit or AgeLimit(0.0, 0.0, 0.0, self._rules.stored_stay)
        if older is not None:
            limit = msgspec.structs.replace(limit, seconds=age(older.minimum_age), since=older.since)
        if dated is not None:
            limit = msgspec.structs.replace(limit, nothing_after=date(dated.nothing_after))
        return limit if limit.seconds or limit.nothing_after else None

    def _with_advisories(
        self, key: tuple[str, str], advisories: Advisories, found: ProjectVerdicts
    ) -> ProjectVerdicts:
        rules = self._rules
        told = advisories.of(*key)
        malware = tuple(each for each in told if each.is_malware)
        severe: tuple[Advisory, ...] = ()
        if rules.severity is not None:
            severe = tuple(e for e in told if not e.is_malware and e.score >= rules.severity)
        if not (malware or severe):
            return found
        order = partial(self._order, key[0])
        advised = Advised(malware, severe, order, rules.severity_since, rules.stored_stay)
        since = [repr(rules.severity_since), repr(rules.stored_stay)] if severe else []
        encoded = msgspec.json.encode((malware, severe)).decode()
        stamp = _hashed([found.rules_stamp, *since, encoded, *_spelt(self._exempt_digests)])
        return msgspec.structs.replace(
            found,
            advised=advised,
            rules_stamp=stamp,
            exempt_digests=self._exempt_digests,
            digests=self._digests,
        )

    def age_of(self, protocol: str) -> AgeLimit | None:
        """What is asked of a protocol's versions; None: nothing."""
        if protocol not in self._limits:
            rules = self._rules
            rule = rules.ages.get(protocol, rules.ages.get("", NO_AGE))
            asks = rule.seconds or rules.nothing_after
            self._limits[protocol] = (
                AgeLimit(rule.seconds, rule.since, rules.nothing_after, rules.stored_stay) if asks else None
            )
        return self._limits[protocol]

    def _project(
        self, protocol: str, blocked: Mapping[str, Verdict], exempt: Mapping[str, Verdict]
    ) -> ProjectVerdicts:
        age = self.age_of(protocol)
        stamp = rules_stamp = ""
        if blocked or self._digests:
            stamp = _hashed([*sorted(blocked), "", *sorted(self._digests)])
        if age is not None or exempt or (blocked and self._exempt_digests):
            told = msgspec.json.encode(age).decode()
            rules_stamp = _hashed([told, *_spelt(exempt), "", *_spelt(self._exempt_digests)])
        if not (stamp or rules_stamp):
            return NOTHING
        return ProjectVerdicts(
            whole=blocked.get(""),
            versions={version: verdict for version, verdict in blocked.items() if version},
            digests=self._digests,
            stamp=stamp,
            rules_stamp=rules_stamp,
            age=age,
            exempt=exempt,
            exempt_digests=self._exempt_digests,
        )

    def is_made_under(self, head: IndexHead, protocol: str, project: str, now: float) -> bool:
        """See `ProjectVerdicts.stands`."""
        return self.of(protocol, project).stands(head, now)

    def check(
        self,
        protocol: str,
        project: str,
        version: str = "",
        sha256: str = "",
        *,
        page: bool = False,
        beside: str = "",
    ) -> None:
        """By names, and bytes that are known ("": they are not), or those of the file `beside` it. Raises
        `Blocked` for a blocked project, or for a blocked version of one ("" names none), `Malware` likewise,
        and `AdvisoriesUnknown`. `page`: see `ProjectVerdicts.of_page`."""
        self.look()
        self.check_named(protocol, project, version, sha256, page=page, beside=beside)

    def check_address(self, protocol: str, project: str, version: str, sha256: str) -> None:
        """As `check`, by what the address of a file tells. Where it does not tell its bytes (`sha256` "") and
        some bytes are exempt, nothing: all waits until they are known."""
        self.look()
        if sha256 or not self._exempt_digests:
            self.check_named(protocol, project, version, sha256)

    def check_named(
        self,
        protocol: str,
        project: str,
        version: str,
        sha256: str = "",
        *,
        page: bool = False,
        beside: str = "",
    ) -> None:
        """As `check`, by what is known: also while no advisories are."""
        verdicts = self.of(protocol, project)
        said = verdicts.by_name(version, sha256, beside) or verdicts.listed
        found = verdicts.of_page(version) if page else said
        if found is not None and not found.allowed:
            is_whole = found is verdicts.whole or found is verdicts.listed
            raise found.refusal(project if is_whole else f"{project} {version}".strip())

    def check_new(self, protocol: str, project: str, version: str, sha256: str = "") -> None:
        """As `check`, of a file that is not stored here: what spares those that are does not count. Raises
        `RefusedByPolicy` too. Its age is another question."""
        self.check(protocol, project, version, sha256)
        verdicts = self.of(protocol, project)
        if verdicts.by_name(version, sha256) is None:
            found = verdicts.by_vulnerability(version, 0.0)
            if found is not None:
                raise found.refusal(f"{project} {version}")

    def look(self) -> None:
        """Raises `AdvisoriesUnknown`."""
        if self.is_blind:
            raise AdvisoriesUnknown("no advisories are known here yet: what is malware cannot be told")

    @property
    def blocks_bytes(self) -> bool:
        """Whether any are blocked by their SHA-256."""
        return bool(self._digests)

    def check_digest(self, sha256: str) -> None:
        """Raises `Blocked` for blocked bytes."""
        found = self._digests.get(sha256)
        if found is not None:
            raise found.refusal(f"the file with the SHA256 {sha256}")

    def verdict(self, subject: Subject, now: float) -> Verdict | None:
        """See `ProjectVerdicts.verdict`. Raises `AdvisoriesUnknown`."""
        self.look()
        return self.of(subject.protocol, subject.project).verdict(subject, now)

    def admits(self, subject: Subject, now: float) -> bool:
        """False: a rule that counts lacks a fact of it: nobody may have it before that is known. Raises
        `Blocked`, `TooYoung`."""
        if not self.any:
            return True
        found = self.verdict(subject, now)
        if found is not None and not found.allowed:
            raise found.refusal(subject.noun)
        return found is not None

    def check_surely(self, subject: Subject, now: float) -> None:
        """By what is known alone: what is not known is against nothing. Raises `Blocked` and its kinds."""
        found = self.of(subject.protocol, subject.project).surely(subject, now)
        if found is not None and not found.allowed:
            raise found.refusal(subject.noun)

    def check_file(self, subject: Subject, now: float) -> None:
        """As `admits`, where nobody will come to know more. Raises `Blocked`, `TooYoung`."""
        if not self.admits(subject, now):
            raise TooYoung(
                f"{subject.noun} is held back: nobody knows when it was published, or what rules say of it"
            )


def _spelt(exempt: Mapping[str, Verdict]) -> list[str]:
    return sorted(f"{what}+malware" if each.covers_malware else what for what, each in exempt.items())


def _hashed(parts: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]
