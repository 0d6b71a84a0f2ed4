"""Provenance: who published a file, as far as that was proven, and what is no downgrade of it. Pure.

An attestation (PEP 740, SLSA provenance) binds a file's digest to the workflow of a repository that published
it. Whoever steals a token publishes without one, or from elsewhere: what its release line had, the next
version has too.
"""

from __future__ import annotations

import hashlib
import re
from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import Literal

import msgspec

from shared.policy.age import Dated
from shared.policy.evidence import Evidence, FileSignature
from shared.policy.verdict import Subject, Verdict

RECHECK_SECONDS = 300.0  # what nobody could verify yet is judged again after so long

Trust = Literal["", "verify", "no-downgrade"]


class TrustRule(msgspec.Struct, frozen=True):
    """What is asked of a project's provenance."""

    refuses: bool  # False: provenance is verified and shown, nothing is held back
    unknown: Literal["allow", "hold"] = "allow"  # of a file whose provenance could not be verified yet
    since: float = 0.0  # unix seconds: what was stored before stays, if `stored_stay`
    stored_stay: bool = True
    signed_by: tuple[
        str, ...
    ] = ()  # fingerprints: files must be signed by one of these keys; none: not asked


class _Line(msgspec.Struct):
    """What a release line has had."""

    version: str = ""  # the last that had provenance; "": none had
    signed: str = ""  # the last whose registry's signature was right; "": none
    repositories: dict[
        tuple[str, str], str
    ] = {}  # kind and repository of what is verified, lower case → as told


def line_of(version: str) -> tuple[int, ...]:
    """The release line of a version: its epoch and first number, and of 0.x the second too."""
    epoch, _, release = version.rpartition("!")
    first, *rest = _numbers(release)[:2] or (0,)
    return (next(iter(_numbers(epoch)), 0), first, *(rest[:1] if first == 0 else ()))


@lru_cache(4096)
def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(each) for each in re.findall(r"[0-9]{1,18}", text))


def judge(
    rule: TrustRule,
    listed: Iterable[tuple[Dated, Subject]],
    evidence: Mapping[str, Evidence],
    by_name: Callable[[Subject], Verdict | None],
    now: float,
) -> dict[str, Verdict]:
    """What the rule says of a list's entries, by their names; of others, nothing. `evidence` by digests;
    `by_name`: what operators and advisories say, which goes before. `now` in unix seconds.

    Entries are looked at in the order in which they count as published. What begins a line goes on from the
    one below. A verdict that allows by the rule "unverified" is judged again at its `until`.
    """
    lines: dict[tuple[int, ...], _Line] = {}
    ordered: list[tuple[int, ...]] = []  # its keys
    found: dict[str, Verdict] = {}
    if not rule.refuses:
        return found
    for each, of in sorted(listed, key=lambda entry: (entry[1].published, _numbers(entry[0].version))):
        known = evidence.get(each.digest) if each.digest else None
        line = line_of(each.version)
        if line not in lines:
            place = bisect_left(ordered, line)
            lines[line] = _copy(lines[ordered[place - 1]]) if place else _Line()
            ordered.insert(place, line)
        had = lines[line]
        before = by_name(of)
        if before is not None and not before.allowed:
            continue
        said = _asked(rule, each, known, had, now)
        if before is None and said is not None:
            spared = rule.stored_stay and of.stored_at and of.stored_at < rule.since
            if not (spared and not said.allowed):
                found[each.name] = said
            if not said.allowed and said.rule == "trust" and not said.until:
                continue
        _note(had, each, known)
    return found


def of_signature(known: FileSignature | None) -> Verdict | None:
    """What is against a file by the signature beside it; None: nothing, or it was not asked for."""
    return Verdict(False, "trust", known.why) if known is not None and known.status == "failed" else None


def mark_of(signed_by: Iterable[str]) -> str:
    """What tells keys that files are verified with from others (`FileSignature.mark`)."""
    return hashlib.sha256("\n".join(sorted(signed_by)).encode()).hexdigest()[:16]


def signed_before(version: str, signatures: Iterable[FileSignature]) -> str:
    """The highest version not above this one of which a file has a right signature; "": none has."""
    place = _place(version)
    signed = {each.entry for each in signatures if each.status == "verified"}
    return max((each for each in signed if _place(each) <= place), key=_place, default="")


def _place(version: str) -> tuple[tuple[int, ...], tuple[int, ...]]:
    return line_of(version), _numbers(version)


def judge_signed(
    rule: TrustRule,
    listed: Iterable[tuple[Dated, Subject]],
    signatures: Iterable[FileSignature],
    by_name: Callable[[Subject], Verdict | None],
) -> dict[str, Verdict]:
    """As `judge`, of files with signatures beside them: of a version one false file is enough. What nobody
    has fetched yet is allowed, for it is verified then."""
    mark, found = mark_of(rule.signed_by), {}
    false = {each.entry: each for each in signatures if each.status == "failed" and each.mark == mark}
    for each, of in listed:
        said = of_signature(false.get(each.name))
        spared = rule.stored_stay and of.stored_at and of.stored_at < rule.since
        if said is not None and not spared and by_name(of) is None:
            found[each.name] = said
    return found


def _copy(line: _Line) -> _Line:
    return _Line(line.version, line.signed, dict(line.repositories))


def _note(had: _Line, each: Dated, known: Evidence | None) -> None:
    if known is not None and known.signature == "verified":
        had.signed = each.version
    if known is not None and known.status == "verified":
        who = known.publisher
        had.version = each.version
        had.repositories[who.kind.lower(), who.repository.lower()] = str(who)
    elif each.provenance and (known is None or known.status == "unknown"):
        had.version = each.version


def _asked(rule: TrustRule, each: Dated, known: Evidence | None, had: _Line, now: float) -> Verdict | None:
    """What is surely against it goes before what nobody knows yet."""
    asked = (_of_signature, _of_provenance)
    said = [found for ask in asked if (found := ask(rule, each, known, had, now)) is not None]
    return min(said, key=lambda found: (found.allowed, found.until > 0), default=None)


def _of_signature(
    rule: TrustRule, each: Dated, known: Evidence | None, had: _Line, now: float
) -> Verdict | None:
    signature = "" if known is None else known.signature
    if not had.signed or signature == "verified":
        return None
    if signature == "failed":
        return Verdict(False, "trust", f"its registry's signature is false; {had.signed} has one")
    if not each.signatures:
        return Verdict(False, "trust", f"its registry has not signed it, unlike {had.signed}")
    if not each.digest:
        why = "its registry's signature is of no bytes: the list tells no digest, or several"
        return Verdict(False, "trust", f"{why}; {had.signed} has one")
    return _unverified(rule, "its registry's signature is not verified yet", now)


def _of_provenance(
    rule: TrustRule, each: Dated, known: Evidence | None, had: _Line, now: float
) -> Verdict | None:
    if not had.version:
        return None
    if known is not None and known.status == "failed":
        return Verdict(False, "trust", f"its provenance is false: {known.why}; {had.version} has it")
    if known is None or known.status == "unknown":
        if not each.provenance:
            return Verdict(False, "trust", f"it has no provenance, unlike {had.version}")
        why = "its provenance is not verified yet" + (
            f": {known.why}" if known is not None and known.why else ""
        )
        return _unverified(rule, why, now)
    who = known.publisher
    if not had.repositories:  # nobody knows yet from where the others came
        return Verdict(True, "unverified", f"published by {who}", now + RECHECK_SECONDS)
    if (who.kind.lower(), who.repository.lower()) not in had.repositories:
        others = ", ".join(sorted(had.repositories.values())[:3])
        return Verdict(False, "trust", f"published by {who}, unlike those before it: {others}")
    return None


def _unverified(rule: TrustRule, why: str, now: float) -> Verdict:
    allowed = rule.unknown == "allow"
    return Verdict(allowed, "unverified" if allowed else "trust", why, now + RECHECK_SECONDS)
