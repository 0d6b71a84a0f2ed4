"""`ProjectVerdicts`: what the policy says of one project, and of the versions that a document of it lists."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

import msgspec

from shared.models import IndexHead
from shared.policy import content, trust
from shared.policy.advised import Advised
from shared.policy.age import AgeLimit, Dated, Seen
from shared.policy.named import NamedRule
from shared.policy.traits import Traits
from shared.policy.trust import TrustRule
from shared.policy.verdict import ALLOWED, UNKNOWN, Subject, Verdict, moment

AHEAD_SECONDS = 5.0  # by so much the clocks of two processes may differ


def _first(said: Mapping[str, Verdict], digests: Iterable[str]) -> Verdict | None:
    return next((said[each] for each in digests if each in said), None)


class Kept(msgspec.Struct, frozen=True):
    """What is stored of an entry of a list."""

    at: float = 0.0  # unix seconds: when its first file was; 0: none is
    digests: tuple[str, ...] = ()  # the SHA256 of each of its files that stands for the whole entry


class ProjectVerdicts(msgspec.Struct, frozen=True):
    """`stamp` and `rules_stamp` differ between pages made before and after a change; "" where nothing is
    blocked, and where no rule or exemption counts. `versions` and `files` hold what is not allowed."""

    whole: Verdict | None = None  # of the whole project, if it is blocked
    versions: Mapping[str, Verdict] = {}  # by canonical version
    digests: Mapping[str, Verdict] = {}  # by SHA256: those of all projects
    files: Mapping[str, Verdict] = {}  # by file name, where files of one version differ in age
    stamp: str = ""  # of what is blocked
    rules_stamp: str = ""  # of all else
    age: AgeLimit | None = None
    exempt: Mapping[str, Verdict] = {}  # by canonical version, "" for all
    exempt_digests: Mapping[str, Verdict] = {}  # those of all projects
    advised: Advised | None = None  # None: no advisory on it counts
    as_of: float = 0.0  # unix seconds: nothing published later is there; 0: no such view (`seen_from`)
    listed: Verdict | None = None  # of the whole project, if the policy file refuses its name
    rules: tuple[NamedRule, ...] = ()  # of the policy file, that ask more than its name
    trust: TrustRule | None = None  # what is asked of provenance; None: nothing
    content_stamp: str = ""  # of these and `rules`, and what they start from; "" without any
    stored_stay: bool = True
    told: Mapping[str, str] = {}  # of `held`: by entry, what lies beside its file (`content.told`)
    contents: Mapping[str, content.Held] = {}  # of `held`: by version, what these came to
    refused: Verdict | None = None  # of `held`: why nothing is left, where a rule is against the name
    due: float = 0.0  # unix seconds: the next moment at which `held` would come to something else; 0: none

    @property
    def any(self) -> bool:
        """Whether there is anything that a page of it may have to be without."""
        return bool(self.stamp or self.rules_stamp)

    @property
    def judges(self) -> bool:
        """Whether each version has to be looked at: what is not allowed is not all in `versions`."""
        asks = self.age is not None or self.advised is not None or self.as_of > 0
        named = self.whole is not None or self.listed is not None
        spared = bool(self.versions and self.exempt_digests)  # bytes of a blocked version may be
        return asks or named or spared or self.asks_list or self.trust is not None

    @property
    def asks_more(self) -> bool:
        """Whether names, versions and the digests that one has at hand do not tell all: a list or the digests
        of stored files are asked."""
        return self.judges or bool(self.digests)

    @property
    def asks_list(self) -> bool:
        """Whether what a project's list tells of its versions is asked, beside their dates."""
        return bool(self.content_stamp)

    @property
    def asks_dates(self) -> bool:
        """Whether what a project's list says, or when, is asked of its files; whose signature is right is
        asked of each alone."""
        return self.age is not None or bool(self.rules) or (self.trust is not None and not self.signed_by)

    @property
    def signed_by(self) -> tuple[str, ...]:
        """Fingerprints of the keys that may sign its files; (): not asked."""
        return () if self.trust is None else self.trust.signed_by

    def as_if_new(self) -> ProjectVerdicts:
        """What it comes to where nothing is spared because it was stored before a rule began, or an advisory
        was known. What lies beside files was judged otherwise, and does not count."""
        replace = msgspec.structs.replace
        return replace(
            self,
            age=None if self.age is None else replace(self.age, stored_stay=False),
            advised=None if self.advised is None else replace(self.advised, stored_stay=False),
            trust=None if self.trust is None else replace(self.trust, stored_stay=False),
            stored_stay=False,
            content_stamp=f"{self.content_stamp}+new" if self.content_stamp else "",
        )

    def spares(self, refused: Verdict, stored_at: float) -> bool:
        """Whether it is for `stored_at` (unix seconds) alone that this verdict of `as_if_new` does not count:
        rules that compare versions may come to it by what they say of others."""
        if refused.rule == "trust":
            return self.trust is not None and stored_at < self.trust.since
        if refused.rule == "policy":
            named = (each for each in self.rules if refused.why.startswith(f"{each.name}: "))
            return any(each.spares(stored_at) for each in named)
        return refused is not UNKNOWN

    def stands(self, head: IndexHead, now: float) -> bool:
        """Whether the bodies of a page would be made the same now (unix seconds): no change of the policy
        since, nothing that has come of age, and no clock that was ahead: what was old enough by it may be
        young."""
        made = head.blocks == self.stamp and head.rules == self.rules_stamp
        early = self.asks_dates and head.made_at > now + AHEAD_SECONDS
        return made and not early and not (head.due and now >= head.due)

    def by_hand(self, version: str, *digests: str) -> Verdict | None:
        """What operators have said of a version or file, by its SHA256 or that of the file it lies beside
        (all may be ""), the more exact first: bytes, versions, names. A block goes before an exemption that
        is as exact. Of malware an exemption counts that was made of malware. None: nothing."""
        found = _first(self.digests, digests) or _first(self.exempt_digests, digests)
        found = found or self.versions.get(version)
        found = found or (self.exempt.get(version) if version else None)
        found = found or self.whole or self.exempt.get("")
        if found is not None and found.is_exempt and not found.covers_malware:
            malware = self.by_malware(version)
            if malware is not None:
                return msgspec.structs.replace(malware, why=f"{malware.why}; {NOT_COVERED}")
        return found

    def by_name(self, version: str, *digests: str) -> Verdict | None:
        """By names, and bytes as in `by_hand`: what counts however old a thing is, stored or not."""
        return self.by_hand(version, *digests) or self.by_malware(version)

    def of_page(self, version: str) -> Verdict | None:
        """By names alone, of a page about a version; of "": of one about the whole project. Whatever refuses
        that, the page is there if a version is exempt, and shows what is. A version whose bytes may be exempt
        is judged when its page is made. None: nothing is against it."""
        if not version and any(self._lets_in(each) for each in self.exempt if each):
            return None
        found = self.by_name(version, "") or self.listed
        if version and found is not None and not found.allowed and self.exempt_digests:
            return self.of_page("")
        return found

    def _lets_in(self, version: str) -> bool:
        return self.exempt[version].covers_malware or self.by_malware(version) is None

    def by_malware(self, version: str) -> Verdict | None:
        """Of a version; of "", where there is none: of the whole project. None: it is none."""
        return None if self.advised is None else self.advised.is_malware(version)

    def as_evidence(self, version: str, sha256: str) -> Verdict | None:
        """Why a file is malware, also where something else refuses it; None: it is none, or exempt."""
        said = self.by_hand(version, sha256)
        return None if said is not None and said.allowed else self.by_malware(version)

    def by_vulnerability(self, version: str, stored_at: float) -> Verdict | None:
        """See `Advised.is_vulnerable`."""
        return None if self.advised is None else self.advised.is_vulnerable(version, stored_at)

    def by_trust(self, of: Subject, now: float) -> Verdict | None:
        """What its provenance says of a file, as far as that is known; None: nothing. Judged and kept as what
        `by_rules` says."""
        if self.trust is None or not self.trust.refuses:
            return None
        found = content.as_told(self.content_stamp, of.judged, now)
        return found if found is not None and found.rule in ("trust", "unverified") else None

    def by_rules(self, of: Subject, now: float) -> Verdict | None:
        """What the policy file says of a file; None: nothing against it. It is judged where the list of its
        versions is at hand, and what it came to lies beside it."""
        if not self.content_stamp:
            return None
        found = content.as_told(self.content_stamp, of.judged, now)
        return found if found is UNKNOWN or (found is not None and found.rule == "policy") else None

    def verdict(self, of: Subject, now: float) -> Verdict | None:
        """The one verdict of a file, by the first rule of `ORDER` that says anything. None: one that counts
        lacks a fact of it."""
        note = ALLOWED
        for rule in ORDER:
            found = rule(self, of, now)
            if found is UNKNOWN:
                return None
            if found is not None and found.rule in NOTES:
                note = found
            elif found is not None:
                return found
        return note

    def of_version(self, version: str, sha256: str, now: float) -> Verdict | None:
        """As `verdict`, of a version, or of these bytes, of which nothing more is known."""
        return self.verdict(Subject("", "", version, sha256), now)

    def surely(self, of: Subject, now: float) -> Verdict | None:
        """The verdict of the rules that lack no fact of a file; None: none of these says anything."""
        said = (rule(self, of, now) for rule in ORDER)
        return next((each for each in said if each and each is not UNKNOWN and each.rule not in NOTES), None)

    def seen_from(self, at: float) -> ProjectVerdicts:
        """What it comes to in a view of that moment (unix seconds): one more bound, which nothing lifts."""
        return msgspec.structs.replace(self, as_of=at, rules_stamp=f"{self.rules_stamp}@{at:.0f}")

    def by_view(self, of: Subject) -> Verdict | None:
        """Whether it was there at the view's moment; `UNKNOWN` where nobody knows, None: it was."""
        then = self.as_of
        if not then or (of.published and of.published <= then) or (of.stored_at and of.stored_at <= then):
            return None  # nothing is stored before it is published
        if not of.published:
            return UNKNOWN
        return Verdict(False, "view", f"published {moment(of.published)}, seen from {moment(then)}")

    def by_age(self, of: Subject, now: float) -> Verdict | None:
        """What a date says of it: refused, spared or `UNKNOWN`; None: nothing is against it."""
        if self.age is None:
            return None
        found = self.age.verdict(of.published, of.stored_at, now)
        return UNKNOWN if found is None else None if found is ALLOWED else found

    def held(self, entries: Iterable[JudgedEntry], contents: Mapping[str, content.Held]) -> ProjectVerdicts:
        """With what may not be served of these, as `judged` gives them. Of a blocked version of which some
        bytes are exempt, the others each by its name."""
        entries = list(entries)
        spared = {each.version for each, _, found in entries if found is not None and found.is_exempt}
        versions = {each: said for each, said in self.versions.items() if each not in spared}
        files, told, due = dict(self.files), dict(self.told), self.due
        said = (each.verdict for each in contents.values())
        refused = next((each for each in said if each is not None and each.of_name), None)
        for each, of, found in entries:
            if found is None or found.allowed:
                refused = None
            if self.asks_list:
                told[each.name] = of.judged
            if found is None or found.rule in ("", "exemption", "stored"):
                continue
            if not found.allowed:
                (files if each.is_file else versions)[each.name if each.is_file else each.version] = found
            if found.until:
                due = min(due, found.until) if due else found.until
        return msgspec.structs.replace(
            self, versions=versions, files=files, due=due, contents=contents, told=told, refused=refused
        )

    def judged(
        self,
        listed: Iterable[Dated],
        seen: Seen,
        stored: Mapping[str, Kept],
        now: float,
        of: content.Project | None = None,
        traits: Iterable[Traits] = (),
    ) -> tuple[list[JudgedEntry], Mapping[str, content.Held]]:
        """The verdict of each of these entries, and by version what the rules of the policy file came to.
        `stored`: by their names. `of`, `traits`: what those rules ask.

        Of what is stored the bytes are known, else as the list marks them. An entry of several files is
        blocked with one of them, and exempt with all."""
        entries: list[tuple[Dated, Subject]] = []
        for each in listed:
            kept = stored.get(each.name, _NOT_KEPT)
            sha256 = min(kept.digests or (each.mark,), key=lambda of: _WORST[self._by_digest(of)])
            entries.append((each, Subject("", "", each.version, sha256, seen.date_of(each, now), kept.at)))
        trusted: Mapping[str, Verdict] = {}
        if self.trust is not None:
            trusted = self._trusted(self.trust, entries, seen, now)
        entries = [
            (
                each,
                msgspec.structs.replace(of, judged=content.told(self.content_stamp, trusted.get(each.name))),
            )
            for each, of in entries
        ]
        contents = self._judged([subject for _, subject in entries], of, traits, now)
        found: list[JudgedEntry] = []
        for each, subject in entries:
            judged = contents.get(each.version)
            if judged is not None and judged.verdict is not None:
                against = trusted.get(each.name)
                if against is None or against.allowed:
                    told = content.told(self.content_stamp, judged.verdict)
                    subject = msgspec.structs.replace(subject, judged=told)
            found.append((each, subject, self.verdict(subject, now)))
        return found, contents

    def _trusted(
        self, rule: TrustRule, entries: Sequence[tuple[Dated, Subject]], seen: Seen, now: float
    ) -> Mapping[str, Verdict]:
        def by_name(of: Subject) -> Verdict | None:
            return self.by_name(of.version, of.sha256)

        if rule.signed_by:
            return trust.judge_signed(rule, entries, seen.signatures, by_name)
        return trust.judge(rule, entries, seen.evidence, by_name, now)

    def _judged(
        self, subjects: Sequence[Subject], of: content.Project | None, traits: Iterable[Traits], now: float
    ) -> dict[str, content.Held]:
        known = {each.version: each for each in traits}
        if of is None or not (self.rules or known):
            return {}
        first: dict[str, Subject] = {}  # of a version's files the first counts
        plain: dict[str, Subject] = {}  # and the bytes of which nothing is said: what is, is of these alone
        for each in subjects:
            standing, other = first.get(each.version), plain.get(each.version)
            if standing is None or each.published < standing.published:
                first[each.version] = each
            if other is None or self._plainness(each) < self._plainness(other):
                plain[each.version] = each
        listed = [
            content.Listed(known.get(version) or Traits(version), each.published, each.stored_at)
            for version, each in first.items()
        ]

        def others(each: content.Listed) -> Verdict | None:
            version = each.traits.version
            subject = msgspec.structs.replace(first[version], sha256=plain[version].sha256)
            found = self.verdict(subject, now)
            if found is None:
                return UNKNOWN
            return None if found.allowed and found.rule in ("", *NOTES) else found

        return content.judge(self.rules, of, listed, others, stored_stay=self.stored_stay, now=now)

    def _by_digest(self, sha256: str) -> str:
        if sha256 in self.digests:
            return "block"
        return "exemption" if sha256 in self.exempt_digests else ""

    def _plainness(self, of: Subject) -> int:
        return _PLAINEST[self._by_digest(of.sha256)]

    def of_file(self, version: str, filename: str, sha256: str) -> Verdict:
        """What of a page's entry is known to be held: by its bytes, its version, its name."""
        found = self.digests.get(sha256) or self.versions.get(version) or self.files.get(filename)
        return found or ALLOWED


_NOT_KEPT = Kept()
_WORST = {"block": 0, "": 1, "exemption": 2}
_PLAINEST = {"": 0, "exemption": 1, "block": 2}

JudgedEntry = tuple[Dated, Subject, Verdict | None]
"""An entry of a list, what is known of it, and its verdict."""

Judge = Callable[[ProjectVerdicts, Subject, float], Verdict | None]

ORDER: tuple[Judge, ...] = (
    lambda project, of, now: project.by_view(of),
    lambda project, of, now: project.by_hand(of.version, of.sha256, of.promised),
    lambda project, of, now: project.by_malware(of.version),
    ProjectVerdicts.by_age,
    ProjectVerdicts.by_trust,
    lambda project, of, now: project.by_vulnerability(of.version, of.stored_at),
    lambda project, of, now: project.listed,
    ProjectVerdicts.by_rules,
)
"""All rules; the first that says anything decides (docs/decisions/0040). Each is a pure function of the
policy, what is known of a file, and now (unix seconds)."""

NOTES = ("stored", "unverified")
"""Rules that let something through which the rules after them may still refuse."""

NOT_COVERED = "it is exempt, but malware is let in with --yes alone"

NOTHING = ProjectVerdicts()
