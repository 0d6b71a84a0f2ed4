"""`NamedRule`: one rule of the policy file, in force. Pure; `reading.py` makes and checks them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from fnmatch import translate
from functools import lru_cache
from typing import Literal

import msgspec


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
    names: tuple[str, ...] = ()  # glob patterns over canonical names
    sources: tuple[str, ...] = ()  # names of upstreams
    # --- what it asks
    minimum_age: str = ""  # "7d", "36h", "0"
    nothing_after: str = ""  # a date
    refuse: bool = False  # all of it
    only: bool = False  # all but `names`: an allow list
    licences: Licences | None = None
    install_scripts: Literal["", "new", "any"] = ""
    typo_of: tuple[str, ...] = ()  # popular names; "*": also those of `popular`
    popular: dict[str, tuple[str, ...]] = {}  # by protocol, when the rule was applied; no file says it
    trust: Literal["", "off", "verify", "no-downgrade"] = ""  # of provenance
    signed_by: tuple[str, ...] = ()  # fingerprints of the keys that may sign files, hex
    when: str = ""  # a condition in CEL
    # --- and then
    action: Literal["hold", "warn"] = "hold"
    reason: str = ""  # words for clients
    unknown: Literal["allow", "hold"] = "hold"  # where a condition gives no answer
    unverified: Literal["allow", "hold"] = "allow"  # where `trust` is asked, of what nobody could verify yet;
    # where `signed_by` is, of what has no signature
    began: str = ""  # a date: counts as in force since then; "": since it was first applied
    since: float = (
        0.0  # unix seconds of that: what was stored before stays, what was published before is not new
    )

    @property
    def kind(self) -> str:
        """What it asks, by the name of its field."""
        return next(iter(self.kinds), "")

    @property
    def told(self) -> str:
        """Why it refuses a name."""
        return f"{self.name}: {self.reason or ('on no list of what is allowed' if self.only else 'refused')}"

    @property
    def kinds(self) -> list[str]:
        """The same of a rule that is not checked yet."""
        return [each for each in KINDS if getattr(self, each)]

    def is_as(self, other: NamedRule) -> bool:
        """Whether both are the same, whenever they began."""
        return msgspec.structs.replace(self, since=0.0) == msgspec.structs.replace(other, since=0.0)

    def is_about(self, protocol: str, project: str) -> bool:
        """Whether it is about a project, by its names alone. An allow list is about all that it does not
        name."""
        if self.protocols and protocol not in self.protocols:
            return False
        if not self.names:
            return True
        return (_pattern(self.names).match(project) is not None) != self.only


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


@lru_cache(1024)
def _pattern(patterns: Sequence[str]) -> re.Pattern[str]:
    return re.compile("|".join(map(translate, patterns)))
