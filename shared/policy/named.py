"""`NamedRule`: one rule of the policy file, in force. Pure; `reading.py` makes and checks them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from fnmatch import translate
from functools import lru_cache
from typing import Literal

import msgspec

FORMAT = 1
"""Of a rule whose names stand by protocol. Without a number `names` and `typo_of` hold the spellings of all
protocols, whatever the rule is about: what was applied before is read so until it is applied again."""


class Licences(msgspec.Struct, frozen=True, omit_defaults=True):
    """SPDX names. `allow` empty: all but those of `deny`."""

    allow: tuple[str, ...] = ()
    deny: tuple[str, ...] = ()
    unknown: Literal["allow", "hold"] = "allow"  # of a version whose licence is not known, or not readable
    none: Literal["", "allow", "hold"] = ""  # of one that tells none; "": as `unknown`


class NamedRule(msgspec.Struct, frozen=True, omit_defaults=True):
    """What it is about (all that are given must fit), what it asks, and what then happens. It asks exactly
    one thing."""

    name: str
    protocols: tuple[str, ...] = ()  # of these; none: of all
    names: tuple[str, ...] = ()  # glob patterns over canonical names, of all its protocols together
    sources: tuple[str, ...] = ()  # names of upstreams
    # --- what it asks
    minimum_age: str = ""  # "7d", "36h", "0"
    nothing_after: str = ""  # a date
    refuse: bool = False  # all of it
    only: bool = False  # all but `names`: an allow list
    licences: Licences | None = None
    install_scripts: Literal["", "new", "any"] = ""
    typo_of: tuple[str, ...] = ()  # popular names; "*": also those of `popular`
    popular: dict[str, tuple[str, ...]] = {}  # by protocol, what `typo_of` stands for; no file says it
    trust: Literal["", "off", "verify", "no-downgrade"] = ""  # of provenance
    signed_by: tuple[str, ...] = ()  # fingerprints of the keys that may sign files, hex
    when: str = ""  # a condition in CEL
    # --- and then
    action: Literal["hold", "warn"] = "hold"
    reason: str = ""  # words for clients
    unknown: Literal["allow", "hold"] = "hold"  # where a condition gives no answer
    unverified: Literal["", "allow", "hold"] = ""
    """Where `trust` is asked, of what nobody could verify yet: "" as the settings say. Where `signed_by` is,
    of what has no signature: "" lets it in."""
    began: str = ""  # a date: counts as in force since then; "": since it was first applied
    since: float = (
        0.0  # unix seconds of that: what was stored before stays, what was published before is not new
    )
    # --- made when it is applied (`spelling.in_force`)
    format: int = 0
    written: tuple[str, ...] = ()  # `names` as the file has them
    meant: dict[str, tuple[str, ...]] = {}  # by protocol, the patterns that they stand for in it; without
    # one for a protocol: `names`

    @property
    def kind(self) -> str:
        """What it asks, by the name of its field."""
        return next(iter(self.kinds), "")

    @property
    def reads_files(self) -> bool:
        """Whether it may ask what files alone tell, which comes to be known after a list."""
        return self.licences is not None or bool(self.when)

    @property
    def told(self) -> str:
        """Why it refuses a name."""
        return f"{self.name}: {self.reason or ('on no list of what is allowed' if self.only else 'refused')}"

    @property
    def kinds(self) -> list[str]:
        """The same of a rule that is not checked yet."""
        return [each for each in KINDS if getattr(self, each)]

    def spares(self, stored_at: float) -> bool:
        """Whether what was stored then (unix seconds, 0: it is not) stays, where what was stored before does.
        A list of what may be served, and a hard date, spare nothing."""
        is_hard = self.refuse or self.only or bool(self.nothing_after)
        return bool(stored_at) and stored_at < self.since and not is_hard

    def is_as(self, other: NamedRule) -> bool:
        """Whether both are the same, whenever they began, and whatever words they have for it."""
        if self.format != other.format:  # what is written is among the spellings of all protocols
            kept = set(self.written) <= set(other.names)
            kept = kept and {each.lower() for each in self.typo_of} <= set(other.typo_of)
            return kept and _nameless(self) == _nameless(other)
        return msgspec.structs.replace(self, since=0.0, reason=other.reason) == msgspec.structs.replace(
            other, since=0.0
        )

    def as_written(self) -> NamedRule:
        """With the names of its file, for people."""
        return msgspec.structs.replace(self, names=self.written or self.names, written=(), meant={})

    def as_stamped(self) -> NamedRule:
        """Of a project that it is about, as processes of the version before know it too: a stamp is the same
        in both."""
        return msgspec.structs.replace(self, format=0, written=(), meant={})

    def likened(self, protocol: str) -> tuple[str, ...]:
        """The names of a protocol that others are mistaken for."""
        popular = self.popular.get(protocol, ())
        return popular if self.format else (*self.typo_of, *popular)

    def is_about(self, protocol: str, project: str) -> bool:
        """Whether it is about a project, by its names alone. An allow list is about all that it does not
        name."""
        if self.protocols and protocol not in self.protocols:
            return False
        if not self.names:
            return True
        patterns = self.meant.get(protocol, self.names)
        return (_pattern(patterns).match(project) is not None) != self.only


KINDS = (
    "minimum_age",
    "nothing_after",
    "refuse",
    "only",
    "licences",
    "install_scripts",
    "typo_of",
    "trust",
    "signed_by",
    "when",
)


def _nameless(rule: NamedRule) -> NamedRule:
    empty: dict[str, tuple[str, ...]] = {}
    return msgspec.structs.replace(
        rule.as_stamped(), since=0.0, reason="", names=(), typo_of=(), popular=empty
    )


@lru_cache(1024)
def _pattern(patterns: Sequence[str]) -> re.Pattern[str]:
    return re.compile("|".join(map(translate, patterns)))
