"""Documents of the OSV schema (1.7) as advisories on projects that are served here. Pure.

An advisory is malware if its id begins with "MAL-" (the prefix of the OpenSSF's malicious packages). Where a
document leaves open which versions it is about, it counts for more of them: of malware for all.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import msgspec

from shared.policy.advisories import About, Advisory, Span
from shared.protocols import PROTOCOLS
from shared.protocols.base import PackageProxyBase
from shared.setting_values import SEVERITIES

MALWARE = "MAL-"
MOST_VERSIONS = 20_000  # that one document lists for one package
MOST_SPANS = 256  # that one document tells of one package: each is compared with each version of its page
FEW_SPANS = 16
MOST_SUMMARY = 200  # characters
MOST_ALIASES = 16

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,127}")
_VERSION = re.compile(r"[\x21-\x7e]{1,256}")
_NO_LETTER = re.compile("[^a-z0-9]+")
# Words of databases that give none of CVSS (GitHub says "MODERATE").
_WORDS = {**SEVERITIES, "moderate": SEVERITIES["medium"], "important": SEVERITIES["high"]}
_BY_ECOSYSTEM = {each.names.osv_ecosystem: each for each in PROTOCOLS if each.names.osv_ecosystem}

_Event = dict[str, Any]


class _Package(msgspec.Struct):
    ecosystem: str = ""
    name: str = ""


class _Range(msgspec.Struct):
    type: str = ""
    events: list[_Event] = []


class _Severity(msgspec.Struct):
    type: str = ""
    score: str = ""


class _Affected(msgspec.Struct):
    package: _Package | None = None
    ranges: list[_Range] | None = None
    versions: list[str] | None = None
    severity: list[_Severity] | None = None
    database_specific: Any = None


class _Document(msgspec.Struct):
    id: str
    withdrawn: str | None = None
    aliases: list[str] | None = None
    summary: str | None = None
    affected: list[_Affected] | None = None
    severity: list[_Severity] | None = None
    database_specific: Any = None


class Unreadable(Exception):
    """A document that is no advisory."""


_decode = msgspec.json.Decoder(_Document).decode

Score = Callable[[str], float]
"""The score of a CVSS vector; 0 of what is none."""


def read_document(body: bytes, score: Score, seen_at: Callable[[str], float]) -> list[About]:
    """What a document says of projects that are served here; nothing if it is withdrawn. `seen_at`: of an id,
    since when it is known (unix seconds). Raises `Unreadable`."""
    try:
        document = _decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise Unreadable(str(error)) from None
    if not _ID.fullmatch(document.id):
        raise Unreadable("its id is none")
    if document.withdrawn:
        return []
    found: dict[tuple[str, str], Advisory] = {}
    for affected in document.affected or ():
        package = affected.package or _Package()
        protocol = _BY_ECOSYSTEM.get(_NO_LETTER.sub("-", package.ecosystem.partition(":")[0].lower()))
        if protocol is None or not protocol.names.is_project_name(package.name):
            continue
        made = _advisory(document, affected, protocol, score, seen_at)
        if made is not None:
            names = protocol.names
            key = protocol.name, names.named_alike(names.canonical_name(package.name))
            found[key] = found[key].joined(made) if key in found else made
    return [About(*key, (advisory,)) for key, advisory in found.items()]


def _advisory(
    document: _Document,
    affected: _Affected,
    protocol: PackageProxyBase,
    score: Score,
    seen_at: Callable[[str], float],
) -> Advisory | None:
    is_malware = document.id.upper().startswith(MALWARE)
    spans: list[Span] = []
    for each in affected.ranges or ():
        if each.type in ("SEMVER", "ECOSYSTEM"):
            spans += _spans(each.events, protocol)
    listed = affected.versions or ()
    if is_malware and (len(listed) > MOST_VERSIONS or len(spans) > MOST_SPANS or not (spans or listed)):
        spans = [Span()]
    elif len(spans) > MOST_SPANS:
        spans = [_around(spans, protocol)]
    versions = _listed(listed[:MOST_VERSIONS], spans, protocol)
    if not spans and not versions:
        return (
            Advisory(document.id, True, spans=(Span(),), seen_at=seen_at(document.id)) if is_malware else None
        )
    return Advisory(
        id=document.id,
        is_malware=is_malware,
        score=0.0 if is_malware else _score(document, affected, score),
        seen_at=seen_at(document.id),
        spans=tuple(spans),
        versions=versions,
        aliases=tuple(each for each in (document.aliases or ())[:MOST_ALIASES] if _ID.fullmatch(each)),
        summary="" if is_malware else _plain(document.summary or ""),
    )


def _listed(listed: Iterable[str], spans: Sequence[Span], protocol: PackageProxyBase) -> tuple[str, ...]:
    """Canonical, and without those that the spans hold already."""
    if Span() in spans:
        return ()
    names = protocol.names
    looked = spans[:FEW_SPANS]  # what a further one holds stands twice
    found: dict[str, None] = {}
    for text in map(str.strip, listed):
        if _VERSION.fullmatch(text):
            version = names.canonical_version(text)
            if not any(each.holds(version, names.version_key, unknown=False) for each in looked):
                found[version] = None
    return tuple(found)


def _spans(events: Iterable[_Event], protocol: PackageProxyBase) -> list[Span]:
    """The spans of a range: OSV schema, "Evaluation". A bound that has no place in the order is none."""
    placed: list[tuple[Any, int, str, str]] = []
    introduced = False
    order = protocol.names.version_key
    from_the_first = False
    for event in events:
        for kind, rank in _RANKS.items():
            text = event.get(kind)
            if not isinstance(text, str) or not _VERSION.fullmatch(text):
                continue
            introduced = introduced or kind == "introduced"
            version = protocol.names.canonical_version(text)
            key = order(version)
            if kind == "introduced" and (text == "0" or key is None):
                from_the_first = True
            elif key is not None:
                placed.append((_Key(key), rank, kind, version))
    found: list[Span] = []
    start: str | None = "" if from_the_first or not introduced else None
    for _, _, kind, version in sorted(placed, key=lambda each: each[:2]):
        if kind == "introduced":
            start = version if start is None else start
        elif start is not None:
            if kind == "last_affected":
                found.append(Span(start, last=version))
            else:
                found.append(Span(start, fixed=version))
            start = None
    if start is not None:
        found.append(Span(start))
    return found


def _around(spans: Sequence[Span], protocol: PackageProxyBase) -> Span:
    """One that holds what all of these hold, and what is between them."""

    def place(version: str) -> _Key:
        return _Key(protocol.names.version_key(version))

    starts = [each.start for each in spans]
    start = "" if "" in starts else min(starts, key=place)
    if not all(each.fixed or each.last for each in spans):
        return Span(start)
    end = max(spans, key=lambda each: (place(each.fixed or each.last), bool(each.last)))
    return Span(start, fixed=end.fixed, last=end.last)


_RANKS: Mapping[str, int] = {"fixed": 0, "limit": 0, "introduced": 1, "last_affected": 2}
"""At one version: what ends there comes before what begins, and a span may be that one version alone."""


class _Key:
    """A key of an order, of which alone "before" is known."""

    __slots__ = ("key",)

    def __init__(self, key: Any) -> None:
        self.key = key

    def __lt__(self, other: _Key) -> bool:
        return bool(self.key < other.key)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Key) and not self < other and not other < self

    __hash__ = None  # type: ignore[assignment]


def _score(document: _Document, affected: _Affected, score: Score) -> float:
    """The highest that a vector gives, else what the database's word means at least; 0: nobody told."""
    vectors = [
        each.score for each in (affected.severity or document.severity or ()) if each.type.startswith("CVSS")
    ]
    told = max(map(score, vectors), default=0.0)
    if told:
        return told
    for place in (affected.database_specific, document.database_specific):
        word = place.get("severity") if isinstance(place, dict) else None
        if isinstance(word, str) and word.lower() in _WORDS:
            return _WORDS[word.lower()]
    return 0.0


def _plain(text: str) -> str:
    """One line for a person."""
    return "".join(each for each in text[: 4 * MOST_SUMMARY] if each.isprintable())[:MOST_SUMMARY].strip()
