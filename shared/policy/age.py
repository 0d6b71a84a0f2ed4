"""Minimum age: when something counts as published, and whether that is long enough ago. Pure.

The upstream's date counts unless what this Orchard saw contradicts it. Whoever can publish can forge a date,
but not the past of this Orchard: a version that an earlier fetch of the same document lacked is no older than
that fetch. No date, and one that cannot be, counts as the moment at which it was first seen.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from shared.models import AHEAD_SECONDS
from shared.policy.evidence import Evidence, FileSignature
from shared.policy.verdict import ALLOWED, Verdict, moment, span
from shared.setting_values import LONGEST_AGE_SECONDS

MOST_GONE = 2000  # names remembered that a document had once, or had a mark of; the oldest go


class Dated(msgspec.Struct, frozen=True):
    """What a document says of one version, or, where versions grow (PyPI), of one file."""

    name: str  # unique in the document: the file's name, or the version as it is spelt
    version: str  # canonical
    published: float = 0.0  # unix seconds, as the upstream says; 0: it says nothing
    mark: str = ""  # of its bytes: another mark under the same name is another thing; "": unknown
    is_file: bool = False
    provenance: str = ""  # where its attestations are, as the document says; "": it has none
    digest: str = ""  # what they are about, in hex; "": unknown
    signatures: tuple[tuple[str, str], ...] = ()  # the registry's own: id of the key, base64
    unlisted: bool = False  # its project's list lacks it: it is stored, or asked for
    here_since: bool = False  # `published` is when it came here, or is asked for: no upstream told a date


class Arrival(msgspec.Struct, frozen=True, array_like=True):
    """A name that a later document had and an earlier one had not."""

    not_before: float  # unix seconds: the earlier document was the upstream's then
    seen_at: float


LONG_AGO = -1.0  # unix seconds, as no upstream can say it: older than any rule asks
EARLIEST = 946_684_800.0  # unix seconds, 2000-01-01: no package was published before there was a registry


class Seen(msgspec.Struct, frozen=True, omit_defaults=True):
    """What this Orchard saw of one project: the column `first_seen.seen`."""

    since: float  # unix seconds: when a list of its versions was first seen
    arrivals: dict[str, Arrival] = {}
    gone: dict[str, tuple[str, Arrival | None]] = {}
    """Mark and arrival of names that are listed no more, or no more with a mark."""
    left: dict[str, float] = {}  # dates that were told of names that are listed no more, in unix seconds
    told: dict[str, float] = {}  # dates of versions by their files (`Documents.dating_file`), in unix seconds
    ageless: bool = False  # its source's age is no matter (`SourceOptions.aged`)
    source: str = ""  # name of the source that its list came from last; "": not noted
    evidence: dict[str, Evidence] = {}  # by digest: rows of their own (`provenances`), none of this one
    signatures: tuple[FileSignature, ...] = ()  # rows of their own too (`signed_files`)

    def date_of(self, listed: Dated, now: float) -> float:
        """When it counts as published (unix seconds, never 0)."""
        if self.ageless:
            return LONG_AGO
        arrival = self.arrivals.get(listed.name)
        if self.is_first_sight(listed, now):
            return self.since if arrival is None else arrival.seen_at
        published = self.told.get(listed.name, listed.published)
        return published if arrival is None else max(published, arrival.not_before)

    def date_of_gone(self, gone: Dated) -> float:
        """The same of a name that is listed no more, by what its list told while it was; 0.0: nobody knows,
        or it was of other bytes."""
        mark, arrival = self.gone.get(gone.name, ("", None))
        published = self.left.get(gone.name, 0.0) if _is_same(mark, gone.mark) else 0.0
        return published if arrival is None or not published else max(published, arrival.not_before)

    def is_first_sight(self, listed: Dated, now: float) -> bool:
        """Whether `date_of` has to take when it was first seen here (`now` in unix seconds): the upstream
        tells no date of it, or one that cannot be."""
        published = self.told.get(listed.name, listed.published)
        possible = published == LONG_AGO or EARLIEST <= published <= now + AHEAD_SECONDS
        return not (self.ageless or possible)


def seen_anew(
    seen: Seen, old: Mapping[str, Dated], new: Mapping[str, Dated], *, confirmed_at: float, now: float
) -> Seen:
    """What is known once a document lists `new` where the one before, which was still the upstream's at
    `confirmed_at`, listed `old`. What was there once and comes back with the same bytes is not new. An
    arrival of longer ago than any minimum age is forgotten, unless it contradicts the upstream: a hard date
    may ask for it."""
    arrivals = {
        name: arrival
        for name, arrival in seen.arrivals.items()
        if name in new
        and (now - arrival.seen_at < LONGEST_AGE_SECONDS or new[name].published < arrival.not_before)
    }
    gone = dict(seen.gone)
    for name, listed in new.items():
        known, before = old.get(name), gone.pop(name, None)
        last = known.mark if known is not None else ""
        last = last or ("" if before is None else before[0])
        if (known is None and before is None) or not _is_same(last, listed.mark):
            arrivals[name] = Arrival(confirmed_at, now)
        elif known is None and before is not None and before[1] is not None:
            arrivals[name] = before[1]
        if last and not listed.mark:  # told again one day, it may be of other bytes
            gone[name] = (last, arrivals.get(name))
    for name, listed in old.items():
        if name not in new:
            last = listed.mark or seen.gone.get(name, ("",))[0]
            gone[name] = (last, seen.arrivals.get(name))
    left = {name: date for name, date in seen.left.items() if name not in new}
    for name, listed in old.items():
        if name not in new and not seen.is_first_sight(listed, now):
            left[name] = seen.told.get(name, listed.published)
    for names in (gone, left):
        while len(names) > MOST_GONE:
            del names[next(iter(names))]
    return msgspec.structs.replace(seen, arrivals=arrivals, gone=gone, left=left)


def _is_same(mark: str, other: str) -> bool:
    return mark == other or not mark or not other


def is_told(published: float, stored_at: float) -> bool:
    """Whether a stored file's date (unix seconds) is one that was told: it is not where nobody told one, for
    then it counts as published when it was stored."""
    return bool(published) and not 0.0 < stored_at <= published


class AgeLimit(msgspec.Struct, frozen=True):
    """What is asked of the age of one project's versions."""

    seconds: float  # 0: any age will do
    since: float  # see `AgeRule`
    nothing_after: float  # unix seconds; 0: no such date
    stored_stay: bool

    def verdict(self, published: float, stored_at: float, now: float) -> Verdict | None:
        """`published`: when it counts as published, 0 unknown; `stored_at`: when its file was stored here, 0:
        it is not. All in unix seconds. None: these do not tell. The date `nothing_after` spares nothing."""
        latest = published or stored_at  # nothing is stored before it is published
        if self.nothing_after and not (latest and latest <= self.nothing_after):
            if not published:
                return None
            after = moment(self.nothing_after)
            return Verdict(False, "nothing_after", f"published {moment(published)}, after {after}")
        if not self.seconds or (latest and now - latest >= self.seconds):
            return ALLOWED
        if self.stored_stay and stored_at and stored_at < self.since:
            return Verdict(True, "stored", f"stored here {moment(stored_at)}, before the rule")
        if not published:
            return None
        until = published + self.seconds
        why = f"published {moment(published)}, served from {moment(until)} on"
        why += f" (minimum age {span(self.seconds)})"
        return Verdict(False, "minimum_age", why, until)


def by_name(listed: Iterable[Dated]) -> dict[str, Dated]:
    """Of two entries of one name the last, as clients take them."""
    return {each.name: each for each in listed}
