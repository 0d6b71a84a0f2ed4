"""`Verdict`: whether a version, or a file of one, may be served; by which rule, why, until when. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Literal, Protocol

import msgspec

from shared.errors import Blocked, Malware, NotInView, RefusedByPolicy, TooYoung, TrustDowngrade

Rule = Literal[
    "",
    "exemption",
    "block",
    "malware",
    "stored",
    "minimum_age",
    "nothing_after",
    "trust",
    "unverified",
    "vulnerability",
    "policy",
    "view",
]
"""What decided. A further rule is one more name here, a refusal in `REFUSALS`, and its place in `ORDER` of
project.py."""

REFUSALS: Mapping[Rule, tuple[type[Blocked], str]] = {
    "block": (Blocked, "is blocked"),
    "malware": (Malware, "is malware"),
    "minimum_age": (TooYoung, "is held back"),
    "nothing_after": (TooYoung, "is held back"),
    "trust": (TrustDowngrade, "is held back"),
    "vulnerability": (RefusedByPolicy, "is refused"),
    "view": (NotInView, "is not in this view"),
    "policy": (RefusedByPolicy, "is held back"),
}
"""The error that a client gets, and the words in it, of each rule that is against something."""

SINCE: Mapping[Rule, str] = {
    "minimum_age": "the minimum age:",
    "trust": "the rule of provenance:",
    "vulnerability": "the advisory",
}
"""What began after a file was stored that stays, in words before the reason."""


class Verdict(msgspec.Struct, frozen=True, omit_defaults=True):
    """What one thing comes to. A version that is not allowed is hidden in every page, and its files are
    refused."""

    allowed: bool
    rule: Rule = ""  # "": no rule is against it
    why: str = ""
    until: float = 0.0  # unix seconds at which time alone makes it allowed; 0: never
    covers_malware: bool = False  # an exemption that somebody made of malware too
    of_name: bool = False  # a rule of the policy file says it of the name, whatever its versions are

    def spared(self, stored_at: float) -> Verdict:
        """Of one that refuses: the same where a file that was stored before it began (unix seconds) stays."""
        what = SINCE.get(self.rule, "the rule")
        return Verdict(True, "stored", f"served: stored here {moment(stored_at)}, before {what} {self.why}")

    @property
    def is_exempt(self) -> bool:
        """Whether an operator lets it through, whatever else there is."""
        return self.rule == "exemption"

    def refusal(self, what: str) -> Blocked:
        """The error that a client gets for `what`, of a verdict that does not allow it."""
        kind, words = REFUSALS[self.rule]
        return kind(f"{what} {words}: {self.why}")


ALLOWED = Verdict(True)
UNKNOWN = Verdict(False)  # what a rule comes to that counts and lacks a fact


class Facts(Protocol):
    """What is known of a file beside its address: `StoredFile`, `SealedFile`, `Standing`, a row."""

    @property
    def sha256(self) -> str: ...

    @property
    def published(self) -> float: ...

    @property
    def stored_at(self) -> float: ...

    @property
    def judged(self) -> str: ...


class Subject(msgspec.Struct, frozen=True):
    """A file that somebody wants, as far as it is known. Times in unix seconds, 0: unknown. Of an address
    `subject_of` makes it (shared/protocols/subjects.py): nobody else puts these together."""

    protocol: str
    project: str
    version: str  # canonical; "" for none
    sha256: str = ""
    published: float = 0.0  # when it counts as published (`Seen.date_of`)
    stored_at: float = 0.0
    judged: str = ""  # what the rules about its project's list came to (`content.told`)
    promised: str = ""  # the SHA256 in its address, if it is one: its own, or of the file that it lies beside

    @property
    def noun(self) -> str:
        """In words for people."""
        if self.sha256 and not self.version:
            return f"the file of {self.project} with the SHA256 {self.sha256}"
        return f"{self.project} {self.version}".strip()


def by_hand(reason: str) -> Verdict:
    """Of something that an operator has blocked."""
    return Verdict(False, "block", reason)


def moment(seconds: float) -> str:
    """Unix seconds as RFC 3339, for people."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def span(seconds: float) -> str:
    """A time in days or hours, for people: "7 days", "36 h"."""
    days, rest = divmod(round(seconds / 3600), 24)
    return f"{days} days" if days and not rest else f"{round(seconds / 3600)} h"
